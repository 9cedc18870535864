/** How thoroughly a file was checked. */
export type CacheLevel = 'simple' | 'full' | 'deep';

/** The result of one file (operations 2.3); `ino` and `mtimeMs` are 0 where there is no file system. */
export interface CacheEntry {
    readonly size: number;
    readonly sha1: string;
    readonly mtimeMs: number;
    readonly ino: number;
    readonly level: CacheLevel;
    /** ISO date. */
    readonly checkedAt: string;
}

/** A result of the existing server's tool: of the first file of an image, in the local storage. */
export interface OldCacheEntry {
    readonly size: number;
    readonly sha1: string;
}

/** An entry, and the same as it is written. */
export interface Kept<T> {
    readonly entry: T;
    readonly text: string;
}

/** Results by their keys: `uuid/file/storage`, and `uuid` for old ones. */
export interface CacheContent {
    readonly entries: Map<string, Kept<CacheEntry>>;
    readonly old: Map<string, Kept<OldCacheEntry>>;
}

const LEVELS: ReadonlySet<unknown> = new Set<CacheLevel>(['simple', 'full', 'deep']);

function isOld(value: unknown): value is OldCacheEntry {
    const { size, sha1 } = (value ?? {}) as Partial<OldCacheEntry>;
    return typeof size === 'number' && typeof sha1 === 'string';
}

function isEntry(value: unknown): value is CacheEntry {
    const { mtimeMs, ino, level, checkedAt } = (value ?? {}) as Partial<CacheEntry>;
    return (
        isOld(value) &&
        typeof mtimeMs === 'number' &&
        typeof ino === 'number' &&
        LEVELS.has(level) &&
        typeof checkedAt === 'string' &&
        !Number.isNaN(Date.parse(checkedAt))
    );
}

/** Reads the text of a cache, ours or the existing server's; entries of no use are dropped. @throws Error */
export function parseCache(text: string): CacheContent {
    let data: unknown;
    try {
        data = JSON.parse(text);
    } catch {
        // The parser's message quotes the text.
        throw new Error('it is not JSON');
    }
    if (typeof data !== 'object' || data === null || Array.isArray(data)) {
        throw new Error('it is no object');
    }
    const content: CacheContent = { entries: new Map(), old: new Map() };
    for (const [key, value] of Object.entries(data)) {
        if (key.includes('/') && isEntry(value)) {
            content.entries.set(key, { entry: value, text: JSON.stringify(value) });
        } else if (!key.includes('/') && isOld(value)) {
            content.old.set(key, { entry: value, text: JSON.stringify(value) });
        }
    }
    return content;
}
