import { invalidParameter, type ApiError } from '../../base/errors.js';
import { findJob, type FoundJob } from '../../jobs/find-job.js';
import { EXECUTIONS, TASKS } from '../../jobs/job.js';
import type { JobEngine, JobFilter, JobPage } from '../../jobs/job-engine.js';
import type { Call } from '../call.js';
import type { Endpoint } from '../endpoint.js';
import { jobAccountParameter } from '../parameters.js';
import type { Reply } from '../reply.js';

/** Most jobs of one answer, and the default (jobs-and-imports 9.5). */
const MAX_JOBS = 1000;

const FILTERS = ['execution', 'task', 'image_uuid', 'vm_uuid', 'account'] as const;

function invalid(name: string, value: string): ApiError {
    return invalidParameter(`invalid ${name}: "${value}"`, [{ field: name, code: 'Invalid' }]);
}

/** @throws 422 unless it is a whole number from `least` on */
function parseCount(call: Call, name: 'limit' | 'offset', least: number, absent: number): number {
    const given = call.exchange.query.get(name);
    if (given === undefined) {
        return absent;
    }
    const count = /^\d+$/.test(given) ? Number(given) : NaN;
    if (!(count >= least && count <= Number.MAX_SAFE_INTEGER)) {
        throw invalid(name, given);
    }
    return count;
}

function parsePage(call: Call): JobPage {
    return {
        limit: Math.min(parseCount(call, 'limit', 1, MAX_JOBS), MAX_JOBS),
        offset: parseCount(call, 'offset', 0, 0),
    };
}

function parseFilter(call: Call): JobFilter {
    const { query } = call.exchange;
    return Object.fromEntries(
        FILTERS.map((name) => [name, query.get(name)] as const).filter(([, value]) => value !== undefined),
    );
}

/** Whose jobs are listed: with a workflow service those in files here only when asked for. @throws 422 */
function chosenEngine(call: Call): JobEngine {
    const { engine, local } = call.services.jobs;
    const given = call.exchange.query.get('engine');
    if (given !== undefined && given !== 'embedded') {
        throw invalid('engine', given);
    }
    return given === undefined ? engine : local;
}

async function list(call: Call): Promise<Reply> {
    const engine = chosenEngine(call);
    const page = parsePage(call);
    const { jobs, total } = await engine.list(parseFilter(call), page, call.exchange.signal);
    return { kind: 'json', value: jobs, headers: { 'x-count': String(total) } };
}

/** The job the request names. @throws 404, 503 */
async function jobOf(call: Call): Promise<FoundJob> {
    return findJob(call.services.jobs, call.exchange.params['uuid'] ?? '', call.context);
}

async function cancel(call: Call): Promise<Reply> {
    const { document, engine } = await jobOf(call);
    return { kind: 'json', value: await engine.cancel(document.uuid, call.exchange.signal) };
}

/** GET /jobs, GET /jobs/:uuid and /info, POST /jobs/:uuid/cancel (jobs-and-imports 9.5, README table B). */
export const jobEndpoints: readonly Endpoint[] = [
    {
        name: 'ListJobs',
        method: 'GET',
        path: '/jobs',
        summary: 'Lists jobs, newest first; `x-count` tells how many there are in all.',
        parameters: [
            jobAccountParameter,
            { name: 'execution', summary: EXECUTIONS.map((one) => `\`${one}\``).join(', ') },
            { name: 'task', summary: TASKS.map((one) => `\`${one}\``).join(', ') },
            { name: 'image_uuid', summary: 'Only jobs for this image.' },
            { name: 'vm_uuid', summary: 'Only jobs that make an image of this instance.' },
            { name: 'limit', summary: 'Most jobs to return, 1 to 1000; default 1000.' },
            { name: 'offset', summary: 'How many of the newest to leave out; default 0.' },
            {
                name: 'engine',
                summary:
                    '`embedded`: the jobs this server keeps itself, also where a workflow service runs the others.',
            },
        ],
        chain: ['AUTH', 'ACCOUNT'],
        handle: list,
    },
    {
        name: 'GetJob',
        method: 'GET',
        path: '/jobs/:uuid',
        summary: 'Returns a job.',
        parameters: [jobAccountParameter],
        anyVersion: true,
        chain: ['ACCOUNT'],
        handle: async (call) => ({ kind: 'json', value: (await jobOf(call)).document }),
    },
    {
        name: 'GetJobInfo',
        method: 'GET',
        path: '/jobs/:uuid/info',
        summary: 'Returns what the steps of a job had to say.',
        parameters: [jobAccountParameter],
        anyVersion: true,
        chain: ['ACCOUNT'],
        handle: async (call) => ({ kind: 'json', value: (await jobOf(call)).document.info ?? [] }),
    },
    {
        name: 'CancelJob',
        method: 'POST',
        path: '/jobs/:uuid/cancel',
        summary: 'Cancels a job that is queued or running, and removes what it has made.',
        parameters: [jobAccountParameter],
        chain: ['AUTH', 'WRITER', 'HOLD', 'ACCOUNT'],
        handle: cancel,
    },
];
