import type { StoredImage } from '../../database/database.js';
import { namedEntries, storageNameOf } from '../../images/image-files.js';
import { isActivated } from '../../manifest/state.js';
import type { RawImage } from '../../manifest/types.js';
import type { StoredFileName } from '../../storage/storage.js';
import { meansAbsent } from '../record-exists.js';

/** A file or icon as a record names it. */
export interface ExpectedFile {
    readonly name: StoredFileName;
    /** Name of the storage that has it. */
    readonly stor: string;
    /** Hex. */
    readonly sha1: string;
    /** Bytes. */
    readonly size: number;
    /** Base64; absent in old records. */
    readonly contentMD5?: string;
    /** ISO date; absent in old records. */
    readonly mtime?: string;
}

/** The part of a record that files are judged by: little, so that those of all images fit in memory. */
export interface ImageFacts {
    readonly uuid: string;
    readonly isActivated: boolean;
    readonly files: readonly ExpectedFile[];
}

/** Facts of an image; that it has no record; or that nobody can tell, so that nothing of it may be touched. */
export type KnownImage = ImageFacts | 'absent' | 'unknown';

/** Where records come from. */
export interface SurveyRecords {
    /** All images, oldest first or in no order. @throws 503 when they cannot all be read */
    all(): AsyncIterable<StoredImage>;
    /** A record as it is at this moment, whatever this process holds. @throws as `Database.get` */
    current(uuid: string): Promise<StoredImage>;
}

/** What a record says of the files of its image. */
export function factsOf(raw: RawImage): ImageFacts {
    return {
        uuid: raw.uuid,
        isActivated: isActivated(raw),
        files: namedEntries(raw).map(({ name, entry }) => ({
            name,
            stor: storageNameOf(entry),
            sha1: entry.sha1,
            size: entry.size,
            ...(entry.contentMD5 === undefined ? {} : { contentMD5: entry.contentMD5 }),
            ...(entry.mtime === undefined ? {} : { mtime: entry.mtime }),
        })),
    };
}

/** What the record of an image says at this moment. Never rejects. */
export async function currentFacts(records: SurveyRecords, uuid: string): Promise<KnownImage> {
    try {
        return factsOf((await records.current(uuid)).raw);
    } catch (error) {
        return meansAbsent(error, uuid) ? 'absent' : 'unknown';
    }
}
