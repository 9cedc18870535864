import type { Endpoint } from '../endpoint.js';
import { hasChannels } from '../services.js';

/** GET /channels (http-api 3.22). */
export const listChannelsEndpoint: Endpoint = {
    name: 'ListChannels',
    method: 'GET',
    path: '/channels',
    summary: 'Lists the channels as configured; the path exists only on a server with channels.',
    chain: ['PAUTH'],
    mounted: (services) => hasChannels(services.config.current),
    handle: (call) => ({ kind: 'json', value: call.config.channels ?? [] }),
};
