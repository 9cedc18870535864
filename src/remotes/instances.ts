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

/** An instance as far as an image can be made from it (jobs-and-imports 1.2, 10). */
export interface InstanceFacts {
    readonly uuid: string;
    readonly brand?: string;
    /** The image it was made from; for virtual machines rather that of a disk. */
    readonly imageUuid?: string;
    /** The images its disks were made from, in the order of the disks; those without are left out. */
    readonly diskImages: readonly string[];
    readonly kernelVersion?: string;
    readonly isDocker: boolean;
    /** The compute node it is on; absent while it has none. */
    readonly serverUuid?: string;
}

/** Which instance is asked for. */
export interface InstanceWish {
    readonly uuid: string;
    /** Only if it belongs to this account. */
    readonly owner?: string;
    readonly requestId: string;
    readonly signal: AbortSignal;
}

/** Knows the instances of a datacenter (VMAPI). */
export interface InstanceDirectory {
    /**
     * One instance; `undefined`: it is not known, or belongs to another account.
     *
     * @throws 503 `ServiceUnavailableError` `VMAPI is unavailable`
     */
    instance(wish: InstanceWish): Promise<InstanceFacts | undefined>;
    /**
     * The active instances made from an image, and how many there are in all.
     *
     * @throws 503 `ServiceUnavailableError` `VMAPI is unavailable`
     */
    activeInstancesOf(
        query: InstanceQuery,
    ): Promise<{ readonly count: number; readonly instances: readonly Instance[] }>;
}
