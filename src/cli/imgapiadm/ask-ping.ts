import { setTimeout as delay } from 'node:timers/promises';
import { VERSION } from '../../base/constants.js';
import { HttpClient } from '../../base/http-client.js';
import type { ServerAddress } from './server-access.js';

/** Longest wait for one answer, milliseconds. */
const ANSWER_MS = 5000;
/** As operators know it: nine looks, half a second apart. */
const TRIES = 9;
const PAUSE_MS = 500;

/** What a server says. */
export interface Answer {
    readonly status: number;
    readonly body: unknown;
}

/** Asks a server of one's own something, whatever its certificate is. @throws OutgoingError */
export async function askServer(
    { url, proxyProtocol = false }: ServerAddress,
    path: string,
    signal?: AbortSignal,
): Promise<Answer> {
    const http = new HttpClient({
        config: { current: { maxSockets: 1, serverName: `imgapiadm/${VERSION}`, allowInsecure: true } },
        retryDelaysMs: [],
        proxyHeader: proxyProtocol,
    });
    try {
        return await http.json({
            url: url + path,
            peer: 'image-server',
            signal: AbortSignal.any([
                AbortSignal.timeout(ANSWER_MS),
                ...(signal === undefined ? [] : [signal]),
            ]),
        });
    } finally {
        await http.close();
    }
}

/** Whether an answer to `/ping` is that of an image server. */
export function isPong({ status, body }: Answer): boolean {
    const { ping, imgapi } = (body ?? {}) as { readonly ping?: unknown; readonly imgapi?: unknown };
    return status === 200 && ping === 'pong' && imgapi === true;
}

/** Waits for a server to answer; tells whether it does. */
export async function waitForPong(address: ServerAddress, tries = TRIES): Promise<boolean> {
    for (let count = 1; ; count += 1) {
        const isThere = await askServer(address, '/ping').then(isPong, () => false);
        if (isThere || count >= tries) {
            return isThere;
        }
        await delay(PAUSE_MS);
    }
}
