import type { Stats } from 'node:fs';
import { createReadStream } from 'node:fs';
import { lstat, readdir, rename, rmdir, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { BaseDirectories } from '../../base/config-types.js';
import { uuidPrefix } from '../../base/directories.js';
import { makeDirectory, syncDirectory } from '../../base/durable-files.js';
import { systemErrorCode } from '../../base/errors.js';
import { unlessMissing } from '../../base/unless-missing.js';
import { isUuid } from '../../base/uuid.js';
import { digestsOfStream } from './file-digests.js';
import type { AccessProblem, AreaPrefix, AreaTop, FileArea, ImagePlace } from './file-area.js';
import type { FileDigests, FoundFile } from './finding.js';
import type { AccessFacts, ServiceUser } from './service-user.js';

const PREFIX = /^[0-9a-f]{3}$/;
/** What is said of links that lead nowhere, or where this process may not look. */
const NOWHERE = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES']);
/** What `rmdir` says of a directory that is in use or gone. */
const IN_USE = new Set(['ENOTEMPTY', 'EEXIST']);
const READ_SIZE = 1_048_576;

/** What is found on a disk, with what its permissions are judged by. */
interface LocalFile extends FoundFile {
    readonly access: AccessFacts;
}

function typeOf(stats: Stats): FoundFile['type'] {
    return stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other';
}

/** What a link leads to, as far as this process can see. */
async function throughLink(path: string): Promise<Stats | undefined> {
    try {
        return await stat(path);
    } catch (error) {
        if (NOWHERE.has(systemErrorCode(error) ?? '')) {
            return undefined;
        }
        throw error;
    }
}

/** Names in a directory; none if it is not there. */
async function namesIn(path: string): Promise<readonly string[]> {
    return (await unlessMissing(readdir(path))) ?? [];
}

/** Resolves to `undefined` where the file system says that this process may not look. */
async function unlessForbidden<T>(task: Promise<T>): Promise<T | undefined> {
    try {
        return await task;
    } catch (error) {
        if (systemErrorCode(error) === 'EACCES') {
            return undefined;
        }
        throw error;
    }
}

/** What is reached by way of something else. */
function asLinkedAs<T extends FoundFile>({ isLinked }: FoundFile, found: T): T {
    return isLinked === true ? { ...found, isLinked } : found;
}

/** For who is not the server's user. */
function unlistable(found: FoundFile): AccessProblem {
    return { found, detail: 'this user cannot list it', commands: [] };
}

/** The files below `images/` of a base directory (backends 7). */
export class LocalFileArea implements FileArea {
    readonly stor = 'local';
    readonly #directories: BaseDirectories;
    readonly #user: ServiceUser;

    constructor(directories: BaseDirectories, user: ServiceUser) {
        this.#directories = directories;
        this.#user = user;
    }

    async top(): Promise<AreaTop> {
        const { images } = this.#directories;
        const names = await namesIn(images);
        const strays = names.filter((name) => !PREFIX.test(name) && !isUuid(name));
        return {
            prefixes: names.filter((name) => PREFIX.test(name)).sort(),
            old: names.filter((name) => isUuid(name)).sort(),
            strays: await this.#lookAt(images, strays),
        };
    }

    async prefix(prefix: string): Promise<AreaPrefix> {
        const path = join(this.#directories.images, prefix);
        const directory = await this.#find(path, prefix);
        if (directory?.type !== 'directory' || directory.isLinked === true) {
            return { isListed: true, uuids: [], strays: directory === undefined ? [] : [directory] };
        }
        const problem = this.#problemOf(directory);
        const names = await unlessForbidden(namesIn(path));
        if (names === undefined) {
            return {
                directory,
                problem: problem ?? unlistable(directory),
                isListed: false,
                uuids: [],
                strays: [],
            };
        }
        const isImage = (name: string): boolean => isUuid(name) && name.startsWith(prefix);
        return {
            directory,
            ...(problem === undefined ? {} : { problem }),
            isListed: true,
            uuids: names.filter(isImage).sort(),
            strays: await this.#lookAt(
                path,
                names.filter((name) => !isImage(name)),
            ),
        };
    }

    async places(uuid: string): Promise<readonly ImagePlace[]> {
        const target = this.#directoryOf(uuid);
        const places: ImagePlace[] = [];
        for (const [layout, path] of [
            ['current', target],
            ['old', join(this.#directories.images, uuid)],
        ] as const) {
            const directory = await this.#directory(path, uuid);
            if (directory === undefined) {
                continue;
            }
            if (directory.type !== 'directory') {
                places.push({
                    stor: this.stor,
                    layout,
                    directory,
                    entries: [directory],
                    isListed: true,
                    target,
                });
                continue;
            }
            const entries = await unlessForbidden(this.#entries(path));
            places.push({
                stor: this.stor,
                layout,
                directory,
                entries: (entries ?? []).map((entry) => asLinkedAs(directory, entry)),
                isListed: entries !== undefined,
                target,
            });
        }
        return places;
    }

    pathOf(uuid: string, name: string): string {
        return join(this.#directoryOf(uuid), name);
    }

    problems({ directory, entries }: ImagePlace): readonly AccessProblem[] {
        return [...new Set([directory, ...entries])].flatMap((found) => {
            const problem = this.#problemOf(found as LocalFile);
            return problem === undefined ? [] : [problem];
        });
    }

    async digests({ path, size }: FoundFile, signal: AbortSignal): Promise<FileDigests | undefined> {
        const stream = createReadStream(path, { highWaterMark: READ_SIZE });
        return unlessMissing(digestsOfStream(stream, size, signal));
    }

    toldMd5(): Promise<undefined> {
        return Promise.resolve(undefined);
    }

    trashPathOf(path: string, stamp: string): string {
        const { base, trash } = this.#directories;
        return join(trash, stamp, relative(base, path));
    }

    async move(file: FoundFile, path: string): Promise<boolean> {
        await makeDirectory(dirname(path));
        const now = await this.#find(file.path, file.name);
        if (now?.identity !== file.identity) {
            return false;
        }
        await rename(file.path, path);
        await syncDirectory(dirname(path));
        // Emptied and removed by somebody else meanwhile: then it needs no sync.
        await unlessMissing(syncDirectory(dirname(file.path)));
        return true;
    }

    async removeDirectory(path: string): Promise<boolean> {
        try {
            await unlessMissing(rmdir(path));
        } catch (error) {
            if (IN_USE.has(systemErrorCode(error) ?? '')) {
                return false;
            }
            throw error;
        }
        await unlessMissing(syncDirectory(dirname(path)));
        return true;
    }

    #problemOf(found: LocalFile): AccessProblem | undefined {
        const { access, type, path } = found;
        if (type === 'other' || this.#user.mayUse(access, type)) {
            return undefined;
        }
        const mode = (access.mode & 0o7777).toString(8).padStart(4, '0');
        const detail = `owner ${access.uid}:${access.gid}, mode ${mode}: user ${this.#user.uid} cannot use it`;
        return { found, detail, commands: this.#user.commands(path, access, type) };
    }

    #directoryOf(uuid: string): string {
        return join(this.#directories.images, uuidPrefix(uuid), uuid);
    }

    async #entries(path: string): Promise<readonly LocalFile[]> {
        return this.#lookAt(path, [...(await namesIn(path))].sort());
    }

    async #lookAt(directory: string, names: readonly string[]): Promise<readonly LocalFile[]> {
        const found: LocalFile[] = [];
        for (const name of names) {
            const one = await this.#find(join(directory, name), name);
            found.push(...(one === undefined ? [] : [one]));
        }
        return found;
    }

    /** The directory of an image, which a link above it can lead to. */
    async #directory(path: string, uuid: string): Promise<LocalFile | undefined> {
        const found = await this.#find(path, uuid);
        const above = dirname(path);
        const isBelow = found !== undefined && above !== this.#directories.images;
        const shelf = isBelow ? await this.#find(above, uuidPrefix(uuid)) : undefined;
        return found && shelf ? asLinkedAs(shelf, found) : found;
    }

    async #find(path: string, name: string): Promise<LocalFile | undefined> {
        const own = await unlessMissing(lstat(path));
        if (own === undefined) {
            return undefined;
        }
        const isLink = own.isSymbolicLink();
        const stats = (isLink ? await throughLink(path) : undefined) ?? own;
        const { dev, ino, size, mtimeMs, ctimeMs, uid, gid, mode } = stats;
        return {
            stor: this.stor,
            path,
            name,
            type: typeOf(stats),
            size,
            mtime: mtimeMs,
            // With the time of the last change of its names: one that was linked meanwhile is in use.
            identity: [dev, ino, size, mtimeMs, ctimeMs, ...(isLink ? [own.ino, own.ctimeMs] : [])].join(),
            access: { uid, gid, mode },
            ...(isLink ? { isLinked: true } : {}),
        };
    }
}
