import { ApiError } from '../../base/errors.js';
import { isObject } from '../coerce.js';

/** An object of a document of unknown form. */
export type Members = Readonly<Record<string, unknown>>;

/** The member of an object, if it is an object itself; names of the language's own, such as `constructor`, are none. */
export function objectIn(value: unknown, key: string): Members | undefined {
    const member = isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
    return isObject(member) ? member : undefined;
}

/** The member of an object, if it is a text that says something. */
export function textIn(value: Members, key: string): string | undefined {
    const member = Object.hasOwn(value, key) ? value[key] : undefined;
    return typeof member === 'string' && member !== '' ? member : undefined;
}

/** 400 for a document that lacks what it should have. */
export function invalidResponse(what: string): ApiError {
    return new ApiError('InvalidContent', `Invalid server response - ${what}`);
}
