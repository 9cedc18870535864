import { posix } from 'node:path';
import { uuidPrefix } from '../../base/directories.js';
import { isUuid } from '../../base/uuid.js';
import {
    type ListedObject,
    type ObjectStore,
    ObjectStoreError,
    saysMissing,
} from '../../remotes/object-store.js';
import type { AreaPrefix, AreaTop, FileArea, ImagePlace } from './file-area.js';
import type { FileDigests, FoundFile } from './finding.js';
import { digestsOfStream } from './file-digests.js';

const PREFIX = /^[0-9a-f]{3}$/;

/** The objects below `images/` of an area of an object store (backends 8), and where older servers had them. */
export class MantaFileArea implements FileArea {
    readonly stor = 'manta';
    readonly #objects: ObjectStore;
    readonly #rootDir: string;
    readonly #images: string;
    /** Directories of the last listings, so that none is asked for that is not there. */
    #old = new Map<string, readonly string[]>();

    /** @param rootDir `manta.rootDir` of the configuration */
    constructor(objects: ObjectStore, rootDir: string) {
        this.#objects = objects;
        this.#rootDir = rootDir;
        this.#images = posix.join(rootDir, 'images');
    }

    async top(): Promise<AreaTop> {
        const prefixes: string[] = [];
        const strays: FoundFile[] = [];
        const old = new Map<string, readonly string[]>();
        for await (const listed of this.#objects.list(this.#images)) {
            const { name, isDirectory } = listed;
            if (isDirectory && PREFIX.test(name)) {
                prefixes.push(name);
            } else if (isDirectory && isUuid(name)) {
                old.set(name, [posix.join(this.#images, name)]);
            } else {
                strays.push(this.#found(this.#images, listed));
            }
        }
        // Beside `images` there is much that is no image (operations 5.5, row 006).
        for await (const { name, isDirectory } of this.#objects.list(this.#rootDir)) {
            if (isDirectory && isUuid(name)) {
                old.set(name, [...(old.get(name) ?? []), posix.join(this.#rootDir, name)]);
            }
        }
        this.#old = old;
        return { prefixes: prefixes.sort(), old: [...old.keys()].sort(), strays };
    }

    async prefix(prefix: string): Promise<AreaPrefix> {
        const path = posix.join(this.#images, prefix);
        const uuids: string[] = [];
        const strays: FoundFile[] = [];
        for await (const listed of this.#objects.list(path)) {
            if (listed.isDirectory && isUuid(listed.name) && listed.name.startsWith(prefix)) {
                uuids.push(listed.name);
            } else {
                strays.push(this.#found(path, listed));
            }
        }
        const isThere = uuids.length + strays.length > 0 || (await this.#isDirectory(path));
        return {
            ...(isThere ? { directory: this.#asDirectory(path) } : {}),
            isListed: true,
            uuids: uuids.sort(),
            strays,
        };
    }

    async places(uuid: string): Promise<readonly ImagePlace[]> {
        const target = this.#directoryOf(uuid);
        const places: ImagePlace[] = [];
        for (const [layout, path] of [
            ['current' as const, target],
            ...(this.#old.get(uuid) ?? []).map((old) => ['old' as const, old] as const),
        ] as const) {
            const entries: FoundFile[] = [];
            for await (const listed of this.#objects.list(path)) {
                entries.push(this.#found(path, listed));
            }
            // What lists nothing may not be there at all.
            if (entries.length > 0 || (await this.#isDirectory(path))) {
                places.push({
                    stor: this.stor,
                    layout,
                    directory: this.#asDirectory(path),
                    entries,
                    isListed: true,
                    target,
                });
            }
        }
        return places;
    }

    pathOf(uuid: string, name: string): string {
        return posix.join(this.#directoryOf(uuid), name);
    }

    /** None: whose key signs may do everything in its area. */
    problems(): readonly never[] {
        return [];
    }

    async digests({ path, size }: FoundFile, signal: AbortSignal): Promise<FileDigests | undefined> {
        const opened = await this.#objects.open(path, { signal });
        return opened === undefined ? undefined : digestsOfStream(opened.stream, size, signal);
    }

    async toldMd5({ path }: FoundFile): Promise<string | undefined> {
        return (await this.#objects.stat(path))?.md5;
    }

    trashPathOf(path: string, stamp: string): string {
        return posix.join(this.#rootDir, 'trash', stamp, posix.relative(this.#rootDir, path));
    }

    /** By a link, a comparison and an unlink: a crash in between leaves both (operations 5.5, row 008). */
    async move(file: FoundFile, path: string): Promise<boolean> {
        const now = await this.#listed(file);
        if (now?.identity !== file.identity) {
            return false;
        }
        await this.#objects.makeDirectory(posix.dirname(path));
        try {
            await this.#objects.copy(file.path, path);
        } catch (error) {
            if (saysMissing(error)) {
                return false;
            }
            throw error;
        }
        const [from, to] = await Promise.all([this.#objects.stat(file.path), this.#objects.stat(path)]);
        if (from === undefined || to?.size !== from.size || to.md5 !== from.md5) {
            throw new Error(`${path} is not what ${file.path} is: both are left there`);
        }
        try {
            // What a server has put there since is another object.
            await this.#objects.remove(file.path, from.etag === undefined ? {} : { ifMatch: from.etag });
        } catch (error) {
            if (error instanceof ObjectStoreError && error.status === 412) {
                return false;
            }
            throw error;
        }
        return true;
    }

    async removeDirectory(path: string): Promise<boolean> {
        return this.#objects.removeDirectory(path);
    }

    #directoryOf(uuid: string): string {
        return posix.join(this.#images, uuidPrefix(uuid), uuid);
    }

    async #isDirectory(path: string): Promise<boolean> {
        return (await this.#objects.stat(path))?.isDirectory === true;
    }

    #asDirectory(path: string): FoundFile {
        const name = posix.basename(path);
        return this.#found(posix.dirname(path), { name, isDirectory: true, size: 0, mtime: 0 });
    }

    /** A file as its directory lists it at this moment. */
    async #listed({ path, name }: FoundFile): Promise<FoundFile | undefined> {
        const directory = posix.dirname(path);
        for await (const listed of this.#objects.list(directory)) {
            if (listed.name === name) {
                return this.#found(directory, listed);
            }
        }
        return undefined;
    }

    #found(directory: string, { name, isDirectory, size, mtime }: ListedObject): FoundFile {
        return {
            stor: this.stor,
            path: posix.join(directory, name),
            name,
            type: isDirectory ? 'directory' : 'file',
            size,
            mtime,
            identity: [isDirectory, size, mtime].join(),
        };
    }
}
