import type { JournalEntry } from '../storage/delete-journal.js';
import type { ImageServices } from './context.js';

/** Collects journal entries to be settled when a task has ended. */
export interface Cleanup {
    add(entry: JournalEntry): void;
}

/**
 * Runs a task that changes records and files and then settles the deletions it noted. Settling deletes
 * only what no current record names, so it is right whether the task succeeded, failed, or ended without
 * knowing which (backends W5). Runs in the queues of the images concerned.
 */
export async function settlingDeletes<T>(task: (cleanup: Cleanup) => Promise<T>): Promise<T> {
    const entries: JournalEntry[] = [];
    try {
        return await task({ add: (entry) => entries.push(entry) });
    } finally {
        for (const entry of entries) {
            await entry.finish();
        }
    }
}

/** Runs a task as {@link settlingDeletes} does, in the queues of these images. */
export async function withCleanup<T>(
    services: ImageServices,
    uuids: readonly string[],
    task: (cleanup: Cleanup) => Promise<T>,
): Promise<T> {
    return services.imageQueue.runAll(uuids, () => settlingDeletes(task));
}
