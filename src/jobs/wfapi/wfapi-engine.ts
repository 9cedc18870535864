import { setTimeout as delay } from 'node:timers/promises';
import type Logger from 'bunyan';
import type { Clock } from '../../base/clock.js';
import type { Config } from '../../base/config-types.js';
import { ApiError, imageUuidAlreadyExists } from '../../base/errors.js';
import { OutgoingError } from '../../base/http-errors.js';
import type { ImageServices } from '../../images/context.js';
import { isObject } from '../../manifest/coerce.js';
import type { ServiceJob, WorkflowService } from '../../remotes/workflow-service.js';
import { jobNotFound } from '../find-job.js';
import type { JobDocument, JobView } from '../job.js';
import type { JobEngine, JobFilter, JobList, JobPage, NewJob, StartedJob } from '../job-engine.js';
import { doesTheSame } from '../same-job.js';
import { Availability } from './availability.js';
import { asking, workflowApiIsDown } from './failure.js';
import { isOurs, paramsOf, shownDocument } from './job-documents.js';
import { JobLists } from './job-lists.js';
import { JobProgresses } from './job-progress.js';
import { Registration } from './registration.js';

/** What a {@link WfapiEngine} is made from. */
export interface WfapiEngineOptions {
    readonly service: WorkflowService;
    readonly settings: NonNullable<Config['wfapi']>;
    readonly images: ImageServices;
    readonly clock: Clock;
    readonly log: Logger;
    /** Pause between two looks whether the service is up, milliseconds. */
    readonly everyMs?: number;
}

const LOOK_EVERY_MS = 10_000;
/** After that long a job may have changed: nobody tells (jobs-and-imports 8.3). */
const POLL_MS = 2000;

/** Has a workflow service run the jobs (jobs-and-imports 2). Before {@link open} it counts as down. */
export class WfapiEngine implements JobEngine {
    readonly kind = 'wfapi';
    readonly #service: WorkflowService;
    readonly #log: Logger;
    readonly #availability: Availability;
    readonly #registration: Registration;
    readonly #lists: JobLists;
    readonly #progresses: JobProgresses;
    readonly #stop = new AbortController();
    #running: readonly Promise<void>[] = [];

    constructor(options: WfapiEngineOptions) {
        const { service, settings, everyMs = LOOK_EVERY_MS } = options;
        const log = options.log.child({ component: 'wfapi' }, true);
        this.#service = service;
        this.#log = log;
        this.#availability = new Availability({ service, log, everyMs });
        this.#registration = new Registration({
            service,
            log,
            names: settings.workflows,
            forceReplace: settings.forceReplace === true,
            forceMd5Check: settings.forceMd5Check === true,
        });
        this.#lists = new JobLists(service, settings.workflows);
        this.#progresses = new JobProgresses(options);
    }

    get url(): string {
        return this.#service.url;
    }

    /** Why no jobs can be started or looked at; `undefined`: they can. */
    get problem(): string | undefined {
        return (
            this.#availability.problem ??
            (this.#registration.isComplete ? undefined : 'workflows are not registered')
        );
    }

    /** Begins to look for the service and to register the workflows; waits for nothing. */
    open(): void {
        const { signal } = this.#stop;
        this.#running = [this.#availability.watch(signal), this.#keepRegistered(signal)];
    }

    /** Ends what is done in the background. */
    async close(): Promise<void> {
        this.#stop.abort(new Error('server is shutting down'));
        await Promise.all(this.#running);
    }

    requireAvailable(): void {
        if (!this.#availability.isUp || !this.#registration.isComplete) {
            throw workflowApiIsDown();
        }
    }

    async start(job: NewJob, signal: AbortSignal): Promise<StartedJob> {
        this.requireAvailable();
        const { task, params, target, imageUuid } = job;
        const workflow = this.#registration.uuidOf(task);
        if (workflow === undefined) {
            throw new ApiError('NotAvailable', `jobs "${task}" are not available on this server`);
        }
        if (task === 'import-remote-image') {
            const busy = await asking(signal, this.#lists.active({ image_uuid: imageUuid, task }, signal));
            const same = busy.find((one) => doesTheSame(paramsOf(one), params));
            if (same !== undefined) {
                return { uuid: same.uuid, attached: true };
            }
            if (busy.length > 0) {
                throw imageUuidAlreadyExists(imageUuid);
            }
        }
        const { uuid } = await asking(
            signal,
            this.#create(job, { ...params, task, target, workflow }, signal),
        );
        const sizes = job.hidden?.['sizes'];
        if (isObject(sizes)) {
            this.#progresses.expect(uuid, sizes as Readonly<Record<string, number>>);
        }
        return { uuid, attached: false };
    }

    async find(uuid: string, signal: AbortSignal): Promise<JobView | undefined> {
        const job = await this.#get(uuid, signal);
        return job && (await this.#progresses.view(job));
    }

    async list(filter: JobFilter, page: JobPage, signal: AbortSignal): Promise<JobList> {
        this.#requireUp();
        const { jobs, total } = await asking(signal, this.#lists.list(filter, page, signal));
        return { jobs: jobs.map(shownDocument), total };
    }

    async cancel(uuid: string, signal: AbortSignal): Promise<JobDocument> {
        if ((await this.#get(uuid, signal)) === undefined) {
            throw jobNotFound(uuid);
        }
        return shownDocument(await asking(signal, this.#service.cancelJob(uuid, signal)));
    }

    async active(imageUuid: string, signal: AbortSignal, asOrigin = false): Promise<readonly JobDocument[]> {
        this.#requireUp();
        const jobs = await asking(
            signal,
            asOrigin
                ? this.#lists.activeAbout(imageUuid, signal)
                : this.#lists.active({ image_uuid: imageUuid }, signal),
        );
        return jobs.map(shownDocument);
    }

    async newest(imageUuid: string, signal: AbortSignal): Promise<JobDocument | undefined> {
        this.#requireUp();
        const job = await asking(signal, this.#lists.newestAbout(imageUuid, signal));
        return job && shownDocument(job);
    }

    async nextChange(_uuid: string, signal: AbortSignal): Promise<void> {
        try {
            await delay(POLL_MS, undefined, { signal });
        } catch (error) {
            signal.throwIfAborted();
            throw error;
        }
    }

    /** Jobs can be looked at without workflows. @throws 503 `Workflow API is down.` */
    #requireUp(): void {
        if (!this.#availability.isUp) {
            throw workflowApiIsDown();
        }
    }

    async #get(uuid: string, signal: AbortSignal): Promise<ServiceJob | undefined> {
        this.#requireUp();
        const job = await asking(signal, this.#service.job(uuid, signal));
        return job !== undefined && isOurs(job) ? job : undefined;
    }

    /** Creates a job. Where the answer is lost, it is looked whether there is one: each has its request's id. */
    async #create(
        job: NewJob,
        body: NewJob['params'],
        signal: AbortSignal,
    ): Promise<{ readonly uuid: string }> {
        try {
            return await this.#service.createJob(body, job.requestId, signal);
        } catch (error) {
            if (!(error instanceof OutgoingError) || signal.aborted) {
                throw error;
            }
            if (error.status === 404) {
                this.#log.warn({ err: error }, 'the workflow service has lost a workflow');
                this.#registration.forget();
                throw workflowApiIsDown(error);
            }
            if (error.status !== undefined) {
                throw error;
            }
            const { imageUuid: image_uuid, task, params } = job;
            const found = await this.#lists.ofRequest({ image_uuid, task }, params['req_id'], signal);
            if (found === undefined) {
                throw error;
            }
            return found;
        }
    }

    async #keepRegistered(signal: AbortSignal): Promise<void> {
        while (!signal.aborted) {
            await this.#availability.up(signal);
            if (!signal.aborted) {
                await this.#registration.run(signal);
                await this.#registration.incomplete(signal);
            }
        }
    }
}
