import { ApiError } from '../base/errors.js';
import type { Action } from './endpoint.js';

/** 501 `NotAvailable` for what needs a part that this server does not have. */
export function notAvailable(what: string): ApiError {
    return new ApiError('NotAvailable', `${what} is not available on this server`);
}

/** An action of the protocol that this server refuses by name, so that no client takes it for a typing mistake. */
export function unavailableAction(action: string, name: string): Action {
    return {
        action,
        name,
        summary: 'Not available on this server: answers 501 `NotAvailable`.',
        chain: [],
        handle: () => {
            throw notAvailable(`action "${action}"`);
        },
    };
}
