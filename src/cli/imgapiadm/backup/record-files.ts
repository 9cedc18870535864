import { isSettings } from '../../../base/config-rules.js';
import { startDigest } from '../../../base/digests/one-digest.js';
import type { FileBytes } from './backup-files.js';

/** A file in the local storage, as a record names it. */
export interface NamedFile {
    /** In the image's directory. */
    readonly name: string;
    readonly size?: number;
    readonly sha1?: string;
    /** Base64. */
    readonly md5?: string;
}

function named(name: string, entry: unknown): NamedFile[] {
    if (!isSettings(entry) || (entry['stor'] !== undefined && entry['stor'] !== 'local')) {
        return [];
    }
    const { size, sha1, contentMD5: md5 } = entry;
    return [
        {
            name,
            ...(typeof size === 'number' ? { size } : {}),
            ...(typeof sha1 === 'string' ? { sha1 } : {}),
            ...(typeof md5 === 'string' ? { md5 } : {}),
        },
    ];
}

function listOf(value: unknown): readonly unknown[] {
    // Very old records have lists as JSON texts.
    const list: unknown = typeof value === 'string' ? JSON.parse(value) : value;
    return Array.isArray(list) ? list : [];
}

/** The local files a record names; `undefined`: it is no record. */
export function localFilesOf(text: string): readonly NamedFile[] | undefined {
    try {
        const record: unknown = JSON.parse(text);
        if (!isSettings(record)) {
            return undefined;
        }
        const files = listOf(record['files']).flatMap((entry, index) => named(`file${index}`, entry));
        return [...files, ...named('icon', record['icon'])];
    } catch {
        return undefined;
    }
}

/** A file that is not as its record says. */
export class MismatchError extends Error {
    override readonly name = 'MismatchError';
}

/** @throws MismatchError */
export function requireSize(actual: number, { size }: NamedFile): void {
    if (size !== undefined && actual !== size) {
        throw new MismatchError(`it has ${actual} bytes, its record says ${size}`);
    }
}

/** A file whose bytes do not end well if they are others than its record says. @throws MismatchError */
export function asRecorded(file: FileBytes, named: NamedFile): FileBytes {
    requireSize(file.size, named);
    return named.sha1 === undefined ? file : { ...file, chunks: checked(file, named.sha1) };
}

async function* checked({ size, chunks }: FileBytes, sha1: string): AsyncIterable<Buffer> {
    const digest = startDigest('sha1', size);
    try {
        for await (const chunk of chunks) {
            await digest.push(chunk);
            yield chunk;
        }
        const actual = await digest.end();
        if (actual !== sha1) {
            throw new MismatchError(`its SHA-1 is ${actual}, its record says ${sha1}`);
        }
    } finally {
        digest.cancel();
    }
}
