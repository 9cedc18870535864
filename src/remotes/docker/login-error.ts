import { OutgoingError } from '../../base/http-errors.js';
import { isObject } from '../../manifest/coerce.js';

/** Longest text of another server that is repeated, characters. */
const MAX_LENGTH = 500;

/** The credentials are of no use: with others the same request may do. It has status 401. */
export class RegistryLoginError extends OutgoingError {
    constructor(message: string, cause?: unknown) {
        const { body, headers = {} } = cause instanceof OutgoingError ? cause : {};
        super('status', message, { status: 401, body, headers, cause });
    }
}

/** What an authorization server says of its refusal, in one of the forms that are in use. */
export function saidBy(body: unknown): string | undefined {
    if (!isObject(body)) {
        return undefined;
    }
    const texts = [body['details'], body['error_description'], body['message'], body['error']];
    const said = texts.find((text) => typeof text === 'string' && text !== '');
    return typeof said === 'string' ? said.slice(0, MAX_LENGTH) : undefined;
}
