import { UUID_RE } from '../../base/uuid.js';
import type { Endpoint } from '../endpoint.js';
import type { Reply } from '../reply.js';

function redirect(location: string): Reply {
    return { kind: 'empty', status: 301, headers: { Location: location } };
}

/**
 * Where a dataset of the older API is now (http-api 3.26).
 *
 * @param dataset a uuid, a name, `name:version`, or `cloud:creator:name[:version]`
 */
function datasetLocation(dataset: string): string {
    if (UUID_RE.test(dataset)) {
        return `/images/${dataset}`;
    }
    const parts = dataset.split(':');
    const [name, version] =
        parts.length === 2
            ? parts
            : parts.length === 3
              ? [parts[2]]
              : parts.length === 4
                ? parts.slice(2)
                : [dataset];
    const query = `name=${encodeURIComponent(name ?? '')}`;
    return `/images?${version === undefined ? query : `${query}&version=${encodeURIComponent(version)}`}`;
}

const toDocs = () => redirect('/docs/');

/** Paths that only point elsewhere (http-api 3.26). */
export const redirectEndpoints: readonly Endpoint[] = [
    {
        name: 'ListDatasets',
        method: 'GET',
        path: '/datasets',
        summary: 'Redirects to `/images`.',
        chain: [],
        handle: () => redirect('/images'),
    },
    {
        name: 'GetDataset',
        method: 'GET',
        path: '/datasets/:arg',
        summary: 'Redirects to the image or to a search for it.',
        chain: [],
        handle: (call) => redirect(datasetLocation(call.exchange.params['arg'] ?? '')),
    },
    {
        name: 'Root',
        method: 'GET',
        path: '/',
        aliases: ['/docs'],
        summary: 'Redirects to the documentation.',
        chain: [],
        handle: toDocs,
    },
    {
        name: 'WebPages',
        method: 'GET',
        path: '/ui',
        summary: 'Redirects to the page that lists the images.',
        chain: [],
        // Relative, as the links of the pages are.
        handle: ({ exchange: { target, path } }) => redirect(`ui/${target.slice(path.length)}`),
    },
];
