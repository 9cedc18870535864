import { ApiError } from '../../base/errors.js';
import type { Endpoint } from '../endpoint.js';
import { accountParameter, channelOrAnyParameter } from '../parameters.js';

const EXECUTIONS = ['queued', 'failed', 'succeeded', 'canceled', 'running'];

/**
 * GET /images/:uuid/jobs (http-api 3.7). No endpoint of this server starts a job, so the list of an
 * existing image is empty.
 */
export const listImageJobsEndpoint: Endpoint = {
    name: 'ListImageJobs',
    method: 'GET',
    path: '/images/:uuid/jobs',
    summary: 'Lists the jobs that worked on an image; none, as this server starts no jobs.',
    parameters: [
        accountParameter,
        channelOrAnyParameter,
        { name: 'task', summary: '`create-from-vm` or `import-remote-image`.' },
        { name: 'execution', summary: EXECUTIONS.map((one) => `\`${one}\``).join(', ') },
    ],
    chain: ['UUID', 'CHAN*', 'LOAD'],
    handle: (call) => {
        const execution = call.exchange.query.get('execution');
        if (execution !== undefined && !EXECUTIONS.includes(execution)) {
            throw new ApiError(
                'ConflictError',
                'Execution must be one of queued, failed, succeeded, canceled or running',
            );
        }
        return { kind: 'json', value: [] };
    },
};
