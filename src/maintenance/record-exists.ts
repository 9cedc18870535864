import { ApiError, imageNotFound } from '../base/errors.js';
import type { Database, StoredImage } from '../database/database.js';

/** What is known of an image: its record, that there is none, or that nobody can tell. */
export type RecordFound = StoredImage | 'absent' | 'unknown';

/**
 * Looks for a record before something of its image is cleaned away. A record that is there but
 * invalid and a database that does not answer count as "cannot tell" (backends 11.2).
 */
export async function findRecord(database: Database, uuid: string): Promise<RecordFound> {
    try {
        return await database.get(uuid);
    } catch (error) {
        const absent = error instanceof ApiError && error.message === imageNotFound(uuid).message;
        return absent ? 'absent' : 'unknown';
    }
}
