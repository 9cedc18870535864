import type { Test } from 'tap';
import type { Change, Database } from '#lib/database/database.js';
import type { Storage } from '#lib/storage/storage.js';
import { type Bench, sha1 } from './image-bench.js';

/** What the operating system says when a disk breaks, with a path nobody may see. */
export const EIO = Object.assign(new Error("EIO: i/o error, write '/secret/path'"), { code: 'EIO' });
/** How a storage that is down is answered. */
export const DOWN = { status: 503, code: 'StorageIsDown', message: 'storage is down at the moment' };

/** An object with some methods replaced; the others see the real one as `this`. */
export function replacing<T extends object>(target: T, methods: Partial<T>): T {
    return new Proxy(target, {
        get: (real, key) => {
            const replaced: unknown = Reflect.get(methods, key);
            const value: unknown = replaced ?? Reflect.get(real, key, real);
            return typeof value === 'function'
                ? (value.bind(replaced === undefined ? real : methods) as unknown)
                : value;
        },
    });
}

/** A database whose updates fail when told so, after the change has been computed. */
export class FailingUpdates {
    /** What the next updates fail with, `undefined`: they succeed. */
    readonly next: (Error | undefined)[] = [];

    readonly wrap = (database: Database): Database =>
        replacing(database, {
            update: async (uuid: string, change: Change) => {
                const failure = this.next.shift();
                return database.update(uuid, async (raw) => {
                    const next = await change(raw);
                    if (failure !== undefined) throw failure;
                    return next;
                });
            },
        });
}

/** Names of all files in a storage. */
export async function names(bench: Bench, storage?: Storage): Promise<readonly string[]> {
    return (await bench.files(storage)).map((file) => file.name).sort();
}

/** The record agrees with the bytes in place, whatever has happened. */
export async function requireAgreement(t: Test, bench: Bench, uuid: string): Promise<void> {
    const entry = (await bench.raw(uuid)).files?.[0];
    const bytes = await bench.bytes(uuid, 'file0');
    t.equal(entry?.sha1, bytes === undefined ? undefined : sha1(bytes), 'record and bytes agree');
}
