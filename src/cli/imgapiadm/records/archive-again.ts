import type { Archive } from '../../../archive/archive.js';
import type { RawImage } from '../../../manifest/types.js';
import type { StoredRecords } from './stored-records.js';

/** What {@link archiveAgain} works with. */
export interface ArchiveAgainParts {
    readonly records: Pick<StoredRecords, 'find'>;
    readonly archive: Pick<Archive, 'write'>;
}

/**
 * After a record could not be stored whose archived manifest was written first (backends 10): the archive is to
 * say again what the record says. As well as it can be done; what has failed is told of anyway. Never rejects.
 */
export async function archiveAgain(uuid: string, { records, archive }: ArchiveAgainParts): Promise<void> {
    try {
        const stored = await records.find(uuid);
        if (stored?.kind === 'record') {
            // Not validated: the rules it breaks are why it was to be replaced.
            await archive.write(stored.current as unknown as RawImage);
        }
    } catch {
        // The database or the archive cannot be used, or the record is none for the archive.
    }
}
