import { rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { uuidPrefix } from '../../base/directories.js';
import { makeDirectory, syncDirectory } from '../../base/durable-files.js';
import { systemErrorCode } from '../../base/errors.js';

/** Tries when a directory vanishes between making it and using it; each needs another delete of it. */
const MAX_TRIES = 10;

/** What `rmdir` says of a directory that is in use or gone. */
const NOT_REMOVED = new Set(['ENOTEMPTY', 'EEXIST', 'ENOENT']);

/** The directories of images below one directory: `<first 3 of uuid>/<uuid>` (backends 7). */
export class ImageDirectories {
    readonly #root: string;

    constructor(root: string) {
        this.#root = root;
    }

    /** Directory of an image; it need not exist. */
    of(uuid: string): string {
        return join(this.#root, uuidPrefix(uuid), uuid);
    }

    /** Where very old servers kept the image (operations 5.5, row 008). */
    oldOf(uuid: string): string {
        return join(this.#root, uuid);
    }

    /** Every directory an image's files may be in, the one to prefer first. */
    allOf(uuid: string): readonly string[] {
        return [this.of(uuid), this.oldOf(uuid)];
    }

    /**
     * Makes the image's directory, durably, and does `use` in it. A directory that is removed
     * meanwhile, because its last file went, is made again.
     *
     * @throws what making it or `use` throws
     */
    async use<T>(uuid: string, use: (directory: string) => Promise<T>): Promise<T> {
        const directory = this.of(uuid);
        for (let tries = 1; ; tries += 1) {
            try {
                await makeDirectory(directory);
                return await use(directory);
            } catch (error) {
                if (systemErrorCode(error) !== 'ENOENT' || tries === MAX_TRIES) {
                    // Not left behind empty; with anything in it, it stays.
                    await rmdir(directory).catch(() => undefined);
                    throw error;
                }
            }
        }
    }

    /** Puts the removal of a file on stable storage, and removes its directory if that was the last one. */
    async afterRemoval(directory: string): Promise<void> {
        try {
            await rmdir(directory);
        } catch (error) {
            const code = systemErrorCode(error);
            if (code === undefined || !NOT_REMOVED.has(code)) {
                throw error;
            }
            await syncUnlessGone(directory);
            return;
        }
        await syncUnlessGone(dirname(directory));
    }
}

async function syncUnlessGone(directory: string): Promise<void> {
    try {
        await syncDirectory(directory);
    } catch (error) {
        if (systemErrorCode(error) !== 'ENOENT') {
            throw error;
        }
    }
}
