import { stat, unlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type Logger from 'bunyan';
import type { BaseDirectories } from '../base/config-types.js';
import type { ServerMode } from '../base/constants.js';
import { uuidPrefix } from '../base/directories.js';
import { makeDirectory, writeFileDurably } from '../base/durable-files.js';
import { systemErrorCode, writeFailure } from '../base/errors.js';
import { unlessMissing } from '../base/unless-missing.js';
import { isUuid } from '../base/uuid.js';
import { walkFiles } from '../base/walk-files.js';
import { toApiManifest } from '../manifest/serialize.js';
import type { RawImage } from '../manifest/types.js';
import type { Archive } from './archive.js';

/** Tries when the directory vanishes between making it and writing there. */
const MAX_TRIES = 20;

/** What {@link LocalArchive.removeOld} needs. */
export interface RetentionOptions {
    /** Milliseconds since the epoch. */
    readonly now: number;
    readonly retentionDays: number;
    /** Whether there may be a record of the image; "cannot tell" counts as yes. */
    readonly mayExist: (uuid: string) => Promise<boolean>;
    readonly signal: AbortSignal;
}

/** Keeps manifests as `archive/<first 3 of uuid>/<uuid>.json` (backends 10). */
export class LocalArchive implements Archive {
    readonly #root: string;
    readonly #mode: ServerMode;
    readonly #log: Logger;

    constructor(options: {
        readonly directories: BaseDirectories;
        readonly mode: ServerMode;
        readonly log: Logger;
    }) {
        this.#root = options.directories.archive;
        this.#mode = options.mode;
        this.#log = options.log.child({ component: 'archive' }, true);
    }

    async write(raw: RawImage): Promise<void> {
        const manifest = toApiManifest(raw, { mode: this.#mode, version2: true, inclAdminFields: false });
        const path = join(this.#root, uuidPrefix(raw.uuid), `${raw.uuid}.json`);
        try {
            await this.#writeInto(path, JSON.stringify(manifest, null, 2));
        } catch (error) {
            this.#log.error({ err: error, path }, 'manifest could not be archived');
            throw writeFailure(error, `error saving image ${raw.uuid}`);
        }
    }

    async count(): Promise<number> {
        let count = 0;
        for await (const { uuid } of this.#manifests()) {
            count += uuid === '' ? 0 : 1;
        }
        return count;
    }

    /**
     * Removes manifests of images that are gone for `retentionDays` (operations 1.9). The age of a
     * file says when it was last needed: one of an image that exists is made young again before it
     * is too old, so that it outlives its image by at least half of the retention.
     *
     * @returns number of files removed
     * @throws the file system's error for a directory that cannot be read
     */
    async removeOld({ now, retentionDays, mayExist, signal }: RetentionOptions): Promise<number> {
        const retentionMs = retentionDays * 86_400_000;
        let removed = 0;
        for await (const { uuid, path } of this.#manifests()) {
            signal.throwIfAborted();
            const age = now - ((await unlessMissing(stat(path)))?.mtimeMs ?? now);
            if (age <= retentionMs / 2) {
                continue;
            }
            if (await mayExist(uuid)) {
                await unlessMissing(utimes(path, now / 1000, now / 1000));
            } else if (age > retentionMs) {
                await unlessMissing(unlink(path));
                this.#log.info({ uuid, ageDays: Math.floor(age / 86_400_000) }, 'archived manifest removed');
                removed += 1;
            }
        }
        return removed;
    }

    async *#manifests(): AsyncIterable<{ readonly uuid: string; readonly path: string }> {
        for await (const { path, segments } of walkFiles(this.#root, 1)) {
            const name = segments[1] ?? '';
            const uuid = name.slice(0, -'.json'.length);
            if (name.endsWith('.json') && isUuid(uuid)) {
                yield { uuid, path };
            }
        }
    }

    /** A push to another storage may remove the emptied directory at any time (backends 10). */
    async #writeInto(path: string, text: string): Promise<void> {
        for (let tries = 1; ; tries += 1) {
            try {
                await makeDirectory(dirname(path));
                await writeFileDurably(path, text);
                return;
            } catch (error) {
                if (systemErrorCode(error) !== 'ENOENT' || tries === MAX_TRIES) {
                    throw error;
                }
            }
        }
    }
}
