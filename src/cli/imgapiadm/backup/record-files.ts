import { isSettings } from '../../../base/config-rules.js';

/** A file in the local storage, as a record names it. */
export interface NamedFile {
    /** In the image's directory. */
    readonly name: string;
    readonly size?: number;
    readonly sha1?: string;
}

function named(name: string, entry: unknown): NamedFile[] {
    if (!isSettings(entry) || (entry['stor'] !== undefined && entry['stor'] !== 'local')) {
        return [];
    }
    const { size, sha1 } = entry;
    return [
        {
            name,
            ...(typeof size === 'number' ? { size } : {}),
            ...(typeof sha1 === 'string' ? { sha1 } : {}),
        },
    ];
}

function listOf(value: unknown): readonly unknown[] {
    // Very old records have lists as JSON texts.
    const list: unknown = typeof value === 'string' ? JSON.parse(value) : value;
    return Array.isArray(list) ? list : [];
}

/** The local files a record names; none for a text that is no record, which others complain about. */
export function localFilesOf(text: string): readonly NamedFile[] {
    try {
        const record: unknown = JSON.parse(text);
        if (!isSettings(record)) {
            return [];
        }
        const files = listOf(record['files']).flatMap((entry, index) => named(`file${index}`, entry));
        return [...files, ...named('icon', record['icon'])];
    } catch {
        return [];
    }
}
