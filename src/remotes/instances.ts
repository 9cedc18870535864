/** An instance that was made from an image, as VMAPI describes it (jobs-and-imports 8.7). */
export interface Instance {
    readonly uuid: string;
    readonly alias?: string;
    readonly owner_uuid?: string;
    readonly state?: string;
    readonly brand?: string;
    readonly server_uuid?: string;
}

/** What is asked of an {@link InstanceDirectory}. */
export interface InstanceQuery {
    readonly imageUuid: string;
    /** Only instances of this account. */
    readonly owner?: string;
    /** Most instances to return; with 0 they are only counted. */
    readonly limit: number;
    readonly requestId: string;
    readonly signal: AbortSignal;
}

/** Knows the instances of a datacenter (VMAPI). */
export interface InstanceDirectory {
    /**
     * The active instances made from an image, and how many there are in all.
     *
     * @throws 503 `ServiceUnavailableError` `VMAPI is unavailable`
     */
    activeInstancesOf(
        query: InstanceQuery,
    ): Promise<{ readonly count: number; readonly instances: readonly Instance[] }>;
}
