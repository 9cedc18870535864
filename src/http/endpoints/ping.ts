import { ERROR_CATALOGUE, type ErrorCode, type ErrorFacts } from '../../base/error-catalogue.js';
import {
    ApiError,
    imageAlreadyActivated,
    imageFilesImmutable,
    imageUuidAlreadyExists,
    invalidParameter,
    noActivationNoFile,
    operatorOnly,
    serviceUnavailable,
    storageIsDown,
    storageUnsupported,
} from '../../base/errors.js';
import { VERSION } from '../../base/constants.js';
import type { Call } from '../call.js';
import type { Endpoint } from '../endpoint.js';
import type { Reply } from '../reply.js';
import { requireNotDraining } from '../require-not-draining.js';

const SAMPLE_UUID = 'ed8cd007-2065-0140-8d41-e32247b71748';

/** Samples of the classes that fix their message (http-api 3.23). */
const FIXED_SAMPLES: Partial<Readonly<Record<ErrorCode, () => ApiError>>> = {
    ImageFilesImmutable: () => imageFilesImmutable('82ce32a2-9cb4-9a4c-a303-7a63254bacf4'),
    ImageAlreadyActivated: () => imageAlreadyActivated(SAMPLE_UUID),
    NoActivationNoFile: () => noActivationNoFile(SAMPLE_UUID),
    ImageUuidAlreadyExists: () => imageUuidAlreadyExists(SAMPLE_UUID),
    OperatorOnly: operatorOnly,
    StorageIsDown: () => storageIsDown(),
    StorageUnsupported: storageUnsupported,
};

const CODE_OF_CLASS: ReadonlyMap<string, ErrorCode> = new Map(
    (Object.entries(ERROR_CATALOGUE) as [ErrorCode, ErrorFacts][]).flatMap(([code, { className }]) =>
        className === undefined ? [] : [[className, code] as const],
    ),
);

/** The error that `/ping?error=NAME&message=TEXT` asks for (http-api 3.23). */
function sampleError(name: string, message: string | undefined): ApiError {
    const className = name === '' ? 'InternalError' : name.endsWith('Error') ? name : `${name}Error`;
    const code = CODE_OF_CLASS.get(className);
    if (code === undefined) {
        return invalidParameter(`unknown error: ${className}`, [{ field: 'error', code: 'Missing' }]);
    }
    const fixed = FIXED_SAMPLES[code];
    if (fixed !== undefined) {
        return fixed();
    }
    return code === 'InvalidParameter'
        ? invalidParameter(message ?? 'invalid "foo"', [{ field: 'foo', code: 'Invalid' }])
        : new ApiError(code, message ?? 'boom');
}

function requireRole(call: Call): void {
    const { role } = call.services;
    const wanted = call.exchange.query.get('role');
    if (wanted === 'writer' && !role.isWriter()) {
        throw serviceUnavailable('this process is a reader', 1);
    }
    if (wanted === 'jobs' && !role.isHolder()) {
        throw serviceUnavailable('this process does not run jobs', 1);
    }
}

function handle(call: Call): Reply {
    requireNotDraining(call);
    const { query } = call.exchange;
    const error = query.raw('error');
    if (error !== undefined) {
        throw sampleError(error, query.get('message'));
    }
    requireRole(call);
    return {
        kind: 'json',
        value: {
            ping: 'pong',
            version: VERSION,
            imgapi: true,
            ...(call.isAnonymous ? {} : { pid: process.pid }),
            ...(call.user === undefined ? {} : { user: call.user }),
        },
    };
}

/** GET /ping (http-api 3.23, operations 1.5). */
export const pingEndpoint: Endpoint = {
    name: 'Ping',
    method: 'GET',
    path: '/ping',
    summary: 'Tells that the server is up, and which version it is.',
    parameters: [
        { name: 'error', summary: 'Answer with a sample of this error class.' },
        { name: 'message', summary: 'Message of the sample error, where the class does not fix it.' },
        {
            name: 'role',
            summary: '`writer`: 503 unless this process may write; `jobs`: 503 unless it runs jobs.',
        },
    ],
    quiet: 'always',
    chain: ['PAUTH'],
    handle,
};
