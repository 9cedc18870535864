import ldap, { type Client, type SearchEntry, type SearchOptions } from 'ldapjs';
import type { Socket } from 'node:net';
import { within } from '../../base/within.js';

/** Where the directory is and as whom it is asked. */
export interface LdapAccess {
    /** `ldap://` or `ldaps://`. */
    readonly url: string;
    readonly bindDN: string;
    readonly bindPassword: string;
}

/** A server that keeps its side open after an unbind is not waited for, milliseconds. */
const UNBIND_LIMIT_MS = 1000;

/** Entries of one answer that are kept; searches here look for one. */
const MAX_ENTRIES = 10;

/**
 * The library parses answers in a listener of the socket and throws there at what it does not know,
 * e.g. a result code without a name. That is to end the connection, not the process.
 */
function guardListeners(socket: Socket, onThrow: (error: unknown) => void): void {
    for (const listener of socket.listeners('data') as ((data: Buffer) => void)[]) {
        socket.off('data', listener);
        socket.on('data', (data: Buffer) => {
            try {
                listener.call(socket, data);
            } catch (error) {
                onThrow(error);
            }
        });
    }
}

/** One connection to a directory, bound. It is not made anew when it is lost. */
export class LdapSession {
    readonly #client: Client;
    /** Rejects what has not been answered. */
    readonly #waiting = new Set<(reason: unknown) => void>();
    #loss: Error | undefined;

    private constructor(url: string, connectMs: number) {
        // The library's own log stays off: it would write the password.
        this.#client = ldap.createClient({
            url,
            connectTimeout: connectMs,
            // The certificate is not checked (jobs-and-imports 10): UFDS makes its own.
            tlsOptions: { rejectUnauthorized: false },
        });
        for (const event of ['error', 'connectError', 'setupError']) {
            this.#client.on(event, (error: unknown) => this.#lose(error));
        }
        this.#client.on('close', () => this.#lose(new Error('the connection was closed')));
        this.#client.on('connect', (socket: Socket) => guardListeners(socket, (error) => this.#lose(error)));
    }

    /**
     * Connects and binds.
     *
     * @param limitMs for both, milliseconds
     * @param signal gives up when aborted
     * @throws Error of the network or the directory; TookTooLong
     */
    static async open(access: LdapAccess, limitMs: number, signal: AbortSignal): Promise<LdapSession> {
        signal.throwIfAborted();
        const session = new LdapSession(access.url, limitMs);
        const abort = (): void => session.destroy();
        signal.addEventListener('abort', abort);
        try {
            await within(limitMs, session.#bind(access));
            return session;
        } catch (error) {
            session.destroy();
            throw error;
        } finally {
            signal.removeEventListener('abort', abort);
        }
    }

    /** Whether nothing can be asked any more. */
    get isLost(): boolean {
        return this.#loss !== undefined;
    }

    /** @throws the directory's error, or the reason why the connection was lost */
    search(base: string, options: SearchOptions): Promise<readonly SearchEntry[]> {
        return this.#ask((resolve, reject) => {
            this.#client.search(base, options, (error, answer) => {
                if (error) {
                    reject(error);
                    return;
                }
                const entries: SearchEntry[] = [];
                answer.on('searchEntry', (entry) => {
                    if (entries.length < MAX_ENTRIES) {
                        entries.push(entry);
                    }
                });
                answer.on('error', reject);
                answer.on('end', () => resolve(entries));
            });
        });
    }

    /** Makes an entry. @throws as {@link search} */
    async add(dn: string, attributes: Readonly<Record<string, readonly string[]>>): Promise<void> {
        await this.#ask<undefined>((resolve, reject) =>
            this.#client.add(dn, attributes, (error) => (error ? reject(error) : resolve(undefined))),
        );
    }

    /** Removes an entry. @throws as {@link search} */
    async remove(dn: string): Promise<void> {
        await this.#ask<undefined>((resolve, reject) =>
            this.#client.del(dn, (error) => (error ? reject(error) : resolve(undefined))),
        );
    }

    /** Says goodbye and ends the connection. Never rejects. */
    async end(): Promise<void> {
        const goodbye = this.#ask<undefined>((resolve) => this.#client.unbind(() => resolve(undefined)));
        await within(UNBIND_LIMIT_MS, goodbye).catch(() => undefined);
        this.destroy();
    }

    /** Ends the connection at once. One that is still being made goes at its time limit. */
    destroy(): void {
        this.#lose(new Error('the connection was given up'));
    }

    async #bind({ bindDN, bindPassword }: LdapAccess): Promise<void> {
        await this.#ask<undefined>((resolve) => this.#client.once('connect', () => resolve(undefined)));
        await this.#ask<undefined>((resolve, reject) =>
            this.#client.bind(bindDN, bindPassword, (error) => (error ? reject(error) : resolve(undefined))),
        );
    }

    async #ask<T>(
        start: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void,
    ): Promise<T> {
        if (this.#loss !== undefined) {
            throw this.#loss;
        }
        let fail: (reason: unknown) => void = () => undefined;
        try {
            return await new Promise<T>((resolve, reject) => {
                fail = reject;
                this.#waiting.add(reject);
                start(resolve, reject);
            });
        } finally {
            this.#waiting.delete(fail);
        }
    }

    #lose(reason: unknown): void {
        if (this.#loss !== undefined) {
            return;
        }
        const loss = reason instanceof Error ? reason : new Error(String(reason));
        this.#loss = loss;
        this.#client.destroy();
        this.#waiting.forEach((reject) => reject(loss));
    }
}
