import { stat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileDurably } from '../../../base/durable-files.js';
import { messageOf } from '../../../base/errors.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { ExpectedFile, SeenFile } from '../../../maintenance/verify-file.js';
import { indexOf, type CheckedFile } from './checked-image.js';
import { parseCache, type CacheContent, type CacheEntry, type CacheLevel } from './cache-format.js';

/** Where the existing server's tool keeps what it remembers, unless the environment names another place. */
export const OLD_CACHE_DIRECTORY = '/data/imgapiadm/cache';
/** Variable that names the directory to look for instead. */
export const OLD_CACHE_VARIABLE = 'IMGAPIADM_CACHE_DIR';

/** Longest time that results are in memory only, milliseconds (operations 2.3). */
const WRITE_INTERVAL_MS = 1000;
/** Largest file that is read, bytes: that of a million files. */
const MAX_CACHE_SIZE = 268_435_456;

const RANKS: Readonly<Record<CacheLevel, number>> = { simple: 0, full: 1, deep: 2 };

/** Where results are remembered; the existing server's place if there is one. */
export async function cachePath(
    runDirectory: string,
    dockerOnly: boolean,
    environment: NodeJS.ProcessEnv,
): Promise<string> {
    const old = environment[OLD_CACHE_VARIABLE] || OLD_CACHE_DIRECTORY;
    const isThere = (await stat(old).catch(() => undefined))?.isDirectory() ?? false;
    const name = isThere && dockerOnly ? 'check-files-v2.json' : 'check-files.json';
    return join(isThere ? old : runDirectory, name);
}

/** What a {@link CheckCache} is made from. */
export interface CheckCacheOptions {
    /** Absent: nothing is remembered, nor known. */
    readonly path?: string;
    /** Oldest result that counts, milliseconds. */
    readonly maxAgeMs?: number;
    /** Told once if nothing can be read or kept. */
    readonly note: (text: string) => void;
}

/** Names the result of one file. */
function keyOf(uuid: string, file: CheckedFile): string {
    return `${uuid}/${indexOf(file)}/${file.stor}`;
}

/** Reads a file that may be missing or damaged. */
async function readCache({ path, note }: CheckCacheOptions): Promise<CacheContent> {
    const nothing: CacheContent = { entries: new Map(), old: new Map() };
    if (path === undefined) {
        return nothing;
    }
    try {
        const facts = await unlessMissing(stat(path));
        if (facts === undefined) {
            return nothing;
        }
        if (facts.size > MAX_CACHE_SIZE) {
            throw new Error(`larger than ${MAX_CACHE_SIZE} bytes`);
        }
        return parseCache(await readFile(path, 'utf8'));
    } catch (error) {
        note(`earlier results are not used: ${path}: ${messageOf(error)}`);
        return nothing;
    }
}

/**
 * Remembers files that were good, so that they need not be read again (operations 2.3). What it knows is on
 * stable storage a second later.
 */
export class CheckCache {
    readonly #options: CheckCacheOptions;
    readonly #content: CacheContent;
    readonly #now: () => number;
    #timer: NodeJS.Timeout | undefined;
    #writing: Promise<void> = Promise.resolve();
    #isDirty = false;
    #isOff: boolean;
    #writtenAt = -Infinity;

    private constructor(options: CheckCacheOptions, content: CacheContent, now: () => number) {
        this.#options = options;
        this.#content = content;
        this.#now = now;
        this.#isOff = options.path === undefined;
    }

    static async open(options: CheckCacheOptions, now: () => number = Date.now): Promise<CheckCache> {
        return new CheckCache(options, await readCache(options), now);
    }

    /**
     * Whether a file is known to be good.
     *
     * @param level how thoroughly it was to be checked
     * @param seen what it looks like now; absent: nobody has looked
     */
    knows(uuid: string, file: CheckedFile, level: CacheLevel, seen?: SeenFile): boolean {
        const entry = this.#content.entries.get(keyOf(uuid, file))?.entry;
        if (entry === undefined) {
            return level !== 'deep' && this.#knewBefore(uuid, file);
        }
        const { identity } = seen ?? {};
        return (
            RANKS[entry.level] >= RANKS[level] &&
            isOf(entry, file.expected) &&
            (identity === undefined || (entry.ino === identity.ino && entry.mtimeMs === identity.mtimeMs)) &&
            this.#isYoung(entry.checkedAt)
        );
    }

    /** Notes that a file is good. A better result stays, as long as it is about the same file. */
    remember(uuid: string, file: CheckedFile, level: CacheLevel, seen: SeenFile): void {
        const { size, sha1 } = file.expected;
        if (
            this.#isOff ||
            size === undefined ||
            sha1 === undefined ||
            this.#hasBetter(uuid, file, level, seen)
        ) {
            return;
        }
        const { ino = 0, mtimeMs = 0 } = seen.identity ?? {};
        const checkedAt = new Date(this.#now()).toISOString();
        const entry: CacheEntry = { size, sha1, mtimeMs, ino, level, checkedAt };
        this.#content.entries.set(keyOf(uuid, file), { entry, text: JSON.stringify(entry) });
        this.#changed();
    }

    /** Notes that a file is not good. */
    forget(uuid: string, file: CheckedFile): void {
        const wasKnown = this.#content.entries.delete(keyOf(uuid, file));
        const wasKnownBefore = indexOf(file) === 0 && this.#content.old.delete(uuid);
        if (wasKnown || wasKnownBefore) {
            this.#changed();
        }
    }

    /** Puts everything on stable storage. */
    async close(): Promise<void> {
        clearTimeout(this.#timer);
        this.#timer = undefined;
        await this.#writing;
        await this.#write();
        this.#isOff = true;
    }

    /** The existing server's tool has read the first file, in the local storage, but not when it did. */
    #knewBefore(uuid: string, file: CheckedFile): boolean {
        const entry = this.#content.old.get(uuid)?.entry;
        return (
            entry !== undefined &&
            file.stor === 'local' &&
            indexOf(file) === 0 &&
            isOf(entry, file.expected) &&
            this.#options.maxAgeMs === undefined
        );
    }

    #hasBetter(uuid: string, file: CheckedFile, level: CacheLevel, seen: SeenFile): boolean {
        const held = this.#content.entries.get(keyOf(uuid, file))?.entry;
        return held !== undefined && RANKS[held.level] > RANKS[level] && this.knows(uuid, file, level, seen);
    }

    #isYoung(checkedAt: string): boolean {
        const { maxAgeMs } = this.#options;
        // A clock that was set back must not make a result last.
        return maxAgeMs === undefined || Math.abs(this.#now() - Date.parse(checkedAt)) <= maxAgeMs;
    }

    #changed(): void {
        this.#isDirty = true;
        if (this.#timer === undefined && !this.#isOff) {
            const wait = this.#writtenAt + WRITE_INTERVAL_MS - performance.now();
            this.#timer = setTimeout(
                () => {
                    this.#writing = this.#write().finally(() => {
                        this.#timer = undefined;
                        if (this.#isDirty) {
                            this.#changed();
                        }
                    });
                },
                Math.max(0, wait),
            );
        }
    }

    /** Never rejects: what cannot be remembered is only checked again. */
    async #write(): Promise<void> {
        const { path, note } = this.#options;
        if (!this.#isDirty || this.#isOff || path === undefined) {
            return;
        }
        this.#isDirty = false;
        this.#writtenAt = performance.now();
        try {
            await writeFileDurably(path, serialize(this.#content));
        } catch (error) {
            this.#isOff = true;
            note(`results are not kept for the next run: ${messageOf(error)}`);
        }
    }
}

/** Whether a result is about the bytes that the record names. */
function isOf(
    { size, sha1 }: Pick<CacheEntry, 'size' | 'sha1'>,
    expected: Pick<ExpectedFile, 'size' | 'sha1'>,
): boolean {
    return size === expected.size && sha1 === expected.sha1;
}

/** One entry a line: changed texts are joined, not made anew. */
function serialize({ entries, old }: CacheContent): string {
    const lines = [...old, ...entries].map(([key, { text }]) => `    ${JSON.stringify(key)}: ${text}`);
    return lines.length === 0 ? '{}\n' : `{\n${lines.join(',\n')}\n}\n`;
}
