import type { ImageServerClient } from '../../../remotes/imgapi/image-server-client.js';
import type { RetryOptions } from '../retries.js';
import { connectToServer, type ServerAccess } from '../server-access.js';
import { explainServerFile, serverFiles } from '../server-files.js';
import { everything, listedImages } from '../server-images.js';
import { imageOfDocument, indexOf, type CheckedImage } from './checked-image.js';
import type { CheckSource } from './check-source.js';

/** Requests at the same time beside those for files: one that lists. */
const OTHER_CALLS = 1;

async function* imagesOf(
    client: ImageServerClient,
    filters: Readonly<Record<string, string>>,
    retries: RetryOptions,
): AsyncIterable<CheckedImage> {
    for await (const document of listedImages(client, filters, retries)) {
        yield imageOfDocument(document);
    }
}

/** Uses a running server. @param calls files at the same time @throws Error when the key cannot be read */
export async function openServer(
    access: ServerAccess,
    calls: number,
    retries: RetryOptions,
): Promise<CheckSource> {
    const server = await connectToServer(access, calls + OTHER_CALLS);
    const { client } = server;
    const files = serverFiles(client, retries.signal);
    const filters = everything(access.channel);
    return {
        adminTool: 'imgapi-cli',
        unreadable: 0,
        all: () => imagesOf(client, filters, retries),
        current: async (uuid) => {
            const document = await client.document(uuid, retries.signal, filters);
            return document === undefined ? undefined : imageOfDocument(document);
        },
        storage: () => files,
        pathOf: (uuid, file) => {
            const index = indexOf(file);
            const what = index === 'icon' ? index : `file?index=${index}`;
            return `${access.url.replace(/\/+$/, '')}/images/${uuid}/${what}`;
        },
        explain: explainServerFile,
        cures: () => Promise.resolve({ misplaced: new Map(), repairable: false, commands: [] }),
        close: () => server.close(),
    };
}
