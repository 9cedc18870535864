import type { Dirent } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from './errors.js';

/** A regular file below the directory that was walked. */
export interface WalkedFile {
    readonly path: string;
    /** Names below the starting directory, the file's own last. */
    readonly segments: readonly string[];
}

/** A directory that vanishes while it is being read has no entries. */
async function* entriesOf(path: string): AsyncIterable<Dirent> {
    try {
        yield* await opendir(path);
    } catch (error) {
        if (systemErrorCode(error) !== 'ENOENT') {
            throw error;
        }
    }
}

/**
 * Yields the regular files below `root`, in no order and without following links. A directory that
 * is not there, at first or any more, has no files.
 *
 * @param depth how many levels of directories below `root` are entered
 * @throws the file system's error for a directory that cannot be read
 */
export async function* walkFiles(
    root: string,
    depth: number,
    above: readonly string[] = [],
): AsyncIterable<WalkedFile> {
    for await (const entry of entriesOf(root)) {
        const path = join(root, entry.name);
        const segments = [...above, entry.name];
        if (entry.isFile()) {
            yield { path, segments };
        } else if (entry.isDirectory() && depth > 0) {
            yield* walkFiles(path, depth - 1, segments);
        }
    }
}
