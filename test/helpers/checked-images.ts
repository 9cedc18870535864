import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { newUuid } from '#lib/base/uuid.js';
import { imageDirectory, md5Base64, rawRecord, sha1Hex } from './images.js';

/** A file of an image of a test. */
export interface PlantedFile {
    /** What the record describes. */
    readonly bytes: Buffer;
    /** What is stored; `undefined`: nothing. */
    readonly stored: Buffer | undefined;
    readonly stor?: string;
    readonly compression?: string;
    /** Further keys of the record's entry. */
    readonly more?: Readonly<Record<string, unknown>>;
}

/** An image of a test. */
export interface PlantedImage {
    readonly uuid: string;
    readonly name: string;
    readonly files: readonly PlantedFile[];
    readonly more?: Readonly<Record<string, unknown>>;
}

/** A file that is as its record says. */
export function goodFile(bytes: Buffer, compression = 'none', stor = 'local'): PlantedFile {
    return { bytes, stored: bytes, compression, stor };
}

/** An image, named after what is the matter with it. */
export function planted(
    name: string,
    files: readonly PlantedFile[],
    more: Readonly<Record<string, unknown>> = {},
): PlantedImage {
    return { uuid: newUuid(), name, files, more };
}

/** The same with other bytes, as many of them. */
export function changed(bytes: Buffer): Buffer {
    const copy = Buffer.from(bytes);
    copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
    return copy;
}

/** Bytes packed by a program; `undefined`: it is not here. */
export function packed(compression: 'bzip2' | 'gzip' | 'xz', bytes: Buffer): Buffer | undefined {
    if (compression === 'gzip') return gzipSync(bytes);
    const { status, stdout } = spawnSync(compression, ['-c'], { input: bytes, maxBuffer: 1 << 26 });
    return status === 0 ? stdout : undefined;
}

/** The record of an image. */
export function recordOf({ uuid, name, files, more }: PlantedImage): Record<string, unknown> {
    const entries = files.map(({ bytes, stor = 'local', compression = 'none', more: facts }) => ({
        sha1: sha1Hex(bytes),
        size: bytes.length,
        contentMD5: md5Base64(bytes),
        mtime: '2020-01-01T00:00:00.000Z',
        stor,
        compression,
        ...facts,
    }));
    return rawRecord({
        uuid,
        name,
        activated: true,
        published_at: '2020-01-01T00:00:00.000Z',
        // Only such images have several files.
        more: { files: entries, ...(files.length > 1 ? { type: 'lxd' } : {}), ...more },
    });
}

export function writeRecord(base: string, image: PlantedImage): void {
    mkdirSync(join(base, 'manifests'), { recursive: true });
    const text = JSON.stringify(recordOf(image), null, 2);
    writeFileSync(join(base, 'manifests', `${image.uuid}.raw`), text);
}

/** Path of a file of an image in a base directory. */
export function pathOf(base: string, { uuid }: Pick<PlantedImage, 'uuid'>, name = 'file0'): string {
    return join(imageDirectory(base, uuid), name);
}

/**
 * Makes a base directory: records, files of the local storage, and a configuration.
 *
 * @returns the path of the configuration
 */
export function plantAll(
    base: string,
    images: readonly PlantedImage[],
    config: Readonly<Record<string, unknown>> = {},
): string {
    for (const directory of ['etc', 'images', 'manifests', 'run']) {
        mkdirSync(join(base, directory), { recursive: true });
    }
    for (const image of images) {
        writeRecord(base, image);
        mkdirSync(imageDirectory(base, image.uuid), { recursive: true });
        for (const [index, { stored, stor = 'local' }] of image.files.entries()) {
            if (stored !== undefined && stor === 'local') {
                writeFileSync(pathOf(base, image, `file${index}`), stored);
            }
        }
    }
    const path = join(base, 'etc', 'imgapi.config.json');
    writeFileSync(path, JSON.stringify({ mode: 'private', address: '127.0.0.1', dataDir: base, ...config }));
    return path;
}
