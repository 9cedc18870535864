import type { JsonObject } from '../manifest/types.js';
import type { SourceAddress } from './image-source.js';

/** A copy that another datacenter is asked to make from here. */
export interface CopyToMake {
    readonly uuid: string;
    readonly account: string;
    /** This datacenter, by the name it has there. */
    readonly datacenter: string;
    /** Whether a copy that is there already is brought up to date (jobs-and-imports 8.2). */
    readonly sync: boolean;
    /** Whether the other side should tell how it goes. */
    readonly stream: boolean;
}

/** Who asks, and for how long. */
export interface TargetCall {
    readonly requestId: string;
    /** Ends the call, and the lines it opened. */
    readonly signal: AbortSignal;
}

/** A copy that another datacenter makes, or has. */
export interface AcceptedCopy {
    readonly jobUuid: string;
    /** As the other side calls it; a server that does not tell has started one. */
    readonly result: string;
    /** Fields changed there. */
    readonly changed: readonly string[];
    /** Base URL of the service where its job can be asked for; absent: the other side does not tell. */
    readonly workflowApi?: string;
    /**
     * What it tells of the job, its first line `job` included (jobs-and-imports 8.3); to be read or
     * returned. Absent: it cannot. @throws OutgoingError while it is read
     */
    readonly lines?: AsyncIterableIterator<JsonObject>;
}

/** The image server of another datacenter, which can be asked to copy images to itself (jobs-and-imports 8.5). */
export interface CopyTarget {
    /** @throws OutgoingError of kind `status` when it refuses, with its body; others when it cannot be asked */
    request(copy: CopyToMake, call: TargetCall): Promise<AcceptedCopy>;
    /** A job of its, as the service at that URL shows it. @throws OutgoingError */
    job(workflowApi: string, jobUuid: string, call: TargetCall): Promise<JsonObject>;
}

/** Makes targets out of addresses. */
export interface CopyTargets {
    at(address: SourceAddress): CopyTarget;
}
