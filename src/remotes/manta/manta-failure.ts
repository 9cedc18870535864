import type { IncomingMessage } from 'node:http';
import { ApiError, isStorageDown, storageIsDown } from '../../base/errors.js';
import { ObjectStoreError } from '../object-store.js';

/** Statuses of a store, or of a balancer before it, that is out of order or out of room. */
const DOWN: ReadonlySet<number> = new Set([408, 429, 502, 503, 504, 507]);

/** An error of the Manta client: of the network, or made from an answer. */
interface ClientError {
    readonly statusCode?: unknown;
    /** Manta's word, where the answer had a body. */
    readonly code?: unknown;
    readonly name?: unknown;
    readonly message?: unknown;
}

/** What a failed call is for callers, see {@link ObjectStore}. */
export function mantaFailure(error: unknown): Error {
    if (error instanceof ApiError || error instanceof ObjectStoreError) {
        return error;
    }
    const { statusCode, code, name, message } = error as ClientError;
    if (typeof statusCode !== 'number' || DOWN.has(statusCode)) {
        return storageIsDown(error);
    }
    const word = typeof code === 'string' ? code : typeof name === 'string' ? name : 'Error';
    return new ObjectStoreError(
        word,
        statusCode,
        typeof message === 'string' && message !== '' ? message : `status ${statusCode}`,
        error,
    );
}

/** What is wrong with an answer that the client takes for a good one: redirections, for example. */
export function unexpected(response: IncomingMessage | undefined): ObjectStoreError | undefined {
    const status = response?.statusCode ?? 0;
    return status >= 200 && status < 300
        ? undefined
        : new ObjectStoreError('UnexpectedAnswer', status, `status ${status}`);
}

/** Tells whether the store does not make links, for this account or at all. */
export function isLinkRefused(error: unknown): boolean {
    return (
        error instanceof ObjectStoreError &&
        (/^Snaplinks?Disabled/.test(error.code) || error.status === 405 || error.status === 501)
    );
}

/**
 * Tells whether an error is one that may pass: the store was out of reach or out of order, or was
 * changing the same place for somebody else.
 */
export function mayPass(error: unknown): boolean {
    return (
        isStorageDown(error) || (error instanceof ObjectStoreError && /^ConcurrentRequest/.test(error.code))
    );
}
