import { systemClock } from '#lib/base/clock.js';
import { baseDirectories } from '#lib/base/directories.js';
import { KeyedQueue } from '#lib/base/keyed-queue.js';
import { currentFiles } from '#lib/images/current-files.js';
import { FileUploadJournal } from '#lib/storage/file-upload-journal.js';
import { FileDeleteJournal } from '#lib/storage/journal.js';
import type { Bench } from './image-bench.js';
import { recordingLog } from './recording-log.js';

const WAIT_MS = 20_000;

/** The journal of uploads of one of several processes. */
export function uploadJournalOf(base: string, waitMs = WAIT_MS): FileUploadJournal {
    const { log } = recordingLog();
    return new FileUploadJournal({
        directories: baseDirectories(base),
        log,
        clock: systemClock,
        writers: 'all',
        waitMs,
    });
}

/** Another process's services on the same data: its queues know nothing of the first one's. */
export function secondProcess(bench: Bench): Bench {
    const directories = baseDirectories(bench.base);
    const { log } = recordingLog();
    const imageQueue = new KeyedQueue();
    const { storages, database } = bench.services;
    const uploads = uploadJournalOf(bench.base);
    const journal = new FileDeleteJournal({
        directories,
        log,
        clock: systemClock,
        storages,
        currentFiles: (uuid) => currentFiles(database, uuid),
        imageQueue,
        writers: 'all',
        uploads,
    });
    return {
        ...bench,
        services: { ...bench.services, imageQueue, journal, uploads },
        pendingDeletes: () => journal.pass(),
    };
}
