import { setTimeout as delay } from 'node:timers/promises';
import type { RequestContext } from '../../images/context.js';
import { isObject, text } from '../../manifest/coerce.js';
import type { JsonObject } from '../../manifest/types.js';
import type { AcceptedCopy, CopyToMake, TargetCall } from '../../remotes/copy-target.js';
import { isTerminal, type JobDocument } from '../job.js';
import { jobFailure } from '../job-failure.js';
import type { JobServices } from '../services.js';
import type { CopyAttempt, Destination } from './copy-attempt.js';

/** A line about a copy elsewhere. */
export interface CopyLine {
    readonly type: string;
    readonly datacenter: string;
    readonly [key: string]: unknown;
}

/** Between two looks at a job that does not tell by itself, milliseconds; what its other clients do. */
const POLL_MS = 5_000;
/** Looks in a row that may fail, e.g. while the other side is started again. */
const MAX_FAILURES = 12;

/** What is followed, and for whom. */
export interface Following {
    readonly services: JobServices;
    readonly context: Pick<RequestContext, 'log'>;
    readonly copy: CopyToMake;
    readonly call: TargetCall;
    /** Default: five seconds. */
    readonly pollMs?: number;
}

/** An image as it is at its destination; `null` when that cannot be said. */
async function imageAt(
    { services, copy, call }: Following,
    { address }: Destination,
): Promise<JsonObject | null> {
    const { uuid, account } = copy;
    const source = services.images.sources.at(address);
    return source.manifest(uuid, { ...call, account }).catch(() => null);
}

/** Why a job has failed. */
function errorOf(job: JsonObject): JsonObject {
    const { progress } = job;
    const told = isObject(progress) && isObject(progress['error']) ? progress['error'] : undefined;
    const error = told === undefined ? null : { code: text(told['code']), message: text(told['message']) };
    return { ...jobFailure({ document: job as unknown as JobDocument, progress: { error } }) };
}

/** The last step that a job has done. */
function lastStep({ chain_results: results }: JsonObject): unknown {
    const last: unknown = Array.isArray(results) ? results.at(-1) : undefined;
    return isObject(last) ? last['name'] : null;
}

/** The last line about a job that has ended. */
async function lastLine(
    following: Following,
    destination: Destination,
    { result, changed }: AcceptedCopy,
    job: JsonObject,
): Promise<CopyLine> {
    const { datacenter } = destination;
    const { execution } = job;
    if (execution !== 'succeeded') {
        return { type: 'error', datacenter, error: errorOf(job), execution };
    }
    const image = await imageAt(following, destination);
    return { type: 'done', datacenter, execution, result, changed, image };
}

/** What a job that is only looked at lets say of its progress. */
function progressLine(datacenter: string, uuid: string, job: JsonObject): CopyLine {
    const { uuid: jobUuid, execution, progress } = job;
    return {
        type: 'progress',
        datacenter,
        job_uuid: jobUuid,
        image_uuid: uuid,
        task: 'import-remote-image',
        execution,
        ...(isObject(progress) ? progress : { step: lastStep(job), bytes_done: -1, bytes_total: -1 }),
    };
}

/** Looks at a job until it ends, or does not answer any more (jobs-and-imports 8.5). */
async function* poll(
    following: Following,
    destination: Destination,
    accepted: AcceptedCopy,
    workflowApi: string,
): AsyncGenerator<CopyLine, void, undefined> {
    const { services, copy, call, context, pollMs = POLL_MS } = following;
    const { datacenter, address } = destination;
    const target = services.targets.at(address);
    let shown = '';
    for (let failures = 0; failures < MAX_FAILURES;) {
        try {
            const job = await target.job(workflowApi, accepted.jobUuid, call);
            failures = 0;
            if (isTerminal(text(job['execution']))) {
                yield await lastLine(following, destination, accepted, job);
                return;
            }
            const line = progressLine(datacenter, copy.uuid, job);
            const now = JSON.stringify(line);
            if (now !== shown) {
                shown = now;
                yield line;
            }
        } catch (error) {
            call.signal.throwIfAborted();
            failures += 1;
            context.log.info({ err: error, datacenter }, 'the job of a copy could not be looked at');
        }
        await delay(pollMs, undefined, { signal: call.signal });
    }
    const error = { code: 'RemoteSourceError', message: `datacenter ${datacenter} does not answer any more` };
    yield { type: 'error', datacenter, error, execution: null };
}

/** Passes on what a datacenter tells by itself. @returns whether it came to an end */
async function* relay(
    { call, context }: Following,
    { datacenter }: Destination,
    lines: AsyncIterable<JsonObject>,
): AsyncGenerator<CopyLine, boolean, undefined> {
    try {
        for await (const { type, ...fields } of lines) {
            if (type === 'closing') {
                return false;
            }
            if (type === 'keepalive' || typeof type !== 'string') {
                continue;
            }
            yield { type, datacenter, ...fields };
            if (type === 'done' || type === 'error') {
                return true;
            }
        }
    } catch (error) {
        call.signal.throwIfAborted();
        context.log.info({ err: error, datacenter }, 'the progress of a copy broke off');
    }
    return false;
}

/**
 * All that is to be told of one copy: what its datacenter tells by itself, and, if it does not or breaks off,
 * what its job shows (jobs-and-imports 8.5).
 */
export async function* followCopy(
    following: Following,
    asked: Promise<CopyAttempt>,
): AsyncGenerator<CopyLine, void, undefined> {
    const attempt = await asked;
    const { datacenter } = attempt;
    if (attempt.accepted === undefined) {
        yield { type: 'error', datacenter, error: attempt.refusal, execution: null };
        return;
    }
    const { lines, jobUuid, result, workflowApi } = attempt.accepted;
    if (lines === undefined) {
        const job = { job_uuid: jobUuid, image_uuid: following.copy.uuid, result };
        yield { type: 'job', datacenter, ...job, workflow_api: workflowApi };
    } else if (yield* relay(following, attempt, lines)) {
        return;
    }
    if (workflowApi === undefined) {
        const error = { code: 'RemoteSourceError', message: `datacenter ${datacenter} names no job service` };
        yield { type: 'error', datacenter, error, execution: null };
        return;
    }
    yield* poll(following, attempt, attempt.accepted, workflowApi);
}
