import {
    imageNotFound,
    imageUuidAlreadyExists,
    internalError,
    serviceUnavailable,
} from '../../base/errors.js';
import { KeyedQueue } from '../../base/keyed-queue.js';
import { deepFreeze } from '../../manifest/freeze.js';
import type { RawImage } from '../../manifest/types.js';
import type { Change, Database, DeleteOptions, MoveChange, StoredImage } from '../database.js';
import { applyQuery } from '../match.js';
import type { Query } from '../query.js';

/** Operations that can be made to fail. */
export type FailingOperation = 'get' | 'search' | 'create' | 'update' | 'move' | 'del' | 'ping';

/**
 * Records in memory only, searched one by one: the plainest thing that keeps the promises of
 * {@link Database} but for the durable ones. For tests, which can make it fail.
 */
export class MemoryDatabase implements Database {
    /** While true every operation rejects as if the database could not be reached. */
    unreachable = false;
    readonly #images = new Map<string, StoredImage>();
    readonly #changes = new KeyedQueue();
    readonly #failures: { readonly operation: FailingOperation; readonly error: Error }[] = [];
    #lastToken = 0;

    /** Makes the next call of `operation` that has not failed otherwise reject with `error`, before it changes anything. */
    failNext(operation: FailingOperation, error: Error): void {
        this.#failures.push({ operation, error });
    }

    /** Number of records. */
    get size(): number {
        return this.#images.size;
    }

    async setup(): Promise<void> {
        return Promise.resolve();
    }

    async get(uuid: string): Promise<StoredImage> {
        this.#fail('get');
        return Promise.resolve(this.#held(uuid));
    }

    async search(query: Query): Promise<readonly StoredImage[]> {
        this.#fail('search');
        return Promise.resolve(applyQuery(this.#images.values(), query));
    }

    async create(raw: RawImage): Promise<StoredImage> {
        return this.#changes.run(raw.uuid, async () => {
            this.#requireFree(raw.uuid);
            this.#fail('create');
            return Promise.resolve(this.#put(raw));
        });
    }

    async update(uuid: string, change: Change): Promise<StoredImage> {
        return this.#changes.run(uuid, async () => {
            this.#failIfUnreachable();
            const held = this.#held(uuid);
            const changed = await change(held.raw);
            if (changed === undefined || changed === held.raw) {
                return held;
            }
            if (changed.uuid !== uuid) {
                throw internalError(
                    `error modifying image ${uuid}`,
                    new Error('the uuid of a record changes by move only'),
                );
            }
            this.#fail('update');
            return this.#put(changed);
        });
    }

    async move(oldUuid: string, newUuid: string, change: MoveChange): Promise<StoredImage> {
        return this.#changes.runAll([oldUuid, newUuid], async () => {
            const held = this.#held(oldUuid);
            const changed = await change(held.raw);
            if (changed.uuid !== newUuid) {
                throw internalError(
                    `error modifying image ${oldUuid}`,
                    new Error('the record has another uuid than announced'),
                );
            }
            this.#requireFree(newUuid);
            this.#fail('move');
            this.#images.delete(oldUuid);
            return this.#put(changed);
        });
    }

    async del(uuid: string, options: DeleteOptions = {}): Promise<void> {
        await this.#changes.run(uuid, async () => {
            const held = this.#held(uuid);
            await options.check?.(held);
            this.#fail('del');
            this.#images.delete(uuid);
        });
    }

    async ping(): Promise<void> {
        this.#fail('ping');
        return Promise.resolve();
    }

    async close(): Promise<void> {
        await this.#changes.idle();
    }

    #failIfUnreachable(): void {
        if (this.unreachable) {
            throw serviceUnavailable('service unavailable', 5);
        }
    }

    #fail(operation: FailingOperation): void {
        this.#failIfUnreachable();
        const at = this.#failures.findIndex((failure) => failure.operation === operation);
        const [failure] = at === -1 ? [] : this.#failures.splice(at, 1);
        if (failure !== undefined) {
            throw failure.error;
        }
    }

    #held(uuid: string): StoredImage {
        this.#failIfUnreachable();
        const held = this.#images.get(uuid);
        if (held === undefined) {
            throw imageNotFound(uuid);
        }
        return held;
    }

    #requireFree(uuid: string): void {
        this.#failIfUnreachable();
        if (this.#images.has(uuid)) {
            throw imageUuidAlreadyExists(uuid);
        }
    }

    #put(raw: RawImage): StoredImage {
        this.#lastToken += 1;
        const copy = JSON.parse(JSON.stringify(raw)) as RawImage;
        const stored = Object.freeze({ raw: deepFreeze(copy), token: String(this.#lastToken) });
        this.#images.set(raw.uuid, stored);
        return stored;
    }
}
