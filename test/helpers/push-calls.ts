import type { Answer, Document, HttpClient } from './http-client.js';
import { pushBody, REQUEST_ID, type WholeImage } from './push-bench.js';
import type { RegistryUser } from './registry-client.js';

/** The path of a push. */
export function pushPath(image: WholeImage, repoAndTag: string): string {
    return `/images/${image.uuids.at(-1) ?? ''}/push?repoAndTag=${encodeURIComponent(repoAndTag)}`;
}

/** Who asks a registry, or any other auth object. */
export function authHeader(auth: RegistryUser | object): Readonly<Record<string, string>> {
    return { 'x-registry-auth': Buffer.from(JSON.stringify(auth)).toString('base64') };
}

/** The lines of a stream that is over. */
export function linesOf({ text }: Answer): readonly Document[] {
    const lines = text.split('\r\n');
    if (lines.pop() !== '') throw new Error('the last line has no end');
    return lines.map((line) => JSON.parse(line) as Document);
}

/** Begins a push. */
export function beginPush(
    client: HttpClient,
    image: WholeImage,
    repoAndTag: string,
    headers: Readonly<Record<string, string>> = {},
): ReturnType<HttpClient['open']> {
    const opened = client.open('POST', pushPath(image, repoAndTag), {
        headers: { 'content-type': 'application/json', 'x-request-id': REQUEST_ID, ...headers },
    });
    opened.request.end(JSON.stringify(pushBody(image)));
    return opened;
}

/** Pushes an image and gives the lines; throws when there are none. */
export async function push(
    client: HttpClient,
    image: WholeImage,
    repoAndTag: string,
    headers: Readonly<Record<string, string>> = {},
): Promise<readonly Document[]> {
    const answer = await beginPush(client, image, repoAndTag, headers).answer;
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
    return linesOf(answer);
}
