import { OutgoingError, toOutgoingError } from '../../../base/http-errors.js';
import type { FileSource } from '../../../maintenance/verify-file.js';
import type { ImageServerClient } from '../../../remotes/imgapi/image-server-client.js';
import { imagesOfPages } from '../../../remotes/imgapi/list-pages.js';
import { failureFacts } from '../failure-text.js';
import { withRetries, type RetryOptions } from '../retries.js';
import { connectToServer, type ServerAccess } from '../server-access.js';
import { imageOfDocument, indexOf, type CheckedImage } from './checked-image.js';
import { BadFile, type CheckSource } from './check-source.js';

/** Requests at the same time beside those for files: one that lists. */
const OTHER_CALLS = 1;
const STATES = { state: 'all', inclAdminFields: 'true', channel: '*' };
/** How a server says that the bytes it has are not those of the record. */
const CORRUPT = / is corrupt in storage$/;

/** Files as a server sends them. */
function filesOf(client: ImageServerClient, signal: AbortSignal): FileSource {
    return {
        stat: async (uuid, name) => {
            try {
                return await client.fileFacts(uuid, name, signal);
            } catch (error) {
                if (!isServerError(error)) {
                    throw error;
                }
                // Only with a body does a server say what is wrong.
                const opened = await client.openFile(uuid, name, signal);
                opened?.stream.destroy();
                return opened;
            }
        },
        open: (uuid, name, { signal }) => client.openFile(uuid, name, signal),
    };
}

function isServerError(error: unknown): error is OutgoingError {
    return error instanceof OutgoingError && error.status === 500;
}

/** A corrupt file, in the words of the server that noticed it; else how the request failed. */
function explain(error: unknown): unknown {
    const { message } = failureFacts(error);
    return isServerError(error) && CORRUPT.test(message)
        ? new BadFile(message, { cause: error })
        : toOutgoingError(error, 'image server');
}

async function* imagesOf(
    client: ImageServerClient,
    filters: Readonly<Record<string, string>>,
    retries: RetryOptions,
): AsyncIterable<CheckedImage> {
    const pages = imagesOfPages((marker) => {
        const ask = (): ReturnType<typeof client.documents> =>
            client.documents(filters, marker, retries.signal);
        // A server that does not answer the very first question is not there.
        return marker === undefined ? ask() : withRetries(ask, retries);
    });
    for await (const document of pages) {
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
    const files = filesOf(client, retries.signal);
    const { channel } = access;
    const filters = { ...STATES, ...(channel === undefined ? {} : { channel }) };
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
        explain,
        cures: () => Promise.resolve({ misplaced: new Map(), repairable: false, commands: [] }),
        close: () => server.close(),
    };
}
