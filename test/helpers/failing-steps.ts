import type { Storage, StorageWriter } from '#lib/storage/storage.js';
import { replacing } from './image-faults.js';

/** Steps of moving a file, by the calls of a storage. */
export type Step = 'open' | 'createWriter' | 'write' | 'close' | 'commit' | 'stat';

/** Runs instead of a call, and may have it done. */
export type Instead = (go: () => Promise<unknown>) => Promise<unknown>;

/** A storage one call of which, of all of its kind, goes another way. @param nth from 1 */
export function withStep(storage: Storage, step: Step, nth: number, instead: Instead): Storage {
    let count = 0;
    const run = <T>(what: Step, go: () => Promise<T>): Promise<T> => {
        count += what === step ? 1 : 0;
        return what === step && count === nth ? (instead(go) as Promise<T>) : go();
    };
    const wrap = (writer: StorageWriter): StorageWriter =>
        replacing(writer, {
            write: (chunk: Buffer) => run('write', () => writer.write(chunk)),
            close: () => run('close', () => writer.close()),
            commit: () => run('commit', () => writer.commit()),
        });
    return replacing(storage, {
        open: (...args) => run('open', () => storage.open(...args)),
        stat: (...args) => run('stat', () => storage.stat(...args)),
        createWriter: (...args) => run('createWriter', async () => wrap(await storage.createWriter(...args))),
    });
}
