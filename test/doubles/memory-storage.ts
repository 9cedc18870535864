import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { StorageType } from '#lib/base/constants.js';
import { assertStoredFile, assertTemporaryFile, temporaryNameOf } from '#lib/storage/file-names.js';
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
} from '#lib/storage/storage.js';
import { MemoryWriter, type MemoryTarget } from './memory-writer.js';

interface MemoryFile {
    readonly bytes: Buffer;
    readonly mtime: number;
}

/** Bytes a read hands out at a time. */
const READ_SIZE = 65_536;

function* chunksOf(bytes: Buffer, onRead: (count: number) => void): Iterable<Buffer> {
    for (let at = 0; at < bytes.length; at += READ_SIZE) {
        const chunk = bytes.subarray(at, at + READ_SIZE);
        onRead(chunk.length);
        yield chunk;
    }
}

/** Keeps files in memory, for tests. */
export class MemoryStorage implements Storage {
    readonly type: StorageType;
    readonly #images = new Map<string, Map<string, MemoryFile>>();
    readonly #uploads = new Set<StorageWriter>();
    readonly #now: () => number;

    constructor(options: { readonly type?: StorageType; readonly now?: () => number } = {}) {
        this.type = options.type ?? 'local';
        this.#now = options.now ?? Date.now;
    }

    setup(): Promise<void> {
        return Promise.resolve();
    }

    async createWriter(uuid: string, name: StoredFileName): Promise<StorageWriter> {
        assertStoredFile(uuid, name);
        const writer = new MemoryWriter({
            name,
            temporaryName: temporaryNameOf(name),
            target: this.#target(uuid),
            onEnd: (ended) => this.#uploads.delete(ended),
        });
        this.#uploads.add(writer);
        return writer;
    }

    async adopt(uuid: string, name: StoredFileName, { path }: FinishedFile): Promise<ClosedWriter> {
        const writer = await this.createWriter(uuid, name);
        await writer.write(await readFile(path));
        await writer.close();
        return writer;
    }

    async open(
        uuid: string,
        name: StoredFileName,
        options: ReadOptions = {},
    ): Promise<OpenedFile | undefined> {
        assertStoredFile(uuid, name);
        options.signal?.throwIfAborted();
        const bytes = this.#images.get(uuid)?.get(name)?.bytes;
        if (bytes === undefined) {
            return undefined;
        }
        const wanted = bytes.subarray(options.start ?? 0, (options.end ?? bytes.length - 1) + 1);
        let bytesRead = 0;
        const chunks = chunksOf(wanted, (count) => (bytesRead += count));
        const stream = Readable.from(chunks, { objectMode: false });
        const { signal } = options;
        signal?.addEventListener('abort', () => void stream.destroy(), { once: true });
        return { stream, size: bytes.length, bytesRead: () => bytesRead };
    }

    async stat(uuid: string, name: StoredFileName): Promise<StoredFileFacts | undefined> {
        assertStoredFile(uuid, name);
        const file = this.#images.get(uuid)?.get(name);
        return file === undefined ? undefined : { size: file.bytes.length };
    }

    async remove(uuid: string, name: StoredFileName): Promise<void> {
        assertStoredFile(uuid, name);
        this.#target(uuid).delete(name);
    }

    async copy(fromUuid: string, toUuid: string, name: StoredFileName): Promise<void> {
        assertStoredFile(fromUuid, name);
        assertStoredFile(toUuid, name);
        const file = this.#images.get(fromUuid)?.get(name);
        if (file === undefined) {
            throw Object.assign(new Error('ENOENT: no such file'), { code: 'ENOENT' });
        }
        this.#target(toUuid).put(name, file.bytes);
    }

    async *list(): AsyncIterable<ListedFile> {
        for (const [uuid, files] of this.#images) {
            for (const [name, file] of files) {
                yield { uuid, name, size: file.bytes.length, mtime: file.mtime };
            }
        }
    }

    async removeTemporary(uuid: string, name: string): Promise<boolean> {
        assertTemporaryFile(uuid, name);
        return this.#target(uuid).delete(name);
    }

    uploadsInProgress(): readonly string[] {
        return Array.from(this.#uploads, (writer) => writer.temporaryName);
    }

    async check(): Promise<Record<string, never>> {
        return {};
    }

    /** Puts a file in place as a crash or another server may have left it. */
    plant(uuid: string, name: string, bytes: Buffer): void {
        this.#target(uuid).put(name, bytes);
    }

    #target(uuid: string): MemoryTarget {
        return {
            put: (name, bytes) => {
                const files = this.#images.get(uuid) ?? new Map<string, MemoryFile>();
                this.#images.set(uuid, files.set(name, { bytes, mtime: this.#now() }));
            },
            rename: (from, to) => {
                const files = this.#images.get(uuid);
                const file = files?.get(from);
                if (files !== undefined && file !== undefined) {
                    files.delete(from);
                    files.set(to, file);
                }
            },
            delete: (name) => {
                const files = this.#images.get(uuid);
                const found = files?.delete(name) === true;
                if (files?.size === 0) {
                    this.#images.delete(uuid);
                }
                return found;
            },
        };
    }
}
