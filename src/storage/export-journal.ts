import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories } from '../base/config-types.js';
import { isUuid } from '../base/uuid.js';
import { type OwnedIntent, OwnedIntents } from './owned-intents.js';

/** An export between "the manifest is there" and "so is the file". */
export interface ExportIntent {
    /** Of this export alone. */
    readonly id: string;
    /** The image. */
    readonly uuid: string;
    readonly manifestPath: string;
    /** MD5 of the manifest, base64. */
    readonly manifestMd5: string;
    /** By which the store tells this manifest from all others; absent: it may not be there yet. */
    readonly manifestEtag?: string;
    /** The manifest that lay there before, base64; absent: there was none. */
    readonly previous?: string;
    readonly imagePath: string;
    /** Bytes of the image's file. */
    readonly size: number;
    /** Its MD5, base64; absent: not known. */
    readonly md5?: string;
}

/**
 * Remembers exports that are under way, so that a crash does not leave a manifest without its file for
 * ever (jobs-and-imports 7.1).
 */
export interface ExportJournal {
    /** Notes an export before anything of it is stored. */
    note(intent: ExportIntent): Promise<OwnedIntent<ExportIntent>>;
    /** What is under way, here or in another process. */
    active(): Promise<readonly ExportIntent[]>;
    /** What nobody is working on any more. */
    abandoned(): Promise<readonly OwnedIntent<ExportIntent>[]>;
}

function isIntent(value: object): value is ExportIntent {
    const { id, uuid, size, ...texts } = value as Partial<Record<keyof ExportIntent, unknown>>;
    const needed = [texts.manifestPath, texts.manifestMd5, texts.imagePath];
    const optional = [texts.manifestEtag, texts.previous, texts.md5];
    return (
        isUuid(id) &&
        isUuid(uuid) &&
        typeof size === 'number' &&
        needed.every((one) => typeof one === 'string') &&
        optional.every((one) => one === undefined || typeof one === 'string')
    );
}

/** Journal in `run/exports/<id>.<random>.json`, one file an export. */
export function createExportJournal(options: {
    readonly directories: BaseDirectories;
    readonly log: Logger;
    readonly clock: Clock;
}): ExportJournal {
    const { directories, log, clock } = options;
    return new OwnedIntents<ExportIntent>({
        directory: directories.exports,
        what: 'export intent',
        isIntent,
        keyOf: ({ id }) => id,
        log,
        clock,
    });
}
