/** Bytes that somebody takes piece by piece. */
export interface ByteSource {
    /**
     * The next bytes; `undefined` at the end. To be called again when it has settled.
     *
     * @throws why there are no more, or the reason of `stop`
     */
    next(): Promise<Buffer | undefined>;
    /** No more are wanted: frees everything, and ends a call under way. */
    stop(reason: unknown): void;
}
