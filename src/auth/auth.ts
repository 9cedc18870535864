/** The parts of a request that a signature can cover. */
export interface SignedRequest {
    readonly method: string;
    /** Request target as received, query string included. */
    readonly url: string;
    readonly httpVersion: string;
    /** Lower-case names. */
    readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** Whose public keys are known (backends 12). */
export interface KeyStore {
    /** SSH public key lines of a user, in the order of their sources; empty for an unknown user. */
    keysOf(user: string): readonly string[];
    /** Number of keys by user, for `/state` and health. */
    counts(): Readonly<Record<string, number>>;
}

/** Tells who sent a request (http-api 1.11). */
export interface Authenticator {
    /**
     * Checks the `Authorization` header.
     *
     * @returns the user name
     * @throws 401 `UnauthorizedError` with the message and headers of http-api 1.11
     */
    authenticate(request: SignedRequest): string;
}
