import { access, constants, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type Logger from 'bunyan';
import type { BaseDirectories } from '../../base/config-types.js';
import { makeDirectory, removeIfPresent } from '../../base/durable-files.js';
import { unlessMissing } from '../../base/unless-missing.js';
import { isUuid } from '../../base/uuid.js';
import { walkFiles } from '../../base/walk-files.js';
import { assertStoredFile, assertTemporaryFile, temporaryNameOf } from '../file-names.js';
import type {
    ClosedWriter,
    FinishedFile,
    ListedFile,
    OpenedFile,
    ReadOptions,
    Storage,
    StorageWriter,
    StoredFileFacts,
    StoredFileName,
} from '../storage.js';
import { AdoptedFile } from './adopted-file.js';
import { duplicateFile } from './duplicate-file.js';
import { ImageDirectories } from './image-directories.js';
import { createLocalWriter } from './local-writer.js';
import { openFile } from './read-file.js';
import { translated } from './storage-failure.js';

/** Levels of directories above a file: the first characters of the uuid, then the uuid. */
const DEPTH = 2;

/**
 * Keeps files as `images/<first 3 of uuid>/<uuid>/<name>` (backends 7); what is found in the older
 * `images/<uuid>` is read and removed there, never written.
 */
export class LocalStorage implements Storage {
    readonly type = 'local';
    readonly #root: string;
    readonly #log: Logger;
    readonly #directories: ImageDirectories;
    readonly #uploads = new Set<ClosedWriter>();

    constructor(options: { readonly directories: BaseDirectories; readonly log: Logger }) {
        this.#root = options.directories.images;
        this.#log = options.log.child({ component: 'storage', stor: this.type }, true);
        this.#directories = new ImageDirectories(this.#root);
    }

    async setup(): Promise<void> {
        await makeDirectory(this.#root);
    }

    async createWriter(uuid: string, name: StoredFileName): Promise<StorageWriter> {
        assertStoredFile(uuid, name);
        const writer = await translated(() =>
            createLocalWriter(uuid, name, {
                directories: this.#directories,
                log: this.#log,
                onEnd: (ended) => this.#uploads.delete(ended),
            }),
        );
        this.#uploads.add(writer);
        return writer;
    }

    async adopt(uuid: string, name: StoredFileName, file: FinishedFile): Promise<ClosedWriter | undefined> {
        assertStoredFile(uuid, name);
        const [here, there] = await Promise.all([stat(this.#root), stat(file.path)]);
        if (here.dev !== there.dev) {
            return undefined;
        }
        const adopted = new AdoptedFile({
            uuid,
            name,
            source: file.path,
            directories: this.#directories,
            onEnd: (ended) => this.#uploads.delete(ended),
        });
        this.#uploads.add(adopted);
        return adopted;
    }

    async open(
        uuid: string,
        name: StoredFileName,
        options: ReadOptions = {},
    ): Promise<OpenedFile | undefined> {
        return await this.#firstOf(uuid, name, (path) => openFile(path, options));
    }

    async stat(uuid: string, name: StoredFileName): Promise<StoredFileFacts | undefined> {
        return await this.#firstOf(uuid, name, async (path) => {
            const facts = await unlessMissing(stat(path));
            if (facts?.isFile() !== true) {
                return undefined;
            }
            const { size, ino, mtimeMs } = facts;
            return { size, path, identity: { ino, mtimeMs } };
        });
    }

    async remove(uuid: string, name: StoredFileName): Promise<void> {
        assertStoredFile(uuid, name);
        await this.#removeEverywhere(uuid, name);
    }

    async copy(fromUuid: string, toUuid: string, name: StoredFileName): Promise<void> {
        assertStoredFile(toUuid, name);
        await translated(async () => {
            const found = await this.#firstOf(fromUuid, name, async (path) => {
                await access(path);
                return path;
            });
            const source = found ?? join(this.#directories.of(fromUuid), name);
            await access(source);
            await this.#directories.use(toUuid, (directory) =>
                duplicateFile(source, join(directory, temporaryNameOf(name)), join(directory, name)),
            );
        });
    }

    async *list(): AsyncIterable<ListedFile> {
        for await (const { path, segments } of walkFiles(this.#root, DEPTH)) {
            const [uuid, name] = segments.slice(-2);
            if (
                !isUuid(uuid) ||
                name === undefined ||
                !this.#directories.allOf(uuid).includes(join(path, '..'))
            ) {
                continue;
            }
            const facts = await unlessMissing(stat(path));
            if (facts !== undefined) {
                yield { uuid, name, size: facts.size, mtime: facts.mtimeMs };
            }
        }
    }

    async removeTemporary(uuid: string, name: string): Promise<boolean> {
        assertTemporaryFile(uuid, name);
        return this.#removeEverywhere(uuid, name);
    }

    uploadsInProgress(): readonly string[] {
        return Array.from(this.#uploads, (writer) => writer.temporaryName);
    }

    async check(): Promise<{
        freeBytes: number;
        totalBytes: number;
        freeInodes: number;
        totalInodes: number;
    }> {
        await access(this.#root, constants.R_OK | constants.W_OK | constants.X_OK);
        const facts = await statfs(this.#root);
        return {
            freeBytes: facts.bavail * facts.bsize,
            totalBytes: facts.blocks * facts.bsize,
            freeInodes: facts.ffree,
            totalInodes: facts.files,
        };
    }

    /** Looks for a file in the places an image's files may be, in order. */
    async #firstOf<T>(
        uuid: string,
        name: StoredFileName,
        look: (path: string) => Promise<T | undefined>,
    ): Promise<T | undefined> {
        assertStoredFile(uuid, name);
        for (const directory of this.#directories.allOf(uuid)) {
            const found = await unlessMissing(look(join(directory, name)));
            if (found !== undefined) {
                return found;
            }
        }
        return undefined;
    }

    /** Tells whether there was anything to remove. */
    async #removeEverywhere(uuid: string, name: string): Promise<boolean> {
        return translated(async () => {
            let found = false;
            for (const directory of this.#directories.allOf(uuid)) {
                found = (await removeIfPresent(join(directory, name))) || found;
                await this.#directories.afterRemoval(directory);
            }
            return found;
        });
    }
}
