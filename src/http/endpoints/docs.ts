import { join } from 'node:path';
import type { Endpoint } from '../endpoint.js';
import { docsReply, faviconReply } from '../static-files.js';

/** The built documentation and its icon (http-api 3.26). */
export const docsEndpoints: readonly Endpoint[] = [
    {
        name: 'PublicDocs',
        method: 'GET',
        path: '/docs/*',
        summary: 'Serves the documentation.',
        quiet: 'always',
        chain: [],
        handle: ({ exchange, services }) =>
            docsReply({
                directory: services.docsDirectory,
                rest: exchange.params['rest'] ?? '',
                path: exchange.path,
                headers: exchange.headers,
            }),
    },
    {
        name: 'Favicon',
        method: 'GET',
        path: '/favicon.ico',
        summary: 'Serves the icon that browsers ask for.',
        chain: [],
        handle: ({ exchange, services }) =>
            faviconReply(join(services.docsDirectory, 'favicon.ico'), exchange.path),
    },
];
