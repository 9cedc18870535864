import { messageOf } from '../../base/errors.js';
import { OutgoingError } from '../../base/http-errors.js';

/** Why something failed: the error code of the server that refused, if it gave one, and words. */
export interface FailureFacts {
    readonly code?: string;
    readonly message: string;
}

/** What an error says, in the server's words where it was the server that refused. */
export function failureFacts(error: unknown): FailureFacts {
    if (error instanceof OutgoingError && typeof error.body === 'object' && error.body !== null) {
        const { code, message } = error.body as { readonly code?: unknown; readonly message?: unknown };
        if (typeof code === 'string' && typeof message === 'string') {
            return { code, message };
        }
    }
    return { message: messageOf(error) };
}

/** The same in one line. */
export function failureText(error: unknown): string {
    const { code, message } = failureFacts(error);
    return code === undefined ? message : `${message} (${code})`;
}
