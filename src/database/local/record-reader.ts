import { closeSync, fstatSync, open, read, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { BaseDirectories } from '../../base/config-types.js';
import { ApiError, systemErrorCode } from '../../base/errors.js';
import { isObject } from '../../manifest/coerce.js';
import { readOldFormats } from '../../manifest/old-formats.js';
import type { ManifestRules, RawImage } from '../../manifest/types.js';
import { validateRaw } from '../../manifest/validate.js';
import { recordFileName } from './file-names.js';
import { sniffCompression } from './sniff-compression.js';

// The callback functions cost half of what file handles do, which tells when loading thousands of files.
const openFile = promisify(open);
const readFile = promisify(read);

/** Largest record that is read, bytes: several times the largest that a request can make. */
export const MAX_RECORD_SIZE = 67_108_864;

/** What tells one content of a file from the next without reading it. */
export interface FileState {
    readonly inode: number;
    readonly size: number;
    /** Last change of content or name, milliseconds. */
    readonly changed: number;
}

/** What was found in place of a record. */
export type Reading =
    | { readonly kind: 'absent' }
    | { readonly kind: 'skipped'; readonly reason: string; readonly state: FileState }
    | { readonly kind: 'record'; readonly raw: RawImage; readonly state: FileState };

function stateOf(stats: Stats): FileState {
    return { inode: stats.ino, size: stats.size, changed: stats.ctimeMs };
}

/** Why a record is not one, in the words of the log. */
class Unusable extends Error {}

function parse(text: string, uuid: string): Readonly<Record<string, unknown>> {
    let data: unknown;
    try {
        data = JSON.parse(text);
    } catch (error) {
        throw new Unusable(`bad JSON: ${(error as Error).message}`);
    }
    if (!isObject(data)) {
        throw new Unusable('not a JSON object');
    }
    if (data['uuid'] !== uuid) {
        throw new Unusable(
            `uuid in the record is not that of the file name: ${JSON.stringify(data['uuid'])}`,
        );
    }
    return data;
}

/**
 * Converts old forms of a record, with the help of the image's first file where it takes that.
 *
 * @param images the directory that holds all image files
 */
export async function inCurrentForm(
    data: Readonly<Record<string, unknown>>,
    images: string,
    uuid: string,
): Promise<Record<string, unknown>> {
    let isGuessWanted = false;
    const current = readOldFormats({ ...data }, () => {
        isGuessWanted = true;
        return undefined;
    });
    if (!isGuessWanted) {
        return current;
    }
    const guess = await sniffCompression(images, uuid);
    return readOldFormats({ ...data }, (index) => (index === 0 ? guess : undefined));
}

/** Reads the records of the `manifests` directory one by one (backends 3, manifest 9). */
export class RecordReader {
    readonly #directories: BaseDirectories;
    readonly #rules: () => ManifestRules;

    /** @param rules the rules in force, asked for at every reading */
    constructor(directories: BaseDirectories, rules: () => ManifestRules) {
        this.#directories = directories;
        this.#rules = rules;
    }

    /** Where an image's record lies. */
    path(uuid: string): string {
        return join(this.#directories.manifests, recordFileName(uuid));
    }

    /** State of the file of a record; `undefined` when there is none. */
    async state(uuid: string): Promise<FileState | undefined> {
        try {
            return stateOf(await stat(this.path(uuid)));
        } catch (error) {
            if (systemErrorCode(error) === 'ENOENT') {
                return undefined;
            }
            throw error;
        }
    }

    /**
     * Reads, converts old forms and validates the record of `uuid`. What is not a usable record is
     * `skipped`, with the reason.
     *
     * @throws the file system's error when the file is there but cannot be read
     */
    async read(uuid: string): Promise<Reading> {
        const content = await this.#content(uuid);
        if (content === undefined) {
            return { kind: 'absent' };
        }
        const { state, text } = content;
        try {
            if (text === undefined) {
                throw new Unusable('not a file, or too large');
            }
            return { kind: 'record', raw: await this.#interpret(parse(text, uuid), uuid), state };
        } catch (error) {
            if (error instanceof Unusable || error instanceof ApiError) {
                return { kind: 'skipped', reason: error.message, state };
            }
            throw error;
        }
    }

    /** Why a record breaks the rules in force; `undefined` when it does not. */
    problemOf(raw: RawImage): string | undefined {
        try {
            validateRaw({ ...raw }, this.#rules(), 'lenient');
            return undefined;
        } catch (error) {
            if (error instanceof ApiError) {
                return error.message;
            }
            throw error;
        }
    }

    async #interpret(data: Readonly<Record<string, unknown>>, uuid: string): Promise<RawImage> {
        const current = await inCurrentForm(data, this.#directories.images, uuid);
        return validateRaw(current, this.#rules(), 'lenient');
    }

    async #content(uuid: string): Promise<{ state: FileState; text: string | undefined } | undefined> {
        let file: number;
        try {
            file = await openFile(this.path(uuid), 'r');
        } catch (error) {
            if (systemErrorCode(error) === 'ENOENT') {
                return undefined;
            }
            throw error;
        }
        try {
            // Of an open file the system answers this from memory, as it does the closing below: neither waits
            // for the disk, and a turn through the thread pool costs many times as much.
            const stats = fstatSync(file);
            const usable = stats.isFile() && stats.size <= MAX_RECORD_SIZE;
            return { state: stateOf(stats), text: usable ? await readText(file, stats.size) : undefined };
        } finally {
            closeSync(file);
        }
    }
}

/** Reads an open file of a known size; one that is being cut meanwhile gives what is left. */
async function readText(file: number, size: number): Promise<string> {
    const buffer = Buffer.allocUnsafe(size);
    let filled = 0;
    while (filled < size) {
        const { bytesRead } = await readFile(file, buffer, filled, size - filled, filled);
        if (bytesRead === 0) {
            break;
        }
        filled += bytesRead;
    }
    return buffer.toString('utf8', 0, filled);
}
