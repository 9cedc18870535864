import { isObject } from '../manifest/coerce.js';
import type { JobDocument, ProgressSnapshot } from './job.js';

/** Why a job did not succeed, as it is told to whoever waits for it. */
export interface JobFailure {
    readonly code: string;
    readonly message: string;
}

/** What of a job tells why it did not succeed. */
export interface FailedView {
    readonly document: JobDocument;
    readonly progress: Pick<ProgressSnapshot, 'error'>;
}

const CANCELED: JobFailure = { code: 'Canceled', message: 'canceled' };

/** The error of a list of results: that of the last step that has one. */
function resultError({ chain_results: results }: JobDocument): unknown {
    const all: readonly unknown[] = Array.isArray(results) ? results : [];
    return all
        .map((result) => (isObject(result) ? result['error'] : undefined))
        .filter((error) => error !== undefined && error !== '')
        .at(-1);
}

function textIn(error: Readonly<Record<string, unknown>>, names: readonly string[]): string | undefined {
    return names.map((name) => error[name]).find((value) => typeof value === 'string');
}

/** Why a job has failed or was canceled, by what it shows: jobs of any engine (jobs-and-imports 2.5, 9.2). */
export function jobFailure({ document, progress }: FailedView): JobFailure {
    if (progress.error !== null) {
        return progress.error;
    }
    if (document.execution === 'canceled') {
        return CANCELED;
    }
    const error = resultError(document);
    if (isObject(error)) {
        return {
            code: textIn(error, ['restCode', 'code', 'name']) ?? 'InternalError',
            message: textIn(error, ['message']) ?? JSON.stringify(error),
        };
    }
    return { code: 'InternalError', message: typeof error === 'string' ? error : 'the job failed' };
}
