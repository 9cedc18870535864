import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type Logger from 'bunyan';
import type { BaseDirectories } from '../base/config-types.js';
import { createFileDurably, makeDirectory, removeDurably } from '../base/durable-files.js';
import { unlessMissing } from '../base/unless-missing.js';
import { isUuid } from '../base/uuid.js';
import { isStoredFileName } from './file-names.js';
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
    readonly #directory: string;
    readonly #log: Logger;

    constructor(options: { readonly directories: BaseDirectories; readonly log: Logger }) {
        this.#directory = options.directories.uploads;
        this.#log = options.log.child({ component: 'journal' }, true);
    }

    async note(intent: UploadIntent): Promise<NotedUpload> {
        const path = join(this.#directory, `${intent.uuid}.${randomBytes(8).toString('hex')}.json`);
        await makeDirectory(this.#directory);
        await createFileDurably(path, JSON.stringify(intent));
        return { intent, drop: () => removeDurably(path) };
    }

    async pending(): Promise<readonly NotedUpload[]> {
        const names = (await unlessMissing(readdir(this.#directory))) ?? [];
        const noted: NotedUpload[] = [];
        for (const name of names.filter((one) => one.endsWith('.json'))) {
            const path = join(this.#directory, name);
            try {
                const intent: unknown = JSON.parse(await readFile(path, 'utf8'));
                if (!isIntent(intent)) {
                    throw new Error('not an upload intent');
                }
                noted.push({ intent, drop: () => removeDurably(path) });
            } catch (err) {
                this.#log.error({ err, path }, 'upload intent cannot be read: left as it is');
            }
        }
        return noted;
    }
}
