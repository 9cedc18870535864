import type { JsonObject, JsonValue } from '../manifest/types.js';

/** The names of the jobs (jobs-and-imports 0.1). */
export const TASKS = ['create-from-vm', 'import-remote-image'] as const;

/** What a job does. */
export type Task = (typeof TASKS)[number];

/** The states of a job in the order error messages name them (jobs-and-imports 2.3, 9.3). */
export const EXECUTIONS = ['queued', 'failed', 'succeeded', 'canceled', 'running'] as const;

/** Where a job stands. */
export type Execution = (typeof EXECUTIONS)[number];

/** A step as a job shows it. */
export interface StepFacts {
    readonly uuid: string;
    readonly name: string;
    /** Seconds. */
    readonly timeout: number;
    readonly retry: number;
}

/** Why a step failed, as clients print it (jobs-and-imports 9.2). */
export interface StepError {
    readonly name: string;
    readonly message: string;
    readonly code?: string;
    readonly restCode?: string;
    readonly statusCode?: number;
}

/** What came of a step. */
export interface StepResult {
    readonly result: string;
    /** Empty: it succeeded. */
    readonly error: string | StepError;
    readonly name: string;
    /** ISO dates. */
    readonly started_at: string;
    readonly finished_at: string;
}

/** The numbers of a job (jobs-and-imports 8.3). */
export interface JobProgress {
    readonly step: string | null;
    readonly current_image: string | null;
    readonly images_done: number;
    readonly images_total: number;
    /** Bytes of all images to transfer; -1: unknown. */
    readonly bytes_done: number;
    readonly bytes_total: number;
    /** Bytes of the image at hand; -1: unknown. */
    readonly image_bytes_done: number;
    readonly image_bytes_total: number;
    /** Bytes a second during the last ten. */
    readonly rate: number;
    /** Seconds; `null`: unknown. */
    readonly eta: number | null;
    /** ISO dates; `started_at` is that of the job. */
    readonly started_at: string | null;
    readonly updated_at: string;
    /** Grows each time a transfer starts over from zero. */
    readonly attempt: number;
    /** Where the transfer at hand went on, bytes. */
    readonly resumed_from: number;
    readonly error: { readonly code: string; readonly message: string } | null;
}

/** What is asked for about the progress of a job (jobs-and-imports 8.3). */
export interface ProgressSnapshot extends JobProgress {
    readonly job_uuid: string;
    readonly image_uuid: string;
    readonly task: string;
    readonly execution: string;
}

/** An image of a job that clients can use from now on. */
export interface FinishedImage {
    readonly image_uuid: string;
    readonly state: string;
}

/** A job as `GET /jobs/:uuid` answers it: of any engine, so little of it is sure (jobs-and-imports 2.5, 9.2). */
export interface JobDocument {
    readonly uuid: string;
    readonly execution: string;
    readonly name?: string;
    readonly task?: string;
    readonly image_uuid?: string;
    readonly params?: JsonObject;
    readonly created_at?: string;
    readonly info?: readonly JsonValue[];
    readonly [key: string]: unknown;
}

/** A job and what else is known of it. */
export interface JobView {
    readonly document: JobDocument;
    readonly progress: ProgressSnapshot;
    /** In the order they were finished. */
    readonly finished: readonly FinishedImage[];
}

/** Whether a job will change no more. */
export function isTerminal(execution: string): boolean {
    return execution === 'succeeded' || execution === 'failed' || execution === 'canceled';
}

/** The account a job belongs to; `undefined`: operators only (jobs-and-imports 9.5). */
export function jobAccount({ params }: Pick<JobDocument, 'params'>): string | undefined {
    const account = params?.['account'] ?? params?.['owner_uuid'];
    return typeof account === 'string' ? account : undefined;
}
