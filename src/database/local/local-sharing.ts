import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.js';
import type { BaseDirectories } from '../../base/config-types.js';
import { makeDirectory, removeDurably, writeFileDurably } from '../../base/durable-files.js';
import { serviceUnavailable, writeFailure } from '../../base/errors.js';
import { KeyedQueue } from '../../base/keyed-queue.js';
import { unlessMissing } from '../../base/unless-missing.js';
import { isUuid } from '../../base/uuid.js';
import type { SharingStore } from '../sharing.js';

/** The uuids a file lists. @throws Error when it is not what this store writes */
function trustedIn(text: string): readonly string[] {
    const value: unknown = JSON.parse(text);
    const trusted: unknown =
        typeof value === 'object' && value !== null && 'trusted_accounts' in value
            ? value.trusted_accounts
            : undefined;
    if (!Array.isArray(trusted) || !trusted.every(isUuid)) {
        throw new Error('not a list of trusted accounts');
    }
    return trusted;
}

/** Trusted accounts as files `sharing/<account>.json` (jobs-and-imports 8.8, README table C). */
export class LocalSharingStore implements SharingStore {
    readonly #directory: string;
    readonly #clock: Clock;
    readonly #writes = new KeyedQueue();

    constructor(options: { readonly directories: BaseDirectories; readonly clock: Clock }) {
        this.#directory = options.directories.sharing;
        this.#clock = options.clock;
    }

    async trustedAccounts(account: string): Promise<readonly string[]> {
        try {
            const text = await unlessMissing(readFile(this.#path(account), 'utf8'));
            return text === undefined ? [] : trustedIn(text);
        } catch (error) {
            throw serviceUnavailable('service unavailable', 5, error);
        }
    }

    async setTrustedAccounts(account: string, trusted: readonly string[]): Promise<void> {
        const path = this.#path(account);
        const mtime = new Date(this.#clock.now()).toISOString();
        await this.#writes.run(account, async () => {
            try {
                await makeDirectory(this.#directory);
                await (trusted.length === 0
                    ? removeDurably(path)
                    : writeFileDurably(
                          path,
                          JSON.stringify({ account, trusted_accounts: trusted, mtime }, null, 2),
                      ));
            } catch (error) {
                throw writeFailure(error, `error saving trusted accounts of ${account}`);
            }
        });
    }

    #path(account: string): string {
        if (!isUuid(account)) {
            throw new TypeError('an account is a uuid');
        }
        return join(this.#directory, `${account}.json`);
    }
}
