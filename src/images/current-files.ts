import type { Database } from '../database/database.js';
import { meansAbsent } from '../maintenance/record-exists.js';
import type { PendingDelete } from '../storage/delete-journal.js';
import { recordedFiles } from './image-files.js';

/**
 * The files the current record of an image names, for the journal of pending deletes (backends W5);
 * none when there is no such image.
 *
 * @throws when the database cannot tell, also for a record that exists but is invalid
 */
export async function currentFiles(database: Database, uuid: string): Promise<readonly PendingDelete[]> {
    try {
        return recordedFiles((await database.get(uuid)).raw);
    } catch (error) {
        if (meansAbsent(error, uuid)) {
            return [];
        }
        throw error;
    }
}
