/** The user database, as far as this server asks it (jobs-and-imports 10, UFDS). */
export interface AccountDirectory {
    /**
     * Tells whether an account exists. Accounts that were found may be remembered for a short time,
     * absences and failures never.
     *
     * @throws 503 `ServiceUnavailableError` `user database is unavailable` when it cannot be asked
     */
    exists(uuid: string): Promise<boolean>;

    /**
     * The login of an account, by which its area in Manta goes too; `undefined`: there is no such
     * account. Remembered as {@link exists} is.
     *
     * @throws as {@link exists}
     */
    login(uuid: string): Promise<string | undefined>;

    /** Checks that it can be asked; rejects with the reason. */
    ping(): Promise<void>;

    /** Ends all connections; no call may follow. */
    close(): Promise<void>;
}
