import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { uuidPrefix } from '../../base/directories.js';
import { systemErrorCode } from '../../base/errors.js';
import type { FileCompression } from '../../base/constants.js';
import { compressionByMagic, MAGIC_LENGTH } from '../../base/magic-bytes.js';

async function firstBytes(path: string): Promise<Buffer | undefined> {
    try {
        const handle = await open(path, 'r');
        try {
            const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAGIC_LENGTH), 0, MAGIC_LENGTH, 0);
            return buffer.subarray(0, bytesRead);
        } finally {
            await handle.close();
        }
    } catch (error) {
        if (systemErrorCode(error) === undefined) {
            throw error;
        }
        return undefined;
    }
}

/**
 * Finds out how the first file of an image is compressed, for records from before that was written
 * down: by the file's first bytes, in today's or the oldest place; `undefined` when they do not tell
 * (operations 5.5, rows 001 and 008).
 *
 * @param images the directory that holds all image files
 */
export async function sniffCompression(images: string, uuid: string): Promise<FileCompression | undefined> {
    for (const directory of [join(images, uuidPrefix(uuid), uuid), join(images, uuid)]) {
        const bytes = await firstBytes(join(directory, 'file0'));
        if (bytes !== undefined) {
            return compressionByMagic(bytes);
        }
    }
    return undefined;
}
