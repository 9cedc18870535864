import type Logger from 'bunyan';
import type { BaseDirectories } from '../base/config-types.js';
import { isUuid } from '../base/uuid.js';
import { isStoredFileName } from './file-names.js';
import { IntentFiles } from './intent-files.js';
import type { NotedUpload, UploadIntent, UploadJournal } from './upload-journal.js';

function isIntent(value: unknown): value is UploadIntent {
    if (typeof value !== 'object' || value === null) {
        return false;
    }
    const { uuid, name, stor, temporaryName, previous, next } = value as Partial<
        Record<keyof UploadIntent, unknown>
    >;
    return (
        isUuid(uuid) &&
        typeof name === 'string' &&
        isStoredFileName(name) &&
        typeof stor === 'string' &&
        typeof temporaryName === 'string' &&
        typeof next === 'object' &&
        next !== null &&
        (previous === undefined || (typeof previous === 'object' && previous !== null))
    );
}

/** Journal in `run/uploads/<uuid>.<random>.json`, one file an upload. */
export class FileUploadJournal implements UploadJournal {
    readonly #files: IntentFiles<UploadIntent>;

    constructor(options: { readonly directories: BaseDirectories; readonly log: Logger }) {
        this.#files = new IntentFiles({
            directory: options.directories.uploads,
            what: 'upload intent',
            isIntent,
            log: options.log.child({ component: 'journal' }, true),
        });
    }

    async note(intent: UploadIntent): Promise<NotedUpload> {
        return this.#files.note(intent.uuid, intent);
    }

    async pending(): Promise<readonly NotedUpload[]> {
        return this.#files.pending();
    }
}
