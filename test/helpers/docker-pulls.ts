import { chainUuids } from '#lib/manifest/docker/image-layers.js';
import type { MadeLayer } from './docker-images.js';
import type { Document, HttpClient } from './http-client.js';
import { LineReader } from './line-reader.js';

/** How a pull has ended. */
export interface Pulled {
    readonly lines: readonly Document[];
    /** What clients are told to keep of the image; absent: it has failed. */
    readonly image: Document | undefined;
    /** The code and the message it has ended with. */
    readonly failure: { readonly code: string; readonly message: string } | undefined;
}

type Headers = Readonly<Record<string, string>>;

/** Begins a pull. @param repo with the host of its registry @param reference a tag or a digest */
export async function beginPull(
    client: HttpClient,
    repo: string,
    reference: string,
    headers: Headers = {},
): Promise<LineReader> {
    const key = reference.startsWith('sha256:') ? 'digest' : 'tag';
    const query = new URLSearchParams({ action: 'import-docker-image', repo, [key]: reference });
    const reader = await LineReader.open(client, `/images?${query.toString()}`, { headers }, 'POST');
    if (reader.status !== 200) throw new Error(`pull of ${repo}: ${reader.status}`);
    return reader;
}

/** Reads a pull to its end. */
export async function endOfPull(reader: LineReader): Promise<Pulled> {
    await reader.rest();
    const { lines } = reader;
    return {
        lines,
        image: lines.find(({ type }) => type === 'create-docker-image'),
        failure: lines.at(-1)?.['error'] as Pulled['failure'],
    };
}

/** Pulls an image, however that ends. */
export async function pull(
    client: HttpClient,
    repo: string,
    reference: string,
    headers: Headers = {},
): Promise<Pulled> {
    return endOfPull(await beginPull(client, repo, reference, headers));
}

/** What the lines say of one layer, one after the other; how far a download is only once. */
export function layerStatuses(lines: readonly Document[], { digest }: Pick<MadeLayer, 'digest'>): string[] {
    return lines
        .filter(({ type }) => type === 'progress')
        .map(({ payload }) => payload as Readonly<Record<string, unknown>>)
        .filter(({ id }) => id === digest.slice(7, 19))
        .map(({ status }) => String(status))
        .filter((status, at, all) => status !== all[at - 1]);
}

/** Reads on until a layer has come to this. */
export async function untilLayer(
    reader: LineReader,
    { digest }: Pick<MadeLayer, 'digest'>,
    status: string,
): Promise<void> {
    for (;;) {
        const { type, payload } = await reader.next();
        const said = payload as Readonly<Record<string, unknown>> | undefined;
        if (type === 'progress' && said?.['id'] === digest.slice(7, 19) && said['status'] === status) return;
    }
}

/** Of the images that layers are made into, the base first. */
export function layerUuids(layers: readonly Pick<MadeLayer, 'digest'>[]): readonly string[] {
    return chainUuids(layers.map(({ digest }) => digest));
}

/** Who asks a registry, for `x-registry-auth` or by registries for `x-registry-config`. */
export function encoded(auth: object): string {
    return Buffer.from(JSON.stringify(auth)).toString('base64');
}
