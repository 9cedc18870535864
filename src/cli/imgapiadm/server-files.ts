import { OutgoingError, toOutgoingError } from '../../base/http-errors.js';
import type { FileSource } from '../../maintenance/verify-file.js';
import type { ImageServerClient } from '../../remotes/imgapi/image-server-client.js';
import { BadFile } from './bad-file.js';
import { failureFacts } from './failure-text.js';

/** How a server says that the bytes it has are not those of the record. */
const CORRUPT = / is corrupt in storage$/;

function isServerError(error: unknown): error is OutgoingError {
    return error instanceof OutgoingError && error.status === 500;
}

/** Files as a running server sends them. */
export function serverFiles(client: ImageServerClient, signal: AbortSignal): FileSource {
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
        open: (uuid, name, { signal: given }) => client.openFile(uuid, name, given),
    };
}

/** A corrupt file as {@link BadFile}, in the words of the server that noticed it; else how the request failed. */
export function explainServerFile(error: unknown): unknown {
    const { message } = failureFacts(error);
    return isServerError(error) && CORRUPT.test(message)
        ? new BadFile(message, { cause: error })
        : toOutgoingError(error, 'image server');
}
