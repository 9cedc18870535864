import type { JsonObject } from '../manifest/types.js';

/** What of a compute node decides whether images can be made on it (jobs-and-imports 1.3). */
export interface ComputeNode {
    /** The version of its platform's software; absent on very old ones. */
    readonly sdcVersion?: string;
    /** The time stamp of the platform it runs. */
    readonly platform?: string;
}

/** Who asks, and for how long. */
export interface ComputeNodeCall {
    readonly requestId: string;
    readonly signal: AbortSignal;
}

/** Something that happened during a task. Nothing is sure of `event`. */
export interface TaskEvent {
    readonly name: string;
    readonly event: unknown;
}

/** Work that was given to a compute node. */
export interface NodeTask {
    /** `active`, `complete`, `failure`. */
    readonly status: string;
    readonly history: readonly TaskEvent[];
}

/**
 * Knows the compute nodes of a datacenter and gives them work (CNAPI). All calls end within 30 s.
 * Failures are {@link NodeServiceError}s, or the reason of the signal.
 */
export interface ComputeNodeDirectory {
    node(serverUuid: string, call: ComputeNodeCall): Promise<ComputeNode>;
    /**
     * Has the image of an instance made. Never sent twice, unless it surely did not arrive.
     *
     * @returns id of the task
     */
    createImage(
        where: { readonly serverUuid: string; readonly vmUuid: string },
        payload: JsonObject,
        call: ComputeNodeCall,
    ): Promise<string>;
    task(id: string, call: ComputeNodeCall): Promise<NodeTask>;
}

/** A question about compute nodes was refused or not answered. */
export class NodeServiceError extends Error {
    /** Of the answer; absent: there was none, or it made no sense. */
    readonly status: number | undefined;
    /** As the service names it. */
    readonly code: string | undefined;

    constructor(
        message: string,
        facts: { readonly status?: number; readonly code?: string; readonly cause: unknown },
    ) {
        super(message, { cause: facts.cause });
        this.name = facts.code === undefined ? 'ServiceUnavailableError' : errorName(facts.code);
        this.status = facts.status;
        this.code = facts.code;
    }
}

/** As errors are named after their codes. */
function errorName(code: string): string {
    return code.endsWith('Error') ? code : `${code}Error`;
}
