import { internalError } from '../base/errors.js';
import { isUuid, newUuid } from '../base/uuid.js';
import type { StoredFileName } from './storage.js';

/** Names an image's directory may hold under final names (backends 6). */
const FINAL = /^(?:file(?:0|[1-9][0-9]?)|icon)$/;
/** Temporary names: a final name, a dot, anything; the existing server appends its request's id (operations 2.4). */
const TEMPORARY = /^(?:file(?:0|[1-9][0-9]?)|icon)\.[^/]+$/;

/** Tells whether a name is a final one: `file0`, `file1`, `icon`. */
export function isStoredFileName(name: string): name is StoredFileName {
    return FINAL.test(name);
}

/** A fresh name to receive a file under (backends 7). */
export function temporaryNameOf(name: StoredFileName): string {
    return `${name}.${newUuid()}`;
}

/** The final name that a temporary name `<name>.<uuid>` stands for; `undefined` for any other name. */
export function finalNameOf(name: string): StoredFileName | undefined {
    const dot = name.indexOf('.');
    const final = name.slice(0, dot);
    return dot > 0 && isStoredFileName(final) && isUuid(name.slice(dot + 1)) ? final : undefined;
}

/**
 * Refuses what would reach outside an image's directory. Callers check what clients send; this is
 * the last line of defence, so it is an error of the program.
 */
export function assertStoredFile(uuid: string, name: string): void {
    if (!isUuid(uuid) || !isStoredFileName(name)) {
        throw internalError('invalid name of a stored file');
    }
}

/** As {@link assertStoredFile}, for temporary names. */
export function assertTemporaryFile(uuid: string, name: string): void {
    if (!isUuid(uuid) || !TEMPORARY.test(name) || name.includes('\0')) {
        throw internalError('invalid name of a temporary file');
    }
}
