import type Logger from 'bunyan';
import type { Clock } from '../../base/clock.js';
import { isUuid } from '../../base/uuid.js';
import { saysMissing, type ObjectStore } from '../../remotes/object-store.js';
import type { JournalEntry } from '../delete-journal.js';
import { assertStoredFile, assertTemporaryFile, temporaryNameOf } from '../file-names.js';
import type {
    AnnouncedFile,
    ListedFile,
    OpenedFile,
    ReadOptions,
    Storage,
    StorageWriter,
    StoredFileFacts,
    StoredFileName,
} from '../storage.js';
import { ImageDirectories } from './image-directories.js';
import { MantaWriter } from './manta-writer.js';
import { TemporaryObject } from './temporary-object.js';

/** How long a temporary object is left alone when nobody knows whose it is, milliseconds (backends 8). */
const TEMPORARY_KEPT_MS = 48 * 3_600_000;

/** What a {@link MantaStorage} is made from. */
export interface MantaStorageOptions {
    readonly objects: ObjectStore;
    /** `manta.rootDir` of the configuration. */
    readonly rootDir: string;
    readonly log: Logger;
    readonly clock: Clock;
    /** Notes a temporary object, durably, to be removed some time after `notBefore` if it is still there. */
    readonly noteTemporary: (uuid: string, name: string, notBefore: number) => Promise<JournalEntry>;
}

/** Keeps files as objects `<rootDir>/images/<first 3 of uuid>/<uuid>/<name>` (backends 8). */
export class MantaStorage implements Storage {
    readonly type = 'manta';
    readonly #options: MantaStorageOptions;
    readonly #objects: ObjectStore;
    readonly #log: Logger;
    readonly #directories: ImageDirectories;
    readonly #uploads = new Set<StorageWriter>();

    constructor(options: MantaStorageOptions) {
        this.#options = options;
        this.#objects = options.objects;
        this.#log = options.log.child({ component: 'storage', stor: this.type }, true);
        this.#directories = new ImageDirectories(options.objects, options.rootDir);
    }

    /** Path of an object of an image. */
    pathOf(uuid: string, name: StoredFileName): string {
        assertStoredFile(uuid, name);
        return this.#directories.pathOf(uuid, name);
    }

    /** Nothing: directories are made when they are needed, and Manta may be away at the start. */
    async setup(): Promise<void> {
        // As the contract says.
    }

    async createWriter(
        uuid: string,
        name: StoredFileName,
        announced: AnnouncedFile = {},
    ): Promise<StorageWriter> {
        assertStoredFile(uuid, name);
        const { noteTemporary, clock } = this.#options;
        const temporaryName = temporaryNameOf(name);
        const entry = await noteTemporary(uuid, temporaryName, clock.now() + TEMPORARY_KEPT_MS);
        const temporary = new TemporaryObject({
            objects: this.#objects,
            directories: this.#directories,
            log: this.#log,
            uuid,
            name: temporaryName,
            entry,
            release: await this.#directories.hold(uuid),
        });
        try {
            const upload = await this.#directories.use(uuid, () =>
                this.#objects.upload(temporary.path, {
                    contentType: 'application/octet-stream',
                    ...announced,
                }),
            );
            const writer = new MantaWriter({
                temporary,
                finalName: name,
                announced,
                upload,
                publish: (finalPath) =>
                    this.#directories.use(uuid, () => this.#objects.copy(temporary.path, finalPath)),
                onEnd: (ended) => this.#uploads.delete(ended),
            });
            this.#uploads.add(writer);
            return writer;
        } catch (error) {
            await temporary.discard(error);
            throw error;
        }
    }

    /** Never: the bytes have to get to Manta. */
    adopt(): Promise<undefined> {
        return Promise.resolve(undefined);
    }

    async open(
        uuid: string,
        name: StoredFileName,
        options: ReadOptions = {},
    ): Promise<OpenedFile | undefined> {
        assertStoredFile(uuid, name);
        options.signal?.throwIfAborted();
        return await this.#objects.open(this.#directories.pathOf(uuid, name), options);
    }

    async stat(uuid: string, name: StoredFileName): Promise<StoredFileFacts | undefined> {
        assertStoredFile(uuid, name);
        const found = await this.#objects.stat(this.#directories.pathOf(uuid, name));
        if (found === undefined || found.isDirectory) {
            return undefined;
        }
        const { size, md5 } = found;
        return { size, ...(md5 === undefined ? {} : { md5 }) };
    }

    async remove(uuid: string, name: StoredFileName): Promise<void> {
        assertStoredFile(uuid, name);
        await this.#remove(uuid, name);
    }

    async copy(fromUuid: string, toUuid: string, name: StoredFileName): Promise<void> {
        assertStoredFile(fromUuid, name);
        assertStoredFile(toUuid, name);
        const from = this.#directories.pathOf(fromUuid, name);
        const to = this.#directories.pathOf(toUuid, name);
        try {
            await this.#directories.use(toUuid, () => this.#objects.copy(from, to));
        } catch (error) {
            await this.#directories.afterRemoval(toUuid).catch(() => undefined);
            if (saysMissing(error)) {
                throw Object.assign(new Error(`no such object: ${from}`, { cause: error }), {
                    code: 'ENOENT',
                });
            }
            throw error;
        }
    }

    async *list(): AsyncIterable<ListedFile> {
        for await (const prefix of this.#objects.list(this.#directories.root)) {
            if (!prefix.isDirectory) {
                continue;
            }
            for await (const image of this.#objects.list(`${this.#directories.root}/${prefix.name}`)) {
                if (image.isDirectory && isUuid(image.name) && image.name.startsWith(prefix.name)) {
                    yield* this.#listImage(image.name);
                }
            }
        }
    }

    async removeTemporary(uuid: string, name: string): Promise<boolean> {
        assertTemporaryFile(uuid, name);
        return this.#remove(uuid, name);
    }

    uploadsInProgress(): readonly string[] {
        return Array.from(this.#uploads, (writer) => writer.temporaryName);
    }

    async check(): Promise<Record<string, never>> {
        await this.#objects.check();
        return {};
    }

    async *#listImage(uuid: string): AsyncIterable<ListedFile> {
        for await (const { name, isDirectory, size, mtime } of this.#objects.list(
            this.#directories.of(uuid),
        )) {
            if (!isDirectory) {
                yield { uuid, name, size, mtime };
            }
        }
    }

    async #remove(uuid: string, name: string): Promise<boolean> {
        const wasThere = await this.#objects.remove(this.#directories.pathOf(uuid, name));
        await this.#directories.afterRemoval(uuid);
        return wasThere;
    }
}
