import { constants } from 'node:os';
import { MAX_ORIGIN_DEPTH } from './constants.js';
import { ERROR_CATALOGUE, type ErrorCode, type ErrorFacts } from './error-catalogue.js';

/** One entry of an `errors` array: what is wrong with which field (http-api 1.10). */
export interface ErrorEntry {
    readonly field: string;
    readonly code: 'MissingParameter' | 'Missing' | 'Invalid' | 'NotAllowed' | 'InvalidParameter';
    readonly message?: string;
}

/** What an {@link ApiError} may carry beside code and message. */
export interface ApiErrorOptions {
    readonly errors?: readonly ErrorEntry[];
    /** For the log only; never sent. */
    readonly cause?: unknown;
    /** Extra response headers, e.g. `Retry-After`. */
    readonly headers?: Readonly<Record<string, string>>;
}

/** An error that is answered as it stands: code, status and message are for the client. */
export class ApiError extends Error {
    readonly code: ErrorCode;
    readonly status: number;
    readonly errors: readonly ErrorEntry[] | undefined;
    readonly headers: Readonly<Record<string, string>>;

    constructor(code: ErrorCode, message: string, options: ApiErrorOptions = {}) {
        super(message, { cause: options.cause });
        const facts: ErrorFacts = ERROR_CATALOGUE[code];
        this.name = facts.className ?? (code.endsWith('Error') ? code : `${code}Error`);
        this.code = code;
        this.status = facts.status;
        this.errors = facts.hasEntries === true ? (options.errors ?? []) : undefined;
        this.headers = options.headers ?? {};
    }

    /** The body of the answer (http-api 1.10). */
    toBody(): { code: ErrorCode; message: string; errors?: readonly ErrorEntry[] } {
        return {
            code: this.code,
            message: this.message,
            ...(this.errors === undefined ? {} : { errors: this.errors }),
        };
    }
}

/** An answer that is sent as it is. */
export interface RelayedAnswer {
    readonly status: number;
    /** Sent as JSON. */
    readonly body: unknown;
    /** Extra response headers, e.g. `Retry-After`. */
    readonly headers?: Readonly<Record<string, string>>;
    readonly cause?: unknown;
}

/** An error with a status and a body of its own, most often those of another server (jobs-and-imports 2.7, 3.5, 8.5). */
export class RelayedError extends ApiError {
    override readonly status: number;
    /** Sent instead of {@link toBody}. */
    readonly body: unknown;

    /** @param code, message for the log and for whoever keeps the error instead of answering it */
    constructor(code: ErrorCode, message: string, { status, body, headers, cause }: RelayedAnswer) {
        super(code, message, { cause, ...(headers === undefined ? {} : { headers }) });
        this.status = status;
        this.body = body;
    }
}

/** 422 `ValidationFailed`. */
export function validationFailed(message: string, errors: readonly ErrorEntry[]): ApiError {
    return new ApiError('ValidationFailed', message, { errors });
}

/** 422 `InvalidParameter`. */
export function invalidParameter(message: string, errors: readonly ErrorEntry[]): ApiError {
    return new ApiError('InvalidParameter', message, { errors });
}

/** 422 for a parameter that should be a UUID, e.g. `invalid "account": not a UUID: "x"` (http-api 1.12). */
export function notAUuid(field: string, value: string): ApiError {
    return invalidParameter(`invalid "${field}": not a UUID: "${value}"`, [{ field, code: 'Invalid' }]);
}

/** 404 `ResourceNotFound`. */
export function resourceNotFound(message: string): ApiError {
    return new ApiError('ResourceNotFound', message);
}

/** 404 for an image that is not in the database. */
export function imageNotFound(uuid: string): ApiError {
    return resourceNotFound(`image ${uuid} not found`);
}

/** 403 `OperatorOnly`. */
export function operatorOnly(): ApiError {
    return new ApiError('OperatorOnly', ERROR_CATALOGUE.OperatorOnly.message);
}

/** 409 `ImageUuidAlreadyExists`. */
export function imageUuidAlreadyExists(uuid: string): ApiError {
    return new ApiError('ImageUuidAlreadyExists', `image uuid "${uuid}" already exists`);
}

/** 422 `ImageFilesImmutable`. */
export function imageFilesImmutable(uuid: string): ApiError {
    return new ApiError('ImageFilesImmutable', `cannot modify files on activated image ${uuid}`);
}

/** 422 `ImageAlreadyActivated`. */
export function imageAlreadyActivated(uuid: string): ApiError {
    return new ApiError('ImageAlreadyActivated', `image "${uuid}" is already activated`);
}

/** 422 `NoActivationNoFile`. */
export function noActivationNoFile(uuid: string): ApiError {
    return new ApiError('NoActivationNoFile', `image "${uuid}" cannot be activated: it has no file`);
}

/** 422 `NotImageOwner`. */
export function notImageOwner(account: string, uuid: string): ApiError {
    return new ApiError('NotImageOwner', `account ${account} is not the owner of image ${uuid}`);
}

/** 422 `OriginDoesNotExist`. */
export function originDoesNotExist(uuid: string): ApiError {
    return new ApiError('OriginDoesNotExist', `origin image "${uuid}" does not exist`);
}

/** 422 `OriginIsNotActive`. */
export function originIsNotActive(uuid: string): ApiError {
    return new ApiError('OriginIsNotActive', `origin image "${uuid}" is not active`);
}

/** 500 for an image with too many ancestors, or with itself among them (jobs-and-imports 3.4, 4). */
export function originChainTooLong(): ApiError {
    return internalError(`Origin chain too long, exceeds ${MAX_ORIGIN_DEPTH} images`);
}

/** 422 `ImageHasDependentImages`; up to nine dependents are named, else the first five (http-api 1.10). */
export function imageHasDependentImages(uuid: string, dependents: readonly string[]): ApiError {
    const count = dependents.length;
    const list =
        count < 10 ? dependents.join(', ') : `${dependents.slice(0, 5).join(', ')}, and ${count - 5} more...`;
    return new ApiError(
        'ImageHasDependentImages',
        `image "${uuid}" has ${count} dependent incremental image(s): ${list}`,
    );
}

/** 503 `StorageIsDown`; the reason goes to the log only. */
export function storageIsDown(cause?: unknown): ApiError {
    return new ApiError('StorageIsDown', ERROR_CATALOGUE.StorageIsDown.message, { cause });
}

/** Tells whether a storage was out of reach, out of order or out of room. */
export function isStorageDown(error: unknown): boolean {
    return error instanceof ApiError && error.code === 'StorageIsDown';
}

/** 503 `StorageUnsupported`. */
export function storageUnsupported(): ApiError {
    return new ApiError('StorageUnsupported', ERROR_CATALOGUE.StorageUnsupported.message);
}

/** 503 `ServiceUnavailableError`, with `Retry-After` when `retryAfterSeconds` is given. */
export function serviceUnavailable(message: string, retryAfterSeconds?: number, cause?: unknown): ApiError {
    return new ApiError('ServiceUnavailableError', message, {
        cause,
        ...(retryAfterSeconds === undefined ? {} : { headers: { 'Retry-After': String(retryAfterSeconds) } }),
    });
}

/** 503: the process is on its way out (operations 1.4). */
export function serverIsShuttingDown(): ApiError {
    return serviceUnavailable('server is shutting down');
}

/** 401 `UnauthorizedError`. */
export function unauthorized(message = 'Unauthorized'): ApiError {
    return new ApiError('UnauthorizedError', message);
}

/** 500 `InternalError`; `message` must name no path, `cause` is for the log. */
export function internalError(message: string, cause?: unknown): ApiError {
    return new ApiError('InternalError', message, { cause });
}

/** Error codes of the operating system that mean "no room or not writable" (README, disk full). */
const NO_ROOM = new Set(['ENOSPC', 'EDQUOT', 'EROFS']);

/** Names of the operating system's errors by number. */
const ERROR_NAMES: ReadonlyMap<number, string> = new Map(
    Object.entries(constants.errno).map(([name, number]) => [number, name]),
);

/** Node knows only some errors by name: of others, such as `EDQUOT`, it gives the number. */
function ownErrorCode({ code, errno }: NodeJS.ErrnoException): string | undefined {
    if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) {
        return code;
    }
    return errno === undefined ? undefined : ERROR_NAMES.get(Math.abs(errno));
}

/** The operating system's code of an error or of any of its causes, e.g. `ENOSPC`. */
export function systemErrorCode(error: unknown): string | undefined {
    let current: unknown = error;
    for (let depth = 0; depth < 10 && current instanceof Error; depth += 1) {
        const code = ownErrorCode(current);
        if (code !== undefined) {
            return code;
        }
        current = current.cause;
    }
    return undefined;
}

/** What an error says; what was thrown need not be one. */
export function messageOf(error: unknown): string {
    return error instanceof Error ? error.message : String(error);
}

/** Tells whether an error means that the disk is full, over quota or read-only. */
export function isNoRoom(error: unknown): boolean {
    const code = systemErrorCode(error);
    return code !== undefined && NO_ROOM.has(code);
}

/**
 * Turns a failed write into what is answered: 503 `StorageIsDown` for a full or read-only disk, else
 * 500 with `what` as message. An {@link ApiError} passes unchanged.
 */
export function writeFailure(error: unknown, what: string): ApiError {
    if (error instanceof ApiError) {
        return error;
    }
    return isNoRoom(error) ? storageIsDown(error) : internalError(what, error);
}
