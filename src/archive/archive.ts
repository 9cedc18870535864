import type { RawImage } from '../manifest/types.js';

/** Keeps the last manifest of every image that ever was, as history (backends 10). */
export interface Archive {
    /**
     * Writes the API form of a record (version `*`, no admin fields) durably.
     *
     * @throws 503 `StorageIsDown` for a full or read-only disk, else 500
     */
    write(raw: RawImage): Promise<void>;
    /** Number of manifests kept on this machine. */
    count(): Promise<number>;
}
