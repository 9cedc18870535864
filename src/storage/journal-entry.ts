import type { JsonValue } from '../manifest/types.js';
import { isUuid } from '../base/uuid.js';
import type { PendingDelete } from './delete-journal.js';

/** What a file of the journal holds (backends W5). */
export interface JournalRecord {
    readonly uuid: string;
    readonly files: readonly PendingDelete[];
    /** Milliseconds since the epoch. */
    readonly notBefore?: number;
}

function isPendingDelete(value: JsonValue): boolean {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        return false;
    }
    const { stor, name } = value as Readonly<Record<string, JsonValue | undefined>>;
    return typeof stor === 'string' && typeof name === 'string';
}

function isJournalRecord(value: JsonValue): boolean {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        return false;
    }
    const { uuid, files, notBefore } = value as Readonly<Record<string, JsonValue | undefined>>;
    return (
        isUuid(uuid) &&
        Array.isArray(files) &&
        files.every(isPendingDelete) &&
        (notBefore === undefined || typeof notBefore === 'number')
    );
}

/** @throws Error for text that is no journal record */
export function parseJournalRecord(text: string): JournalRecord {
    const value = JSON.parse(text) as JsonValue;
    if (!isJournalRecord(value)) {
        throw new Error('not a journal record');
    }
    return value as unknown as JournalRecord;
}
