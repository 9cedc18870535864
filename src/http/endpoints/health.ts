import type { Call } from '../call.js';
import type { Endpoint } from '../endpoint.js';
import type { Reply } from '../reply.js';
import { requireNotDraining } from '../require-not-draining.js';

async function handle(call: Call): Promise<Reply> {
    requireNotDraining(call);
    const report = await call.services.control.health();
    return {
        kind: 'json',
        status: report.status === 'down' ? 503 : 200,
        value: call.isAnonymous ? { status: report.status } : report,
    };
}

/** GET /health (operations 1.6). */
export const healthEndpoint: Endpoint = {
    name: 'Health',
    method: 'GET',
    path: '/health',
    summary: 'Tells how the server and what it depends on are; 503 when images cannot be read.',
    quiet: 'ok',
    chain: ['PAUTH', 'ACCOUNT'],
    handle,
};
