import { type ApiError, RelayedError, serviceUnavailable } from '../../base/errors.js';
import { OutgoingError } from '../../base/http-errors.js';
import { isObject } from '../../manifest/coerce.js';

/** 503: no job can be started or looked at for now (jobs-and-imports 2.2). */
export function workflowApiIsDown(cause?: unknown): ApiError {
    return serviceUnavailable('Workflow API is down.', undefined, cause);
}

/**
 * What is answered when a workflow service does not do what it is asked: its own error, where it has said
 * one, else that it is down.
 */
function asWorkflowFailure(error: unknown): unknown {
    if (!(error instanceof OutgoingError)) {
        return error;
    }
    const { status, body } = error;
    if (status === undefined) {
        return workflowApiIsDown(error);
    }
    const { message } = isObject(body) ? body : {};
    const text = typeof message === 'string' ? message : `Workflow API answered with status ${status}`;
    return new RelayedError('ServiceUnavailableError', text, {
        status,
        body: isObject(body) ? body : { code: 'InternalError', message: text },
        cause: error,
    });
}

/** Asks a workflow service. @throws 503 and the service's own errors; the reason of `signal` */
export async function asking<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
    try {
        return await work;
    } catch (error) {
        signal.throwIfAborted();
        throw asWorkflowFailure(error);
    }
}
