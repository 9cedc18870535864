import { join } from 'node:path';
import { readLockFile } from '../../../lock/lock-record.js';
import type { Invocation } from '../command.js';
import { failureText } from '../failure-text.js';
import type { ServerData } from '../offline/server-data.js';
import { connectToServer, serverAccess } from '../server-access.js';

/** What the server that works on the same directory is receiving; or why that is not known. */
export type ServerUploads =
    { readonly uploads: ReadonlySet<string> } | { readonly uploads?: undefined; readonly reason: string };

/**
 * Asks the server of this base directory which uploads it is receiving (operations 2.2). Only the process that
 * holds the lock is believed: a reader, or a server elsewhere, knows nothing of them.
 */
export async function askForUploads(
    { parsed, environment }: Invocation,
    { directories }: Pick<ServerData, 'directories'>,
    signal: AbortSignal,
): Promise<ServerUploads> {
    try {
        const lock = await readLockFile(join(directories.run, 'imgapi.lock'));
        if (lock === undefined) {
            return { reason: 'no server is running' };
        }
        const server = await connectToServer(serverAccess(parsed, environment), 1);
        try {
            const { pid, uploads } = await server.client.state(signal);
            return pid !== undefined && pid === lock.record?.pid
                ? { uploads: new Set(uploads) }
                : { reason: 'another process than the one that holds run/imgapi.lock has answered' };
        } finally {
            await server.close();
        }
    } catch (error) {
        return { reason: failureText(error) };
    }
}
