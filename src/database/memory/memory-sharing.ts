import type { SharingStore } from '../sharing.js';

/** Trusted accounts in memory only. For tests. */
export class MemorySharingStore implements SharingStore {
    readonly #trusted = new Map<string, readonly string[]>();

    async trustedAccounts(account: string): Promise<readonly string[]> {
        return Promise.resolve(this.#trusted.get(account) ?? []);
    }

    async setTrustedAccounts(account: string, trusted: readonly string[]): Promise<void> {
        if (trusted.length === 0) {
            this.#trusted.delete(account);
        } else {
            this.#trusted.set(account, [...trusted]);
        }
        return Promise.resolve();
    }
}
