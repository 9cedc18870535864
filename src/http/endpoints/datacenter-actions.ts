import { invalidParameter } from '../../base/errors.js';
import { copyToDatacenters, followCopiesToDatacenters } from '../../jobs/datacenter/copy-to-datacenters.js';
import {
    type CopyOutcome,
    type CopyWish,
    importFromDatacenter,
} from '../../jobs/datacenter/import-from-datacenter.js';
import type { Call } from '../call.js';
import type { Action } from '../endpoint.js';
import { jobStream, streamReply } from '../progress-stream.js';
import type { ParameterFacts } from '../route.js';
import { jobReply } from '../workflow-api.js';

const progressParameter: ParameterFacts = {
    name: 'progress',
    summary:
        '`stream`: the answer is a stream of JSON lines that tell how the copy goes, to its end (`application/x-json-stream`); implies `sync`.',
};

function isStreamed({ exchange }: Call): boolean {
    return exchange.query.get('progress') === 'stream';
}

/** @returns whether there is one @throws 422 `InvalidParameter` (README, parameters) */
function requireProgress(call: Call): boolean {
    const given = call.exchange.query.get('progress');
    if (given !== undefined && given !== 'stream') {
        throw invalidParameter(`invalid progress: "${given}"`, [{ field: 'progress', code: 'Invalid' }]);
    }
    return given !== undefined;
}

/** How a copy is wanted (jobs-and-imports 8.2). @throws 422 `InvalidParameter` */
function copyWish(call: Call): CopyWish {
    const { query } = call.exchange;
    const sync = query.boolean('sync') ?? false;
    const doNotRestart = query.boolean('do_not_restart') ?? false;
    const placeholder = query.boolean('placeholder');
    const isSync = requireProgress(call) || sync || doNotRestart;
    return {
        mode: doNotRestart ? 'watch' : isSync ? 'sync' : 'plain',
        placeholder: placeholder ?? isSync,
    };
}

/** ImportImageFromDatacenter (jobs-and-imports 3.5, 8.2). */
export const importFromDatacenterAction: Action = {
    action: 'import-from-datacenter',
    name: 'ImportImageFromDatacenter',
    summary:
        'Starts a job that copies an image of the account, and those of its origins that are not here, from another datacenter: `{"image_uuid", "job_uuid"}`, with `sync` also `result` and `changed`.',
    parameters: [
        { name: 'datacenter', summary: 'Name of the datacenter to copy from.', required: true },
        {
            name: 'sync',
            summary:
                '`true`: go on with a copy that is running, start a failed one again, bring a finished one up to date, instead of answering 409.',
        },
        {
            name: 'do_not_restart',
            summary: '`true`: only tell of a copy that is running or finished, start none; implies `sync`.',
        },
        {
            name: 'placeholder',
            summary:
                '`true`: the image is there at once, in state `creating`, and becomes `failed` if the copy fails; default: as `sync`.',
        },
        progressParameter,
    ],
    chain: [],
    handle: async (call) => {
        const copy = (): Promise<CopyOutcome> =>
            importFromDatacenter(call.services.jobs, call.context, call.uuid, {
                datacenter: call.exchange.query.get('datacenter'),
                wish: () => copyWish(call),
            });
        return isStreamed(call)
            ? streamReply(call, async () => jobStream(call, await copy()))
            : jobReply(call, await copy());
    },
};

/** CopyImageToDatacenters (jobs-and-imports 8.5). */
export const copyToDatacentersAction: Action = {
    action: 'copy-to-datacenters',
    name: 'CopyImageToDatacenters',
    summary:
        'Asks other datacenters to copy an image of the account from here: `{"image_uuid", "results"}`; 503 when none of them does.',
    parameters: [
        {
            name: 'datacenters',
            summary: 'Names of datacenters, joined by commas, or `all`.',
            required: true,
        },
        { name: 'sync', summary: '`true`: as for `import-from-datacenter`, there.' },
        { ...progressParameter, summary: `${progressParameter.summary} Each line names its \`datacenter\`.` },
    ],
    chain: ['LOAD', 'OWNER'],
    changesNothing: true,
    handle: async (call) => {
        const { services, context, image } = call;
        const request = {
            datacenters: call.exchange.query.get('datacenters'),
            sync: () => {
                const sync = call.exchange.query.boolean('sync') ?? false;
                return requireProgress(call) || sync;
            },
        };
        if (isStreamed(call)) {
            return streamReply(call, () =>
                followCopiesToDatacenters(services.jobs, context, image.raw, request),
            );
        }
        return {
            kind: 'json',
            value: await copyToDatacenters(services.jobs, context, image.raw, request),
        };
    },
};
