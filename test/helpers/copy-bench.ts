import type { Test } from 'tap';
import type { Config } from '#lib/base/config-types.js';
import { OutgoingError } from '#lib/base/http-errors.js';
import { KeyedQueue } from '#lib/base/keyed-queue.js';
import { newUuid } from '#lib/base/uuid.js';
import type { RequestContext } from '#lib/images/context.js';
import type { NewJob, StartedJob } from '#lib/jobs/job-engine.js';
import type { DoneJob, JobServices } from '#lib/jobs/services.js';
import type { JsonObject } from '#lib/manifest/types.js';
import type { AcceptedCopy, CopyTargets, CopyToMake } from '#lib/remotes/copy-target.js';
import type { ImageSource, ImageSources } from '#lib/remotes/image-source.js';
import { JobEngineDouble } from '../doubles/job-engine-double.js';
import { makeBench, type Bench } from './image-bench.js';
import { USERS } from './images.js';

/** Names of datacenters and where their image servers are; the first is the one that copies. */
export const DATACENTERS = {
    here: 'http://here.example.com',
    east: 'http://user:secret@east.example.com/images-of-east/',
    west: 'http://west.example.com?channel=release',
} as const;

/** Accepts jobs and never runs them. */
export class AcceptingEngine extends JobEngineDouble {
    readonly started: NewJob[] = [];
    readonly recorded: DoneJob[] = [];
    /** What every start fails with. */
    refusal: Error | undefined;
    /** The job that is attached to instead of a new one. */
    running: string | undefined;
    /** Called before a job is accepted. */
    beforeStart: (job: NewJob) => Promise<void> = async () => undefined;

    override async start(job?: NewJob): Promise<StartedJob> {
        if (job === undefined) throw new Error('no job');
        await this.beforeStart(job);
        if (this.refusal !== undefined) throw this.refusal;
        if (this.running !== undefined) return { uuid: this.running, attached: true };
        this.started.push(job);
        const { uuid, imageUuid, params, task } = job;
        this.set({ uuid, imageUuid, task, params, execution: 'queued' });
        return { uuid, attached: false };
    }

    override async record(job?: DoneJob): Promise<string> {
        if (job === undefined) throw new Error('no job');
        this.recorded.push(job);
        const uuid = newUuid();
        this.set({ uuid, imageUuid: job.imageUuid, execution: 'succeeded', params: job.params });
        return uuid;
    }
}

/** The images of other datacenters, as they are asked for. */
export class SourceDouble implements ImageSources {
    readonly images = new Map<string, JsonObject | OutgoingError>();
    /** Address, image and account of every request. */
    readonly asked: string[] = [];

    at(address: { readonly shownUrl: string }): ImageSource {
        return {
            manifest: async (uuid, { account }) => {
                this.asked.push(`${address.shownUrl} ${uuid} ${account}`);
                const found = this.images.get(uuid);
                if (found instanceof OutgoingError) throw found;
                if (found === undefined)
                    throw refusedBy(404, { code: 'NotFoundError', message: 'image not found' });
                return found;
            },
            openFile: () => Promise.reject(new Error('no file is copied here')),
        };
    }
}

/** Other datacenters, which answer as a test says. */
export class TargetDouble implements CopyTargets {
    readonly requests: (CopyToMake & { readonly url: string })[] = [];
    readonly answers = new Map<string, (copy: CopyToMake) => Promise<AcceptedCopy>>();
    /** The states of each job, in the order it is looked at; the last one stays. */
    readonly jobs = new Map<string, (JsonObject | OutgoingError)[]>();
    readonly looks: string[] = [];

    at({ url }: { readonly url: string }): ReturnType<CopyTargets['at']> {
        return {
            request: async (copy) => {
                this.requests.push({ ...copy, url });
                const answer = this.answers.get(url);
                if (answer === undefined)
                    throw new OutgoingError('connect', `POST ${url}: connect ECONNREFUSED`);
                return answer(copy);
            },
            job: async (workflowApi, jobUuid) => {
                this.looks.push(`${workflowApi}/jobs/${jobUuid}`);
                const states = this.jobs.get(jobUuid) ?? [];
                const state = states.length > 1 ? states.shift() : states[0];
                if (state === undefined)
                    throw refusedBy(404, { code: 'ResourceNotFound', message: 'no job' });
                if (state instanceof OutgoingError) throw state;
                return state;
            },
        };
    }
}

/** A refusal of another server, with its body. */
export function refusedBy(
    status: number,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
): OutgoingError {
    return new OutgoingError('status', `GET somewhere: status ${status}`, { status, body, headers });
}

/** Everything that copies between datacenters need, without other servers. */
export interface CopyBench {
    readonly bench: Bench;
    readonly services: JobServices;
    readonly engine: AcceptingEngine;
    readonly source: SourceDouble;
    readonly targets: TargetDouble;
    /** The context of a call for vader. */
    readonly context: (changes?: Partial<RequestContext>) => RequestContext;
}

/** A datacenter called `here` in which vader may own images. */
export async function makeCopyBench(t: Test, config: Partial<Config> = {}): Promise<CopyBench> {
    const bench = await makeBench(t, {
        accounts: [USERS.vader, USERS.luke],
        config: {
            mode: 'dc',
            datacenterName: 'here',
            adminUuid: USERS.sdc,
            imgapiUrlFromDatacenter: DATACENTERS,
            ...config,
        },
    });
    const engine = new AcceptingEngine();
    const source = new SourceDouble();
    const targets = new TargetDouble();
    const services: JobServices = {
        config: bench.services.config,
        images: { ...bench.services, sources: source },
        engine,
        local: engine,
        targets,
        turns: new KeyedQueue(),
    };
    return {
        bench,
        services,
        engine,
        source,
        targets,
        context: (changes = {}) => bench.context({ account: USERS.vader, version2: true, ...changes }),
    };
}
