import { isSettings, settingAt } from '../../base/config-rules.js';
import { isUuid, newUuid } from '../../base/uuid.js';
import type { JsonObject, JsonValue } from '../../manifest/types.js';
import { withoutUserInfo } from '../../remotes/source-address.js';
import type {
    Execution,
    FinishedImage,
    JobDocument,
    JobProgress,
    ProgressSnapshot,
    StepFacts,
    StepResult,
    Task,
} from '../job.js';
import { EXECUTIONS } from '../job.js';
import type { JobEnd } from '../job-kind.js';
import type { KeptNumbers } from './progress.js';

/** What of a job is being done: its work, what follows a failure or a cancel, or nothing any more. */
export type JobPhase = 'chain' | 'onerror' | 'oncancel' | 'done';

/** What everybody may see of a job, in the order of jobs-and-imports 9.2. */
interface ShownRecord {
    readonly uuid: string;
    readonly name: string;
    readonly version: string;
    readonly engine: 'embedded';
    readonly execution: Execution;
    readonly task: Task;
    readonly image_uuid: string;
    readonly target: string;
    readonly params: JsonObject;
    readonly chain: readonly StepFacts[];
    readonly chain_results: readonly StepResult[];
    readonly onerror: readonly StepFacts[];
    readonly onerror_results: readonly StepResult[];
    readonly oncancel: readonly StepFacts[];
    readonly oncancel_results: readonly StepResult[];
    readonly created_images: readonly string[];
    /** ISO dates. */
    readonly created_at: string;
    readonly exec_after: string;
    /** When it began to run first, milliseconds since the epoch; `null`, which is not shown: it has not yet. */
    readonly started: number | null;
    /** Seconds since then, at the last change. */
    readonly elapsed: number;
    /** Seconds. */
    readonly timeout: number;
    readonly num_attempts: number;
    readonly max_attempts: number;
    readonly restarts: number;
    readonly runner_id: string | null;
    readonly info: readonly JsonValue[];
    readonly progress: JobProgress;
}

/** What only the engine needs to know. */
interface PrivateRecord {
    /** Grows from job to job: tells which of one moment was accepted first. */
    readonly number: number;
    readonly phase: JobPhase;
    /** Whether the step at hand, the first of the phase without a result, was begun. */
    readonly begun: boolean;
    /** Why it ends without success, as soon as that is known. */
    readonly end: JobEnd | null;
    /** When it was done with, ISO date. */
    readonly ended_at: string | null;
    /** Images it keeps others from, in the order they were locked. */
    readonly locks: readonly string[];
    readonly finished: readonly FinishedImage[];
    /** Members that the steps have added. */
    readonly added: JsonObject;
    readonly hidden: JsonObject;
    readonly memory: JsonObject;
    readonly numbers: KeptNumbers;
}

/** A job as its file holds it. Never changed: a change makes a new record. */
export interface JobRecord extends ShownRecord {
    readonly own: PrivateRecord;
}

/** How often a workflow service tries a job; ours are never tried again, but existing clients know the number. */
const MAX_ATTEMPTS = 10;

/** What a record is made from. */
export interface RecordFacts
    extends
        Pick<ShownRecord, 'uuid' | 'name' | 'version' | 'task' | 'target' | 'params' | 'timeout'>,
        Pick<ShownRecord, 'chain' | 'onerror' | 'oncancel'> {
    readonly imageUuid: string;
    readonly hidden: JsonObject;
    readonly progress: JobProgress;
    readonly numbers: KeptNumbers;
    readonly number: number;
    /** ISO date. */
    readonly now: string;
}

/** The record of a job that has just been accepted. */
export function queuedRecord(facts: RecordFacts): JobRecord {
    return {
        uuid: facts.uuid,
        name: facts.name,
        version: facts.version,
        engine: 'embedded',
        execution: 'queued',
        task: facts.task,
        image_uuid: facts.imageUuid,
        target: facts.target,
        params: { ...facts.params, task: facts.task },
        chain: facts.chain,
        chain_results: [],
        onerror: facts.onerror,
        onerror_results: [],
        oncancel: facts.oncancel,
        oncancel_results: [],
        created_images: [],
        created_at: facts.now,
        exec_after: facts.now,
        started: null,
        elapsed: 0,
        timeout: facts.timeout,
        num_attempts: 0,
        max_attempts: MAX_ATTEMPTS,
        restarts: 0,
        runner_id: null,
        info: [],
        progress: facts.progress,
        own: {
            number: facts.number,
            phase: 'chain',
            begun: false,
            end: null,
            ended_at: null,
            locks: [],
            finished: [],
            added: {},
            hidden: facts.hidden,
            memory: {},
            numbers: facts.numbers,
        },
    };
}

/** The order in which jobs were accepted. */
export function byAge(a: JobRecord, b: JobRecord): number {
    return a.created_at === b.created_at ? a.own.number - b.own.number : a.created_at < b.created_at ? -1 : 1;
}

/** A step as a job shows it. */
export function stepFacts(name: string, timeout: number): StepFacts {
    return { uuid: newUuid(), name, timeout, retry: 1 };
}

const RESULT_KEYS = ['chain_results', 'onerror_results', 'oncancel_results'] as const;
const OBJECT_KEYS = ['params', 'progress', 'own'] as const;
const TEXT_KEYS = ['name', 'version', 'task', 'target', 'image_uuid', 'created_at'] as const;
const LIST_KEYS = [...RESULT_KEYS, 'chain', 'onerror', 'oncancel', 'created_images', 'info'] as const;
const OWN_OBJECTS = ['added', 'hidden', 'memory', 'numbers'] as const;

/** Whether what a file holds is a job, as far as the engine relies on it. */
export function isJobRecord(value: unknown): value is JobRecord {
    if (!isSettings(value)) {
        return false;
    }
    const { own, restarts } = value;
    return (
        isUuid(value['uuid']) &&
        EXECUTIONS.some((one) => one === value['execution']) &&
        typeof restarts === 'number' &&
        TEXT_KEYS.every((key) => typeof value[key] === 'string') &&
        LIST_KEYS.every((key) => Array.isArray(value[key])) &&
        OBJECT_KEYS.every((key) => isSettings(value[key])) &&
        isSettings(own) &&
        ['chain', 'onerror', 'oncancel', 'done'].some((phase) => phase === own['phase']) &&
        typeof own['number'] === 'number' &&
        [own['locks'], own['finished']].every((list) => Array.isArray(list)) &&
        OWN_OBJECTS.every((key) => isSettings(own[key])) &&
        ['ended', 'parts'].every((key) => isSettings(settingAt(own, `numbers.${key}`)))
    );
}

/** Parameters that are shown beside the job's own members, too (jobs-and-imports 2.5). */
const LIFTED = ['vm_uuid', 'image_uuid', 'server_uuid'] as const;

/** Members that {@link addMembers} puts among the parameters. */
function isLifted(key: string): boolean {
    return LIFTED.some((one) => one === key);
}

/**
 * Adds members that everybody sees.
 *
 * @throws TypeError for one the job has of its own: a mistake in a step
 */
export function addMembers(record: JobRecord, members: JsonObject): JobRecord {
    const added: Record<string, JsonValue> = {};
    const params: Record<string, JsonValue> = {};
    for (const [key, value] of Object.entries(members)) {
        if (!isLifted(key) && key in record) {
            throw new TypeError(`"${key}" is a member of every job`);
        }
        (isLifted(key) ? params : added)[key] = value;
    }
    return {
        ...record,
        params: { ...record.params, ...params },
        own: { ...record.own, added: { ...record.own.added, ...added } },
    };
}

/** Parameters as they are answered: without secrets and scripts (jobs-and-imports 9.2). */
function shownParams(params: JsonObject): JsonObject {
    const { source, prepare_image_script: script } = params;
    return {
        ...params,
        ...(typeof source === 'string' ? { source: withoutUserInfo(source) } : {}),
        ...(typeof script === 'string'
            ? { prepare_image_script: `<${Buffer.byteLength(script)} bytes>` }
            : {}),
    };
}

/** The parameters that a job shows of itself, as far as there are any. */
function liftedParams({ vm_uuid, image_uuid, server_uuid }: JsonObject): JsonObject {
    return {
        ...(vm_uuid === undefined ? {} : { vm_uuid }),
        ...(image_uuid === undefined ? {} : { image_uuid }),
        ...(server_uuid === undefined ? {} : { server_uuid }),
    };
}

/** A job as it is answered (jobs-and-imports 9.2). */
export function shownJob(record: JobRecord): JobDocument {
    const { uuid, name, version, engine, execution, task, own, ...rest } = record;
    const params = shownParams(record.params);
    return {
        uuid,
        name,
        version,
        engine,
        execution,
        task,
        ...liftedParams(params),
        ...rest,
        params,
        started: record.started ?? undefined,
        ...own.added,
    };
}

/** How far a job is, as it is answered (jobs-and-imports 8.3). */
export function shownProgress(record: JobRecord): ProgressSnapshot {
    const { uuid, image_uuid, task, execution, progress } = record;
    return { job_uuid: uuid, image_uuid, task, execution, ...progress };
}
