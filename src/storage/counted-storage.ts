import type { Readable } from 'node:stream';
import { Tally } from '../base/tally.js';
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
} from './storage.js';

/** What storages have done, for the metrics (operations 1.8). */
export class StorageCounts {
    /** Bytes written (`in`) and read (`out`). */
    readonly bytes = new Tally<'direction' | 'stor'>();
    /** Transfers that did not get to their end; `reason` says which end is to blame: `client` or `storage`. */
    readonly failures = new Tally<'direction' | 'reason'>();
    /** Calls of a storage that failed. */
    readonly errors = new Tally<'stor' | 'op'>();
}

/** Counts how a file comes to its end. An abort comes too late to be counted once all is over. */
class CountedEnd<Inner extends ClosedWriter> implements ClosedWriter {
    readonly temporaryName: string;
    protected readonly inner: Inner;
    protected readonly counts: StorageCounts;
    protected readonly stor: string;
    #over = false;
    #hasFailed = false;

    constructor(inner: Inner, counts: StorageCounts, stor: string) {
        this.inner = inner;
        this.counts = counts;
        this.stor = stor;
        this.temporaryName = inner.temporaryName;
    }

    async commit(): Promise<void> {
        await this.watch('commit', this.inner.commit());
        this.#over = true;
    }

    async abort(): Promise<void> {
        if (!this.#over) {
            this.#over = true;
            this.counts.failures.add({ direction: 'in', reason: this.#hasFailed ? 'storage' : 'client' });
        }
        await this.inner.abort();
    }

    /** What fails after an abort fails because of it. */
    protected async watch<T>(op: string, call: Promise<T>): Promise<T> {
        try {
            return await call;
        } catch (error) {
            if (!this.#over) {
                this.#hasFailed = true;
                this.counts.errors.add({ stor: this.stor, op });
            }
            throw error;
        }
    }
}

/** Counts what a storage writes. */
class CountedWriter extends CountedEnd<StorageWriter> implements StorageWriter {
    async write(chunk: Buffer): Promise<void> {
        await this.watch('write', this.inner.write(chunk));
        this.counts.bytes.add({ direction: 'in', stor: this.stor }, chunk.length);
    }

    close(): Promise<ClosedFile> {
        return this.watch('sync', this.inner.close());
    }
}

/** A storage whose transfers and failures are counted; all else is the storage's own doing. */
export class CountedStorage implements Storage {
    readonly type: Storage['type'];
    readonly #inner: Storage;
    readonly #counts: StorageCounts;

    constructor(inner: Storage, counts: StorageCounts) {
        this.type = inner.type;
        this.#inner = inner;
        this.#counts = counts;
    }

    setup(): Promise<void> {
        return this.#watch('setup', this.#inner.setup());
    }

    async createWriter(
        uuid: string,
        name: StoredFileName,
        announced?: AnnouncedFile,
    ): Promise<StorageWriter> {
        const writer = await this.#watch('create', this.#inner.createWriter(uuid, name, announced));
        return new CountedWriter(writer, this.#counts, this.type);
    }

    /** Counts its bytes as written. */
    async adopt(uuid: string, name: StoredFileName, file: FinishedFile): Promise<ClosedWriter | undefined> {
        const adopted = await this.#watch('create', this.#inner.adopt(uuid, name, file));
        if (adopted === undefined) {
            return undefined;
        }
        this.#counts.bytes.add({ direction: 'in', stor: this.type }, file.size);
        return new CountedEnd(adopted, this.#counts, this.type);
    }

    async open(uuid: string, name: StoredFileName, options?: ReadOptions): Promise<OpenedFile | undefined> {
        const opened = await this.#watch('open', this.#inner.open(uuid, name, options), options?.signal);
        if (opened !== undefined) {
            opened.stream.once('close', () => this.#closed(opened.stream, opened.bytesRead()));
        }
        return opened;
    }

    stat(uuid: string, name: StoredFileName): Promise<StoredFileFacts | undefined> {
        return this.#watch('stat', this.#inner.stat(uuid, name));
    }

    remove(uuid: string, name: StoredFileName): Promise<void> {
        return this.#watch('remove', this.#inner.remove(uuid, name));
    }

    copy(fromUuid: string, toUuid: string, name: StoredFileName): Promise<void> {
        return this.#watch('copy', this.#inner.copy(fromUuid, toUuid, name));
    }

    async *list(): AsyncIterable<ListedFile> {
        try {
            yield* this.#inner.list();
        } catch (error) {
            this.#failed('list');
            throw error;
        }
    }

    removeTemporary(uuid: string, name: string): Promise<boolean> {
        return this.#watch('remove', this.#inner.removeTemporary(uuid, name));
    }

    uploadsInProgress(): readonly string[] {
        return this.#inner.uploadsInProgress();
    }

    check(): ReturnType<Storage['check']> {
        return this.#watch('check', this.#inner.check());
    }

    /** Counts a read that is over; one that was opened only to be looked at was no transfer. */
    #closed(stream: Readable, bytes: number): void {
        this.#counts.bytes.add({ direction: 'out', stor: this.type }, bytes);
        if (stream.errored !== null) {
            this.#failed('read');
            this.#counts.failures.add({ direction: 'out', reason: 'storage' });
        } else if (bytes > 0 && !stream.readableEnded) {
            this.#counts.failures.add({ direction: 'out', reason: 'client' });
        }
    }

    #failed(op: string): void {
        this.#counts.errors.add({ stor: this.type, op });
    }

    /** @param signal one that was aborted: the failure is the caller's wish */
    async #watch<T>(op: string, call: Promise<T>, signal?: AbortSignal): Promise<T> {
        try {
            return await call;
        } catch (error) {
            if (signal?.aborted !== true) {
                this.#failed(op);
            }
            throw error;
        }
    }
}
