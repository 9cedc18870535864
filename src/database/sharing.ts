/**
 * Keeps which accounts an account trusts to share images with it (jobs-and-imports 8.8). It lies
 * beside the images, in the same kind of database.
 *
 * Promises of every backend, checked by the contract suite: what was put is on stable storage before
 * the promise resolves and is seen by every later `get`; an empty list leaves nothing behind; errors
 * are those of {@link Database}.
 */
export interface SharingStore {
    /** The trusted accounts, in the order given; empty for an account nothing is known of. */
    trustedAccounts(account: string): Promise<readonly string[]>;

    /** Replaces the list; the caller has checked it. */
    setTrustedAccounts(account: string, trusted: readonly string[]): Promise<void>;
}
