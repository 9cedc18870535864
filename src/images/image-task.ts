import type { JournalEntry } from '../storage/delete-journal.js';
import type { ImageServices } from './context.js';

/** Collects journal entries to be settled when a task has ended. */
export interface Cleanup {
    add(entry: JournalEntry): void;
}

/**
 * Runs a task in the queues of several images at once. Queues are entered in the order of the
 * uuids, so that two tasks never wait for each other.
 */
async function inQueues<T>(
    services: ImageServices,
    uuids: readonly string[],
    task: () => Promise<T>,
): Promise<T> {
    const [last, ...others] = [...new Set(uuids)].sort().reverse();
    if (last === undefined) {
        return task();
    }
    return others.reduce<() => Promise<T>>(
        (inner, uuid) => () => services.imageQueue.run(uuid, inner),
        () => services.imageQueue.run(last, task),
    )();
}

/**
 * Runs a task that changes records and files, in the queues of the images concerned, and then, still
 * there, settles the deletions it noted. Settling deletes only what no current record names, so it
 * is right whether the task succeeded, failed, or ended without knowing which (backends W5).
 */
export async function withCleanup<T>(
    services: ImageServices,
    uuids: readonly string[],
    task: (cleanup: Cleanup) => Promise<T>,
): Promise<T> {
    return inQueues(services, uuids, async () => {
        const entries: JournalEntry[] = [];
        try {
            return await task({ add: (entry) => entries.push(entry) });
        } finally {
            for (const entry of entries) {
                await entry.finish();
            }
        }
    });
}
