import { ApiError } from '../../base/errors.js';
import type { Call } from '../call.js';
import type { Action, Endpoint } from '../endpoint.js';
import type { Reply } from '../reply.js';

const ACCEPTED: Reply = { kind: 'empty', status: 202 };

async function getState(call: Call): Promise<Reply> {
    const withDatabase = call.exchange.query.boolean('db', true) ?? true;
    const { control } = call.services;
    const manifests = withDatabase ? control.manifests() : undefined;
    return {
        kind: 'json',
        value: {
            cache: {},
            log: { level: control.logLevel() },
            storageTypes: call.config.storageTypes,
            ...(await control.state()),
            ...(manifests === undefined ? {} : { db: { manifestFromUuid: manifests } }),
        },
    };
}

function setLogLevel(call: Call): Reply {
    const level = call.exchange.query.raw('level') ?? '';
    try {
        call.services.control.setLogLevel(/^\d+$/.test(level) ? Number(level) : level);
    } catch (error) {
        throw new ApiError('InvalidArgument', `invalid level: "${level}"`, { cause: error });
    }
    return ACCEPTED;
}

const actions: readonly Action[] = [
    {
        action: 'dropcaches',
        name: 'AdminUpdateState',
        summary: 'Drops everything that is only kept to be faster.',
        chain: [],
        handle: (call) => {
            call.services.control.dropCaches();
            return ACCEPTED;
        },
    },
    {
        action: 'loglevel',
        name: 'AdminUpdateState',
        summary: 'Sets the level of the log of this process until it restarts or reloads.',
        parameters: [
            { name: 'level', summary: 'Bunyan name or number, e.g. `debug` or `20`.', required: true },
        ],
        chain: [],
        handle: setLogLevel,
    },
    {
        action: 'reload',
        name: 'AdminUpdateState',
        summary: 'Reads the configuration and the keys again, as SIGHUP does.',
        chain: [],
        handle: (call) => {
            call.services.control.reload();
            return ACCEPTED;
        },
    },
];

/** GET and POST /state (http-api 3.24, operations 1.7). */
export const stateEndpoints: readonly Endpoint[] = [
    {
        name: 'AdminGetState',
        method: 'GET',
        path: '/state',
        summary: 'Shows what is inside this process, for debugging; the contents may change.',
        parameters: [{ name: 'db', summary: '`false` leaves the records of the database out.' }],
        chain: ['AUTH'],
        handle: getState,
    },
    {
        name: 'AdminUpdateState',
        method: 'POST',
        path: '/state',
        summary: 'Acts on this process; `action` says how.',
        chain: ['AUTH'],
        actions,
        withoutAction: {
            chain: [],
            handle: () => {
                throw new ApiError('MissingParameter', '"action" is required');
            },
        },
        refuseAction: (action) => new ApiError('InvalidArgument', `"${action}" is not a valid action`),
    },
];
