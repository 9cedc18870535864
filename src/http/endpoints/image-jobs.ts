import { byAge } from '../../jobs/find-job.js';
import { EXECUTIONS, TASKS } from '../../jobs/job.js';
import type { Call } from '../call.js';
import type { Endpoint } from '../endpoint.js';
import { accountParameter, channelOrAnyParameter } from '../parameters.js';
import type { Reply } from '../reply.js';

/** Most jobs of one task that are listed. */
const MAX_JOBS = 1000;

/** The tasks whose jobs are listed: a workflow service may know other jobs with this image (jobs-and-imports 2.7). */
function wantedTasks(call: Call): readonly string[] {
    const wanted = call.exchange.query.get('task');
    return TASKS.filter((task) => wanted === undefined || task === wanted);
}

async function handle(call: Call): Promise<Reply> {
    const { engine } = call.services.jobs;
    const execution = call.exchange.query.get('execution');
    const lists = await Promise.all(
        wantedTasks(call).map(async (task) =>
            engine.list(
                {
                    task,
                    image_uuid: call.image.raw.uuid,
                    ...(execution === undefined ? {} : { execution }),
                },
                { offset: 0, limit: MAX_JOBS },
                call.exchange.signal,
            ),
        ),
    );
    return { kind: 'json', value: lists.flatMap(({ jobs }) => jobs).sort(byAge) };
}

/** GET /images/:uuid/jobs (http-api 3.7, jobs-and-imports 2.7, 9.5). */
export const listImageJobsEndpoint: Endpoint = {
    name: 'ListImageJobs',
    method: 'GET',
    path: '/images/:uuid/jobs',
    summary: 'Lists the jobs that work or worked on an image, newest first.',
    parameters: [
        accountParameter,
        channelOrAnyParameter,
        { name: 'task', summary: TASKS.map((one) => `\`${one}\``).join(' or ') },
        { name: 'execution', summary: EXECUTIONS.map((one) => `\`${one}\``).join(', ') },
    ],
    chain: ['UUID', 'CHAN*', 'LOAD'],
    handle,
};
