/** Result codes after which the directory has to be bound to anew (RFC 4511 appendix A). */
const REBIND: ReadonlySet<unknown> = new Set([
    1, // operationsError
    2, // protocolError
    8, // strongerAuthRequired
    48, // inappropriateAuthentication
    49, // invalidCredentials
    50, // insufficientAccessRights
    52, // unavailable
]);

/** Whether an answer says that nothing more can be asked on the same connection. */
export function endsSession(error: unknown): boolean {
    return error instanceof Error && 'code' in error && REBIND.has(error.code);
}
