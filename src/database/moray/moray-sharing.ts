import type { Clock } from '../../base/clock.js';
import { isUuid } from '../../base/uuid.js';
import type { SharingStore } from '../sharing.js';
import { ensureBucket, SHARING } from './bucket.js';
import { compareAndSwap } from './compare-and-swap.js';
import type { MorayConnection } from './connection.js';
import type { Deadline } from './deadline.js';
import { isMissing, isNamed, otherFailure, unavailable } from './failures.js';
import { toRow, type Row } from './rows.js';

const BUCKET = SHARING.name;

/** What a {@link MoraySharingStore} is made from. */
export interface MoraySharingOptions {
    /** Opened and closed by the database that uses it too. */
    readonly moray: MorayConnection;
    readonly clock: Clock;
    /** A number from 0 up to 1, for pauses; for tests. */
    readonly random?: () => number;
}

/** @throws Error when a row is not what this store writes */
function trustedIn({ value }: Row): readonly string[] {
    const trusted = value['trusted_accounts'];
    if (!Array.isArray(trusted) || !trusted.every(isUuid)) {
        throw new Error('not a list of trusted accounts');
    }
    return trusted;
}

/** Trusted accounts as rows of a bucket of Moray, created when the first is stored (jobs-and-imports 8.8). */
export class MoraySharingStore implements SharingStore {
    readonly #moray: MorayConnection;
    readonly #clock: Clock;
    readonly #random: () => number;

    constructor({ moray, clock, random = Math.random }: MoraySharingOptions) {
        this.#moray = moray;
        this.#clock = clock;
        this.#random = random;
    }

    async trustedAccounts(account: string): Promise<readonly string[]> {
        try {
            const row = await this.#read(account, this.#moray.deadline());
            return row === undefined ? [] : trustedIn(row);
        } catch (error) {
            throw unavailable(error);
        }
    }

    async setTrustedAccounts(account: string, trusted: readonly string[]): Promise<void> {
        const deadline = this.#moray.deadline();
        const mtime = new Date(this.#clock.now()).toISOString();
        const value = { account, trusted_accounts: trusted, mtime };
        try {
            await compareAndSwap({ moray: this.#moray, deadline, random: this.#random }, async () => {
                const row = await this.#read(account, deadline);
                if (trusted.length === 0) {
                    return row === undefined ? { result: true } : this.#removal(account, row.etag, deadline);
                }
                return this.#putting(account, value, row?.etag ?? null, deadline);
            });
        } catch (error) {
            throw otherFailure(error, `error saving trusted accounts of ${account}`);
        }
    }

    /** The row of an account; `undefined` when there is none, as when there is no bucket yet. */
    async #read(account: string, deadline: Deadline): Promise<Row | undefined> {
        try {
            return toRow(
                await this.#moray.call(deadline, (client, done) =>
                    client.getObject(BUCKET, account, { noCache: true }, done),
                ),
            );
        } catch (error) {
            if (isMissing(error) || isNamed(error, 'BucketNotFoundError')) {
                return undefined;
            }
            throw error;
        }
    }

    #removal(account: string, etag: string, deadline: Deadline) {
        const send = async (): Promise<true> => {
            try {
                await this.#moray.call(deadline, (client, done) =>
                    client.deleteObject(BUCKET, account, { etag }, done),
                );
            } catch (error) {
                if (!isMissing(error)) {
                    throw error;
                }
            }
            return true;
        };
        // Doing it twice does no harm, so nobody need look whether it was done.
        return { send, find: async () => Promise.resolve(undefined) };
    }

    #putting(account: string, value: object, etag: string | null, deadline: Deadline) {
        const put = async () =>
            this.#moray.call(deadline, (client, done) =>
                client.putObject(BUCKET, account, value, { etag }, done),
            );
        const send = async (): Promise<true> => {
            try {
                await put();
            } catch (error) {
                if (!isNamed(error, 'BucketNotFoundError')) {
                    throw error;
                }
                await ensureBucket(this.#moray, SHARING);
                await put();
            }
            return true;
        };
        return { send, find: async () => Promise.resolve(undefined) };
    }
}
