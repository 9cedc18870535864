import type { AnswerHeaders } from '../../base/http-client.js';
import { OutgoingError } from '../../base/http-errors.js';
import { isObject } from '../../manifest/coerce.js';
import type { ServiceJob, StoredWorkflow } from '../workflow-service.js';

function malformed(what: string): OutgoingError {
    return new OutgoingError('malformed', `WFAPI: ${what}`);
}

/** What a `GET /ping` says of the service's own storage. @throws Error when that is down, OutgoingError `malformed` */
export function requireBackend(body: unknown): void {
    if (!isObject(body)) {
        throw malformed('its answer to a ping is no object');
    }
    if (body['backend'] === 'down') {
        throw new Error('its backend is down');
    }
}

/** A workflow. @throws OutgoingError `malformed` */
export function workflowOf(body: unknown): StoredWorkflow {
    const { uuid, ...rest } = isObject(body) ? body : {};
    if (typeof uuid !== 'string' || uuid === '') {
        throw malformed('a workflow without a uuid');
    }
    return { ...rest, uuid };
}

/** A job. @throws OutgoingError `malformed` */
export function jobOf(body: unknown): ServiceJob {
    const job = isObject(body) ? body : {};
    if (typeof job['uuid'] !== 'string' || typeof job['execution'] !== 'string') {
        throw malformed('a job without a uuid or state');
    }
    return job as ServiceJob;
}

/** The elements of a list. @throws OutgoingError `malformed` */
export function listOf<T>(body: unknown, read: (entry: unknown) => T): readonly T[] {
    if (!Array.isArray(body)) {
        throw malformed('a list that is none');
    }
    return body.map(read);
}

/** How many entries a list has in all; `undefined`: it does not say. */
export function totalOf(headers: AnswerHeaders): number | undefined {
    const total = headers['x-count'];
    return typeof total === 'string' && /^\d{1,15}$/.test(total) ? Number(total) : undefined;
}
