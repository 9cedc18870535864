import { randomInt } from 'node:crypto';
import { rename, stat } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { removeIfPresent } from '../base/durable-files.js';
import { systemErrorCode } from '../base/errors.js';

/** Longest path a socket can be bound to on all systems, bytes. */
const MAX_SOCKET_PATH = 103;

/** How long a connection attempt may take before the other side counts as busy, ms. */
const PROBE_TIMEOUT_MS = 1000;

/** What a connection attempt told: nobody listens, somebody does, or the path cannot be a socket. */
export type Liveness = 'alive' | 'silent' | 'untestable';

/** Whether a socket can have this path; else only process ids tell who is alive (operations 4.7). */
export function canBeSocket(path: string): boolean {
    return Buffer.byteLength(path) <= MAX_SOCKET_PATH;
}

/** Errors that mean that no process listens. Others, e.g. a lack of rights, do not tell. */
const NOBODY = new Set(['ECONNREFUSED', 'ENOENT', 'ENOTSOCK']);

/** Asks whether a process listens on `path`; what does not tell for sure counts as alive. */
export async function probeSocket(path: string): Promise<Liveness> {
    if (!canBeSocket(path)) {
        return 'untestable';
    }
    return await new Promise((resolve) => {
        const socket = connect(path);
        const finish = (liveness: Liveness): void => {
            socket.destroy();
            resolve(liveness);
        };
        socket.setTimeout(PROBE_TIMEOUT_MS, () => finish('alive'));
        socket.once('connect', () => finish('alive'));
        socket.once('error', (error) =>
            finish(NOBODY.has(systemErrorCode(error) ?? '') ? 'silent' : 'alive'),
        );
    });
}

async function listen(path: string): Promise<Server> {
    const server = createServer((socket) => {
        socket.on('error', () => undefined);
        socket.destroy();
    });
    await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(path, () => {
            server.off('error', reject);
            resolve();
        });
    });
    // A failed accept (e.g. too many open files) must not end the process.
    server.on('error', () => undefined);
    server.unref();
    return server;
}

/** The socket whose accepting means that the holder of the lock is alive. */
export class LivenessSocket {
    readonly #path: string;
    readonly #server: Server;
    readonly #inode: number;

    private constructor(path: string, server: Server, inode: number) {
        this.#path = path;
        this.#server = server;
        this.#inode = inode;
    }

    /**
     * Listens on `path`, replacing what is there. The socket is bound under another name and renamed:
     * closing a server removes the path it was bound to, which could be a successor's by then.
     *
     * @returns `undefined` when the path is too long for a socket
     * @throws the system's error
     */
    static async open(path: string): Promise<LivenessSocket | undefined> {
        const bound = join(dirname(path), `i.${randomInt(0x10000, 0x100000).toString(16)}.tmp`);
        if (!canBeSocket(path) || !canBeSocket(bound)) {
            return undefined;
        }
        const server = await listen(bound);
        try {
            const { ino } = await stat(bound);
            await rename(bound, path);
            return new LivenessSocket(path, server, ino);
        } catch (error) {
            server.close();
            throw error;
        }
    }

    /** Removes the path if it is still this socket's, and stops listening. */
    async close(): Promise<void> {
        try {
            if ((await stat(this.#path)).ino === this.#inode) {
                await removeIfPresent(this.#path);
            }
        } catch (error) {
            if (systemErrorCode(error) !== 'ENOENT') {
                throw error;
            }
        } finally {
            this.#server.close();
        }
    }
}
