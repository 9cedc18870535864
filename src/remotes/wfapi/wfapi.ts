import type { JsonAnswer, JsonRequest, OutgoingHttp } from '../../base/http-client.js';
import { OutgoingError } from '../../base/http-errors.js';
import type { JsonObject } from '../../manifest/types.js';
import type {
    JobQuery,
    ServiceJob,
    ServiceJobs,
    StoredWorkflow,
    Workflow,
    WorkflowService,
} from '../workflow-service.js';
import { jobOf, listOf, requireBackend, totalOf, workflowOf } from './answers.js';

/** For one answer, milliseconds. */
const ANSWER_LIMIT_MS = 30_000;
/** For a ping (jobs-and-imports 2.2). */
const PING_LIMIT_MS = 5000;
/** Largest answer, bytes: every job in a list carries the text of its workflow. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** What a {@link WfapiClient} is made from. */
export interface WfapiOptions {
    readonly http: OutgoingHttp;
    /** `wfapi.url`. */
    readonly url: string;
}

/** `undefined` when the service knows no such thing. @throws OutgoingError */
async function unlessUnknown<T>(work: Promise<T>): Promise<T | undefined> {
    try {
        return await work;
    } catch (error) {
        if (error instanceof OutgoingError && error.status === 404) {
            return undefined;
        }
        throw error;
    }
}

/** WFAPI over HTTP (jobs-and-imports 2.3). */
export class WfapiClient implements WorkflowService {
    readonly url: string;
    readonly #http: OutgoingHttp;

    constructor(options: WfapiOptions) {
        this.#http = options.http;
        this.url = options.url.replace(/\/+$/, '');
    }

    async ping(signal: AbortSignal): Promise<void> {
        const timeouts = { connectMs: PING_LIMIT_MS, totalMs: PING_LIMIT_MS };
        requireBackend((await this.#ask('/ping', signal, { timeouts })).body);
    }

    async lookUp(uuid: string, signal: AbortSignal): Promise<void> {
        const timeouts = { connectMs: PING_LIMIT_MS, totalMs: PING_LIMIT_MS };
        await unlessUnknown(this.#ask(`/workflows/${uuid}`, signal, { timeouts }));
    }

    async workflowsNamed(name: string, signal: AbortSignal): Promise<readonly StoredWorkflow[]> {
        const { body } = await this.#ask('/workflows', signal, { query: { name } });
        return listOf(body, workflowOf);
    }

    async createWorkflow(workflow: Workflow, signal: AbortSignal): Promise<string> {
        const { body } = await this.#ask('/workflows', signal, { method: 'POST', body: workflow });
        return workflowOf(body).uuid;
    }

    async replaceWorkflow(uuid: string, workflow: Workflow, signal: AbortSignal): Promise<void> {
        await this.#ask(`/workflows/${uuid}`, signal, { method: 'PUT', body: workflow });
    }

    async createJob(
        job: JsonObject,
        requestId: string | undefined,
        signal: AbortSignal,
    ): Promise<ServiceJob> {
        const { body } = await this.#ask('/jobs', signal, {
            method: 'POST',
            body: job,
            ...(requestId === undefined ? {} : { requestId }),
        });
        return jobOf(body);
    }

    async job(uuid: string, signal: AbortSignal): Promise<ServiceJob | undefined> {
        const answer = await unlessUnknown(this.#ask(`/jobs/${uuid}`, signal));
        return answer && jobOf(answer.body);
    }

    async jobs(query: JobQuery, signal: AbortSignal): Promise<ServiceJobs> {
        const { body, headers } = await this.#ask('/jobs', signal, { query });
        const total = totalOf(headers);
        return { jobs: listOf(body, jobOf), ...(total === undefined ? {} : { total }) };
    }

    async cancelJob(uuid: string, signal: AbortSignal): Promise<ServiceJob> {
        const { body } = await this.#ask(`/jobs/${uuid}/cancel`, signal, { method: 'POST', body: {} });
        return jobOf(body);
    }

    async #ask(path: string, signal: AbortSignal, request: Partial<JsonRequest> = {}): Promise<JsonAnswer> {
        return (await this.#http()).json({
            timeouts: { totalMs: ANSWER_LIMIT_MS },
            maxBytes: MAX_ANSWER_BYTES,
            ...request,
            url: `${this.url}${path}`,
            peer: 'service',
            headers: { 'accept-version': '*' },
            signal,
        });
    }
}
