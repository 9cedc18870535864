import type { ObjectStore } from '../remotes/object-store.js';
import type { ExportJournal } from '../storage/export-journal.js';
import type { StoredFileName } from '../storage/storage.js';

/** Where images are exported to: the store that also has the files of storage `manta`. */
export interface ExportArea {
    readonly objects: ObjectStore;
    readonly journal: ExportJournal;
    /** Where in it the storage keeps a file. */
    pathOf(uuid: string, name: StoredFileName): string;
}
