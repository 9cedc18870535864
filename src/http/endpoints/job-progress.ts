import { findImageJob, findJob, type FoundJob } from '../../jobs/find-job.js';
import type { Call } from '../call.js';
import type { Endpoint, Handler } from '../endpoint.js';
import { accountParameter, jobAccountParameter } from '../parameters.js';
import { jobLines } from '../progress-lines.js';
import { streamReply } from '../progress-stream.js';
import type { ParameterFacts } from '../route.js';

const streamParameter: ParameterFacts = {
    name: 'stream',
    summary: '`true`: a line of JSON for each change, until the job has ended.',
};

/** Answers how far a job is: once, or in lines to its end (jobs-and-imports 8.3). */
function progressOf(find: (call: Call) => Promise<FoundJob>): Handler {
    return async (call) => {
        if (call.exchange.query.boolean('stream') !== true) {
            return { kind: 'json', value: (await find(call)).progress };
        }
        return streamReply(call, async () => {
            const { progress, engine } = await find(call);
            const job = { engine, jobUuid: progress.job_uuid, imageUuid: progress.image_uuid };
            return { lines: (signal) => jobLines(call, job, signal) };
        });
    };
}

/** GET /jobs/:uuid/progress and /images/:uuid/progress (README table B). */
export const jobProgressEndpoints: readonly Endpoint[] = [
    {
        name: 'GetJobProgress',
        method: 'GET',
        path: '/jobs/:uuid/progress',
        summary: 'Tells how far a job is.',
        parameters: [jobAccountParameter, streamParameter],
        chain: ['ACCOUNT'],
        handle: progressOf((call) =>
            findJob(call.services.jobs, call.exchange.params['uuid'] ?? '', call.context),
        ),
    },
    {
        name: 'GetImageProgress',
        method: 'GET',
        path: '/images/:uuid/progress',
        summary:
            'Tells how far the newest job is that imports, copies or creates an image, which need not exist yet, or another image made on it.',
        parameters: [accountParameter, streamParameter],
        chain: ['UUID', 'ACCOUNT'],
        handle: progressOf((call) => findImageJob(call.services.jobs, call.uuid, call.context)),
    },
];
