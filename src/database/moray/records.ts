import { isDeepStrictEqual } from 'node:util';
import type Logger from 'bunyan';
import { ApiError } from '../../base/errors.js';
import { RecentlyUsed } from '../../base/recently-used.js';
import { readOldFormats } from '../../manifest/old-formats.js';
import type { ManifestRules, RawImage } from '../../manifest/types.js';
import { validateRaw } from '../../manifest/validate.js';
import { fromColumns } from './column-values.js';
import type { Row } from './rows.js';

/** Bound of the records kept, bytes of their JSON text; as objects they take a few times as much. */
const MAX_BYTES = 32 * 1024 * 1024;
/** Added to the size of each record, bytes. */
const ENTRY_OVERHEAD = 512;

interface Entry {
    readonly etag: string;
    /** `undefined` for what was written here and not read back yet. */
    readonly mtime: number | undefined;
    /** `undefined`: the row holds no usable record. */
    readonly raw: RawImage | undefined;
    readonly bytes: number;
}

/**
 * Makes records of rows, and keeps them: as long as a row stays the same its record is the same
 * object. Etag and time of change together tell a row's versions apart; the etag alone is too short
 * for that. What is kept never stands in for the database, it only saves work.
 */
export class Records {
    readonly #rules: () => ManifestRules;
    readonly #log: Logger;
    /** By uuid. */
    readonly #entries: RecentlyUsed<Entry>;

    /** @param rules the rules in force, asked for at every reading */
    constructor(rules: () => ManifestRules, log: Logger, maxBytes = MAX_BYTES) {
        this.#rules = rules;
        this.#log = log;
        this.#entries = new RecentlyUsed(maxBytes, ({ bytes }) => bytes);
    }

    /** The record of a row; `undefined` when it is unusable, which is logged once. */
    read(row: Row): RawImage | undefined {
        const kept = this.#entries.get(row.key);
        if (kept?.etag === row.etag && kept.mtime !== undefined && kept.mtime === row.mtime) {
            this.#entries.set(row.key, kept);
            return kept.raw;
        }
        const read = this.#convert(row);
        const isKept = kept?.etag === row.etag && isDeepStrictEqual(kept.raw, read);
        const raw = isKept ? kept.raw : read;
        const bytes = JSON.stringify(row.value).length + ENTRY_OVERHEAD;
        this.#entries.set(row.key, { etag: row.etag, mtime: row.mtime, raw, bytes });
        return raw;
    }

    /** Takes in a record that was written just now. */
    written(raw: RawImage, etag: string): void {
        const bytes = JSON.stringify(raw).length + ENTRY_OVERHEAD;
        this.#entries.set(raw.uuid, { etag, mtime: undefined, raw, bytes });
    }

    /** A record as it will be read again. @throws ApiError when it could not be read again */
    prepare(raw: RawImage): RawImage {
        const copy = JSON.parse(JSON.stringify(raw)) as Record<string, unknown>;
        return validateRaw(copy, this.#rules(), 'lenient');
    }

    /** Drops all records, so that each is judged again by the rules now in force. */
    clear(): void {
        this.#entries.clear();
    }

    #convert({ key, value }: Row): RawImage | undefined {
        try {
            const raw = validateRaw(readOldFormats(fromColumns(value)), this.#rules(), 'lenient');
            if (raw.uuid === key) {
                return raw;
            }
            this.#log.warn({ image_uuid: key }, 'unusable record left out: its uuid is not its key');
        } catch (error) {
            if (!(error instanceof ApiError)) {
                throw error;
            }
            this.#log.warn({ image_uuid: key, err: error }, 'unusable record left out');
        }
        return undefined;
    }
}
