import { censorUrl } from '../../base/censor-text.js';
import { isSettings } from '../../base/config-rules.js';
import { ApiError, systemErrorCode } from '../../base/errors.js';
import { OutgoingError } from '../../base/http-errors.js';
import { shortReason } from '../../base/short-reason.js';
import type { StepError } from '../job.js';

/** Longest message that is kept, characters: other servers have theirs in it. */
const MAX_MESSAGE = 20_000;

/** A step, or a job as a whole, took too long (jobs-and-imports 9.6). */
export class TaskTimeoutError extends Error {
    constructor(message: 'task timeout error' | 'workflow timeout') {
        super(message);
        this.name = 'TaskTimeoutError';
    }
}

/** What another server called its error. */
function remoteCode({ body }: OutgoingError): string | undefined {
    return isSettings(body) && typeof body['code'] === 'string' ? body['code'] : undefined;
}

function textOf(error: Error, key: 'code' | 'restCode'): string | undefined {
    const value: unknown = (error as unknown as Record<string, unknown>)[key];
    return typeof value === 'string' ? value : undefined;
}

function numberOf(error: Error): number | undefined {
    const value: unknown = (error as unknown as Record<string, unknown>)['statusCode'];
    return typeof value === 'number' ? value : undefined;
}

/** Facts of an error that has no answer of its own: its words, unless the operating system's with their paths. */
function otherError(error: Error): StepError {
    const isOfSystem = systemErrorCode(error) !== undefined;
    const code = textOf(error, 'code');
    const restCode = textOf(error, 'restCode');
    const statusCode = numberOf(error);
    return {
        name: error.name,
        message: isOfSystem ? shortReason(error) : error.message,
        ...(code === undefined ? {} : { code }),
        ...(restCode === undefined ? {} : { restCode }),
        ...(statusCode === undefined ? {} : { statusCode }),
    };
}

function factsOf(error: unknown): StepError {
    if (error instanceof ApiError) {
        const { name, message, code, status } = error;
        return { name, message, code, restCode: code, statusCode: status };
    }
    if (error instanceof OutgoingError) {
        const { name, message, status } = error;
        const code = remoteCode(error) ?? systemErrorCode(error);
        return {
            name,
            message,
            ...(code === undefined ? {} : { code, restCode: code }),
            ...(status === undefined ? {} : { statusCode: status }),
        };
    }
    return error instanceof Error ? otherError(error) : { name: 'Error', message: 'unexpected error' };
}

/** Why a step failed, as everybody may see it (jobs-and-imports 9.2). */
export function stepError(error: unknown): StepError {
    const facts = factsOf(error);
    return { ...facts, message: censorUrl(facts.message).slice(0, MAX_MESSAGE) };
}
