import { Readable } from 'node:stream';
import { internalError } from '#lib/base/errors.js';
import { MemoryStorage } from './memory-storage.js';
import type {
    AnnouncedFile,
    ClosedFile,
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
import { StorageFaults, type FaultyOperation } from './storage-faults.js';

/** The first bytes of a file, and then an error. */
async function* brokenOff(stream: Readable, limit: number): AsyncGenerator<Buffer, void, undefined> {
    let left = limit;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
        if (chunk.length > left) {
            yield chunk.subarray(0, left);
            throw new Error('read broken off');
        }
        left -= chunk.length;
        yield chunk;
    }
}

/** A closed writer whose calls go wrong as told; `abort` ends a call that hangs. */
class FaultyEnd<Inner extends ClosedWriter> implements ClosedWriter {
    readonly temporaryName: string;
    protected readonly inner: Inner;
    readonly #faults: StorageFaults;
    readonly #aborted: Promise<never>;
    #rejectAborted: (error: Error) => void = () => undefined;

    constructor(inner: Inner, faults: StorageFaults) {
        this.temporaryName = inner.temporaryName;
        this.inner = inner;
        this.#faults = faults;
        this.#aborted = new Promise((_resolve, reject) => {
            this.#rejectAborted = reject;
        });
        this.#aborted.catch(() => undefined);
    }

    commit(): Promise<void> {
        return this.step('commit', () => this.inner.commit());
    }

    async abort(): Promise<void> {
        this.#rejectAborted(internalError('file was aborted'));
        await this.inner.abort();
    }

    protected step<T>(operation: FaultyOperation, work: () => Promise<T>): Promise<T> {
        return Promise.race([this.#faults.around(operation, work), this.#aborted]);
    }
}

/** As {@link FaultyEnd}, for a writer that is open. */
class FaultyWriter extends FaultyEnd<StorageWriter> implements StorageWriter {
    write(chunk: Buffer): Promise<void> {
        return this.step('write', () => this.inner.write(chunk));
    }

    close(): Promise<ClosedFile> {
        return this.step('close', () => this.inner.close());
    }
}

/** Another storage, whose calls fail, hang or break off as {@link FaultyStorage.faults} is told. */
export class FaultyStorage implements Storage {
    readonly type: Storage['type'];
    readonly faults = new StorageFaults();
    readonly #inner: Storage;

    constructor(inner: Storage) {
        this.type = inner.type;
        this.#inner = inner;
    }

    setup(): Promise<void> {
        return this.#inner.setup();
    }

    async createWriter(
        uuid: string,
        name: StoredFileName,
        announced?: AnnouncedFile,
    ): Promise<StorageWriter> {
        const made: StorageWriter[] = [];
        try {
            return await this.faults.around('createWriter', async () => {
                const writer = await this.#inner.createWriter(uuid, name, announced);
                made.push(writer);
                return new FaultyWriter(writer, this.faults);
            });
        } catch (error) {
            // Nobody else knows of it.
            await made[0]?.abort();
            throw error;
        }
    }

    adopt(uuid: string, name: StoredFileName, file: FinishedFile): Promise<ClosedWriter | undefined> {
        return this.faults.around('adopt', async () => {
            const adopted = await this.#inner.adopt(uuid, name, file);
            return adopted && new FaultyEnd(adopted, this.faults);
        });
    }

    async open(uuid: string, name: StoredFileName, options?: ReadOptions): Promise<OpenedFile | undefined> {
        const opened = await this.faults.around('open', () => this.#inner.open(uuid, name, options));
        const limit = this.faults.readLimit;
        if (opened === undefined || limit === undefined) return opened;
        const { stream } = opened;
        return { ...opened, stream: Readable.from(brokenOff(stream, limit), { objectMode: false }) };
    }

    stat(uuid: string, name: StoredFileName): Promise<StoredFileFacts | undefined> {
        return this.faults.around('stat', () => this.#inner.stat(uuid, name));
    }

    remove(uuid: string, name: StoredFileName): Promise<void> {
        return this.faults.around('remove', () => this.#inner.remove(uuid, name));
    }

    copy(fromUuid: string, toUuid: string, name: StoredFileName): Promise<void> {
        return this.faults.around('copy', () => this.#inner.copy(fromUuid, toUuid, name));
    }

    async *list(): AsyncIterable<ListedFile> {
        const files = await this.faults.around('list', () => Promise.resolve(this.#inner.list()));
        yield* files;
    }

    removeTemporary(uuid: string, name: string): Promise<boolean> {
        return this.faults.around('remove', () => this.#inner.removeTemporary(uuid, name));
    }

    uploadsInProgress(): readonly string[] {
        return this.#inner.uploadsInProgress();
    }

    check(): ReturnType<Storage['check']> {
        return this.faults.around('check', () => this.#inner.check());
    }
}

/** A storage in memory that goes wrong as told. */
export class FaultyMemory extends FaultyStorage {
    readonly #memory: MemoryStorage;

    constructor(options: ConstructorParameters<typeof MemoryStorage>[0] = {}) {
        const memory = new MemoryStorage(options);
        super(memory);
        this.#memory = memory;
    }

    /** Puts a file in place as a crash or another server may have left it. */
    plant(uuid: string, name: string, bytes: Buffer): void {
        this.#memory.plant(uuid, name, bytes);
    }
}
