import { getSystemErrorMap } from 'node:util';
import { ApiError, systemErrorCode } from './errors.js';

const DESCRIPTIONS: ReadonlyMap<string, string> = new Map(getSystemErrorMap().values());

/** Longest reason that is handed to a client, characters. */
const MAX_LENGTH = 200;

/**
 * Says in a few words why something failed, fit for a client: the operating system's words for its
 * errors, never a path of this machine.
 *
 * @example shortReason(enospc) === 'ENOSPC: no space left on device'
 */
export function shortReason(error: unknown): string {
    const code = systemErrorCode(error);
    if (code !== undefined) {
        const description = DESCRIPTIONS.get(code);
        return description === undefined ? code : `${code}: ${description}`;
    }
    if (error instanceof ApiError || (error instanceof Error && !/[\\/]/.test(error.message))) {
        return error.message.slice(0, MAX_LENGTH);
    }
    return wordOf(error) ?? 'unexpected error';
}

/** What a service called its error, e.g. `AuthorizationFailed`; messages of such errors often name paths. */
function wordOf(error: unknown): string | undefined {
    const { code } = (error ?? {}) as { readonly code?: unknown };
    return typeof code === 'string' && /^[A-Za-z]{1,64}$/.test(code) ? code : undefined;
}
