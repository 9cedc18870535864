import { v4 } from 'uuid';

/** What counts as a UUID on the wire and on disk: lower case, any version (http-api, vocabulary). */
export const UUID_RE = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Tells whether `value` is a string in the form of {@link UUID_RE}. */
export function isUuid(value: unknown): value is string {
    return typeof value === 'string' && UUID_RE.test(value);
}

/** A fresh random (version 4) UUID. */
export function newUuid(): string {
    return v4();
}
