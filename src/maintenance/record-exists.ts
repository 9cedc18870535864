import { ApiError, imageNotFound } from '../base/errors.js';
import type { Database, StoredImage } from '../database/database.js';

/** What is known of an image: its record, that there is none, or that nobody can tell. */
export type RecordFound = StoredImage | 'absent' | 'unknown';

/**
 * Whether the failure of `database.get` means that there is no such image. It does not when a record
 * is there but invalid, nor when the database did not answer (backends 11.2).
 */
export function meansAbsent(error: unknown, uuid: string): boolean {
    return error instanceof ApiError && error.message === imageNotFound(uuid).message;
}

/**
 * Looks for a record before something of its image is cleaned away. A record that is there but
 * invalid and a database that does not answer count as "cannot tell" (backends 11.2).
 */
export async function findRecord(database: Database, uuid: string): Promise<RecordFound> {
    try {
        return await database.get(uuid);
    } catch (error) {
        return meansAbsent(error, uuid) ? 'absent' : 'unknown';
    }
}
