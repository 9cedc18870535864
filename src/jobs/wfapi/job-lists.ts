import type { JobQuery, ServiceJob, ServiceJobs, WorkflowService } from '../../remotes/workflow-service.js';
import { byAge } from '../find-job.js';
import { jobAccount } from '../job.js';
import type { JobFilter, JobPage } from '../job-engine.js';
import { imagesOf, paramsOf } from './job-documents.js';

/** Finished jobs that are looked through for an origin. */
const MAX_FINISHED = 100;
/** Jobs about an image that are looked through for a request's. */
const MAX_OF_IMAGE = 100;
/** Furthest a list that is merged from several reaches. */
const MAX_MERGED = 10_000;

function newestFirst(jobs: Iterable<ServiceJob>): readonly ServiceJob[] {
    return [...jobs].sort((a, b) => byAge(a, b));
}

/** Jobs of several lists, each once. */
function merged(lists: readonly (readonly ServiceJob[])[]): readonly ServiceJob[] {
    return newestFirst(new Map(lists.flat().map((job) => [job.uuid, job])).values());
}

/** The jobs of a workflow service, as far as they are ours (jobs-and-imports 2.3, 2.7). */
export class JobLists {
    readonly #service: WorkflowService;
    readonly #tasks: readonly string[];

    /** @param tasks `wfapi.workflows`: others' jobs may concern images, too */
    constructor(service: WorkflowService, tasks: readonly string[]) {
        this.#service = service;
        this.#tasks = tasks;
    }

    /** A page of the jobs that match, newest first, and how many there are. @throws OutgoingError */
    async list(
        { account, task, ...filter }: JobFilter,
        page: JobPage,
        signal: AbortSignal,
    ): Promise<{ readonly jobs: readonly ServiceJob[]; readonly total: number }> {
        const tasks = this.#tasks.filter((one) => task === undefined || one === task);
        const accounts: readonly JobQuery[] =
            account === undefined ? [{}] : [{ account }, { owner_uuid: account }];
        const queries = tasks.flatMap((one) => accounts.map((of) => ({ ...filter, ...of, task: one })));
        const [only] = queries;
        if (only === undefined) {
            return { jobs: [], total: 0 };
        }
        if (queries.length === 1) {
            const { jobs, total } = await this.#page(only, page, signal);
            return { jobs: newestFirst(jobs), total: total ?? page.offset + jobs.length };
        }
        const reach = { offset: 0, limit: Math.min(page.offset + page.limit, MAX_MERGED) };
        const lists = await Promise.all(queries.map(async (query) => this.#page(query, reach, signal)));
        const all = merged(lists.map(({ jobs }) => jobs)).filter(
            (job) => account === undefined || jobAccount({ params: paramsOf(job) }) === account,
        );
        const beyond = lists.reduce((sum, { jobs, total }) => sum + (total ?? jobs.length) - jobs.length, 0);
        return {
            jobs: all.slice(page.offset, page.offset + page.limit),
            total: all.length + beyond,
        };
    }

    /** The queued or running jobs that match, newest first. @throws OutgoingError */
    async active(query: JobQuery, signal: AbortSignal): Promise<readonly ServiceJob[]> {
        const tasks = query['task'] === undefined ? this.#tasks : [query['task']];
        const inState = async (execution: string): Promise<readonly ServiceJob[]> => {
            const lists = tasks.map(async (task) =>
                this.#service.jobs({ ...query, task, execution }, signal),
            );
            return (await Promise.all(lists)).flatMap(({ jobs }) => jobs);
        };
        // One after the other, as jobs go: one that is taken up in between is seen at least once.
        const queued = await inState('queued');
        return merged([queued, await inState('running')]);
    }

    /** The job of a request about an image, whatever has become of it. @throws OutgoingError */
    async ofRequest(
        query: JobQuery,
        requestId: unknown,
        signal: AbortSignal,
    ): Promise<ServiceJob | undefined> {
        const { jobs } = await this.#page(query, { offset: 0, limit: MAX_OF_IMAGE }, signal);
        return jobs.find((job) => paramsOf(job)['req_id'] === requestId);
    }

    /** The queued or running jobs that make an image, or have it among their origins. @throws OutgoingError */
    async activeAbout(imageUuid: string, signal: AbortSignal): Promise<readonly ServiceJob[]> {
        const jobs = await this.active({}, signal);
        return jobs.filter((job) => imagesOf(job).includes(imageUuid));
    }

    /**
     * The newest job that makes an image, or has it among its origins; of those that are over only the
     * last hundred are looked through for origins, for a service does not look there. @throws OutgoingError
     */
    async newestAbout(imageUuid: string, signal: AbortSignal): Promise<ServiceJob | undefined> {
        const finished = { offset: 0, limit: MAX_FINISHED };
        const [active, own, recent] = await Promise.all([
            this.activeAbout(imageUuid, signal),
            this.list({ image_uuid: imageUuid }, finished, signal),
            this.list({ task: 'import-remote-image' }, finished, signal),
        ]);
        const about = [...own.jobs, ...recent.jobs].filter((job) => imagesOf(job).includes(imageUuid));
        return merged([active, about])[0];
    }

    /** A page; the first whole one is what a service gives when it is not told. */
    #page(query: JobQuery, { offset, limit }: JobPage, signal: AbortSignal): Promise<ServiceJobs> {
        return this.#service.jobs({ ...query, offset: String(offset), limit: String(limit) }, signal);
    }
}
