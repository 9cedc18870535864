import { posix } from 'node:path';
import type { ObjectStore } from '../../../remotes/object-store.js';
import { pathsOf, uuidOf } from './backup-files.js';
import type { StoredFile } from './manta-tree.js';
import { localFilesOf, type NamedFile } from './record-files.js';

/** Largest record that is read, bytes. */
const MAX_RECORD_SIZE = 16_777_216;

/** What was listed is not there any more: somebody is at work on it. */
export class GoneMeanwhileError extends Error {
    override readonly name = 'GoneMeanwhileError';
}

/** An image whose files were being replaced. */
export interface BegunImage {
    readonly objects: ObjectStore;
    /** The backup. */
    readonly root: string;
    /** Path of its record. */
    readonly record: string;
    /** What there is at a path: of what waits, or else in the trees. */
    readonly fileAt: (path: string) => StoredFile | undefined;
}

async function problemOfFile(image: BegunImage, { name, size, md5 }: NamedFile): Promise<string | undefined> {
    const { objects, root, record, fileAt } = image;
    const found = pathsOf(uuidOf(record) ?? '', name)
        .map(fileAt)
        .find((file) => file !== undefined);
    if (found === undefined) {
        return `${name}, which it names, is not there`;
    }
    if (size !== undefined && found.size !== size) {
        return `${name} has ${found.size} bytes, it says ${size}`;
    }
    if (md5 === undefined) {
        return undefined;
    }
    const stored = await objects.stat(posix.join(root, found.at));
    if (stored === undefined) {
        throw new GoneMeanwhileError(found.at);
    }
    return stored.md5 === undefined || stored.md5 === md5
        ? undefined
        : `the MD5 of ${name} is ${stored.md5}, it says ${md5}`;
}

/**
 * Why an image is no image although its record waits: what that names is not all there, as far as sizes tell,
 * and MD5s where both the record and Manta know them.
 *
 * @returns `undefined`: it can be put in place
 * @throws GoneMeanwhileError; as {@link ObjectStore} says
 */
export async function problemOfBegun(image: BegunImage): Promise<string | undefined> {
    const { objects, root, record, fileAt } = image;
    const { at = record, size = 0 } = fileAt(record) ?? {};
    if (size > MAX_RECORD_SIZE) {
        return 'it is too large for a record';
    }
    const read = await objects.read(posix.join(root, at), MAX_RECORD_SIZE);
    if (read?.bytes.length !== size) {
        throw new GoneMeanwhileError(at);
    }
    const files = localFilesOf(read.bytes.toString());
    if (files === undefined) {
        return 'it is no record';
    }
    for (const file of files) {
        const problem = await problemOfFile(image, file);
        if (problem !== undefined) {
            return problem;
        }
    }
    return undefined;
}
