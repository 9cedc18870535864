import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from '../base/errors.js';
import { TookTooLong, within } from '../base/within.js';
import { loadImage } from '../images/load.js';
import { isTerminal, type JobView, type ProgressSnapshot } from '../jobs/job.js';
import type { JobEngine } from '../jobs/job-engine.js';
import { jobNotFound } from '../jobs/find-job.js';
import { jobFailure, type JobFailure } from '../jobs/job-failure.js';
import type { Call } from './call.js';
import { documentValue } from './document.js';
import type { StreamLine } from './reply.js';
import { type JobFacts, workflowApi } from './workflow-api.js';

/** Shortest time between two lines of type `progress`, ms (jobs-and-imports 8.3). */
const PROGRESS_MS = 1000;
/** A job may change with every chunk that comes; it is looked at this often, ms. */
const LOOK_MS = 200;
/** How long a job may be out of reach, e.g. while a workflow service starts again, ms. */
const OUT_OF_REACH_MS = 60_000;

/** A job whose progress is told. */
export interface FollowedJob extends Omit<JobFacts, 'local' | 'oldForm'> {
    readonly engine: JobEngine;
}

/** What a snapshot tells, without the moment it was taken at. */
function told(progress: ProgressSnapshot): string {
    return JSON.stringify({ ...progress, updated_at: '' });
}

/** Looks at a job again and again, and makes lines of what has changed. */
class JobFollower {
    readonly #call: Call;
    readonly #job: FollowedJob;
    readonly #signal: AbortSignal;
    /** Since when the job could not be looked at, of `performance.now()`. */
    #lostAt: number | undefined;
    #execution = 'unknown';
    /** The progress as it was told last, and when. */
    #told = '';
    #toldAt = -Infinity;
    #imagesTold = 0;

    constructor(call: Call, job: FollowedJob, signal: AbortSignal) {
        this.#call = call;
        this.#job = job;
        this.#signal = signal;
    }

    async *lines(): AsyncGenerator<StreamLine> {
        yield this.#jobLine();
        let changed = this.#nextChange();
        for (;;) {
            const view = await this.#look();
            if (view instanceof ApiError) {
                yield this.#errorLine(view);
                return;
            }
            if (view !== undefined) {
                yield* this.#news(view);
                if (isTerminal(view.document.execution)) {
                    yield await this.#lastLine(view);
                    return;
                }
            }
            if (await this.#wait(changed, view)) {
                // Before the next look, so that nothing can happen between the two.
                changed = this.#nextChange();
            }
        }
    }

    /** Reads the job; `undefined`: not this time. @returns why it cannot be followed any longer */
    async #look(): Promise<JobView | ApiError | undefined> {
        const { engine, jobUuid } = this.#job;
        try {
            const view = await engine.find(jobUuid, this.#signal);
            this.#lostAt = undefined;
            this.#execution = view?.document.execution ?? this.#execution;
            return view ?? jobNotFound(jobUuid);
        } catch (error) {
            this.#signal.throwIfAborted();
            if (!(error instanceof ApiError)) {
                throw error;
            }
            this.#lostAt ??= performance.now();
            return performance.now() - this.#lostAt < OUT_OF_REACH_MS ? undefined : error;
        }
    }

    /** Resolves to true when the job may have changed. */
    #nextChange(): Promise<boolean> {
        const change = this.#job.engine.nextChange(this.#job.jobUuid, this.#signal).then(() => true);
        // Nobody may be waiting for it when the stream ends.
        change.catch(() => undefined);
        return change;
    }

    /** Waits for a change, or until what could not be told yet is due. @returns whether it was a change */
    async #wait(changed: Promise<boolean>, view: JobView | undefined): Promise<boolean> {
        const isLost = view === undefined;
        const isHeld = !isLost && told(view.progress) !== this.#told;
        await delay(isLost ? PROGRESS_MS : LOOK_MS, undefined, { signal: this.#signal });
        if (!isLost && !isHeld) {
            return changed;
        }
        try {
            return await within(isLost ? 0 : this.#untilDue(), changed);
        } catch (error) {
            if (error instanceof TookTooLong) {
                return false;
            }
            throw error;
        }
    }

    #untilDue(): number {
        return Math.max(0, this.#toldAt + PROGRESS_MS - performance.now());
    }

    *#news(view: JobView): Generator<StreamLine> {
        const text = told(view.progress);
        if (text !== this.#told && this.#untilDue() === 0) {
            this.#told = text;
            this.#toldAt = performance.now();
            yield { type: 'progress', ...view.progress };
        }
        for (; this.#imagesTold < view.finished.length; this.#imagesTold += 1) {
            yield { type: 'image', ...view.finished[this.#imagesTold] };
        }
    }

    #jobLine(): StreamLine {
        const { jobUuid, imageUuid, result, engine } = this.#job;
        return {
            type: 'job',
            job_uuid: jobUuid,
            image_uuid: imageUuid,
            ...(result === undefined ? {} : { result }),
            workflow_api: workflowApi(this.#call, engine),
        };
    }

    async #lastLine(view: JobView): Promise<StreamLine> {
        const { execution } = view.document;
        if (execution !== 'succeeded') {
            return this.#errorLine(jobFailure(view));
        }
        const { result, changed = [] } = this.#job;
        const image = await this.#image();
        return {
            type: 'done',
            execution,
            ...(result === undefined ? {} : { result, changed }),
            ...(image === undefined ? {} : { image }),
        };
    }

    /** The manifest as the caller may see it; absent when there is none for it. */
    async #image(): Promise<unknown> {
        const { services, context } = this.#call;
        try {
            const { raw } = await loadImage(services.images, context, this.#job.imageUuid);
            return documentValue(this.#call, raw);
        } catch (error) {
            if (error instanceof ApiError) {
                return undefined;
            }
            throw error;
        }
    }

    #errorLine({ code, message }: JobFailure): StreamLine {
        return { type: 'error', error: { code, message }, execution: this.#execution };
    }
}

/**
 * The progress of a job in lines, to its end (jobs-and-imports 8.3). Each line tells of the moment it is
 * asked for, so whoever asks seldom misses numbers, but no image and not the end.
 */
export function jobLines(call: Call, job: FollowedJob, signal: AbortSignal): AsyncIterable<StreamLine> {
    return new JobFollower(call, job, signal).lines();
}
