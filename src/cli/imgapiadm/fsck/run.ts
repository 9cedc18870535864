import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type Logger from 'bunyan';
import { createJobs } from '../../../app/jobs.js';
import { systemClock } from '../../../base/clock.js';
import type { BaseDirectories, Config } from '../../../base/config-types.js';
import { uuidPrefix } from '../../../base/directories.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import { isTemporary } from '../../../database/local/file-names.js';
import { isBeingMade } from '../../../jobs/being-made.js';
import { purgePlaceholder } from '../../../maintenance/purge.js';
import { ImageRepair } from '../files/image-repair.js';
import { filesOf } from '../files/open-files.js';
import { openServerData, readLayout, type ServerData } from '../offline/server-data.js';
import type { Terminal } from '../terminal.js';
import { isArchived } from '../records/archived.js';
import { openRecords } from '../records/open-records.js';
import type { StoredRecords } from '../records/stored-records.js';
import type { Finding, Place } from './check.js';
import { strayFinding } from './entry-checks.js';
import type { Repaired, RepairOptions } from './repairs.js';
import { Survey } from './survey.js';

/** What `fsck` is asked to do. */
export interface FsckOrder {
    readonly configPath: string;
    /** None: all images. */
    readonly uuids: ReadonlySet<string>;
    /** `undefined`: all. */
    readonly channel: string | undefined;
    /** Whether files are looked for, too. */
    readonly simple: boolean;
    /** `undefined`: nothing is changed. */
    readonly fixes: RepairOptions['fixes'] | undefined;
    readonly dryRun: boolean;
}

/** Records that are looked at, wherever they are. */
export interface Examined {
    readonly survey: Survey;
    /** How many records there should be; `undefined`: nobody knows. */
    readonly size: number | undefined;
    /** What is known before any of them is read. */
    readonly found: readonly Finding[];
    close(): Promise<void>;
}

/** The data of a server, opened to be looked at and perhaps repaired. */
export interface Opened extends Examined {
    readonly data: ServerData;
    readonly records: StoredRecords;
    readonly place: Place;
    /** Unfinished records, which opening the data for changes has cleared away already. */
    readonly found: readonly Finding[];
}

/** Unfinished records, which whoever opens a local database for changes removes. */
async function unfinished({
    config,
    directories,
}: ReturnType<typeof readLayout>): Promise<readonly Finding[]> {
    const isLocal = config.databaseType === 'local';
    const names = isLocal ? ((await unlessMissing(readdir(directories.manifests))) ?? []) : [];
    return names
        .filter(isTemporary)
        .sort()
        .map((file) => strayFinding({ kind: 'unfinished', file, reason: 'a record that was being written' }));
}

function placeOf(config: Config, data: ServerData): Place {
    const { directories, images } = data;
    return {
        rules: { mode: config.mode, channels: config.channels !== undefined },
        channels: config.channels,
        now: systemClock.now(),
        storages: [...images.storages.keys()],
        ownerless: config.mode === 'public',
        fileTime: async (uuid, name) => {
            const places = [
                join(directories.images, uuidPrefix(uuid), uuid, name),
                join(directories.images, uuid, name),
            ];
            for (const path of places) {
                const facts = await unlessMissing(stat(path));
                if (facts !== undefined) {
                    return facts.mtime.toISOString();
                }
            }
            return undefined;
        },
        tool: config.mode === 'dc' ? 'sdc-imgadm' : 'imgapi-cli',
    };
}

/**
 * Opens what is to be looked at; for repairs, nobody else may write meanwhile.
 *
 * @throws LockedError; Error for a configuration or data that cannot be used
 */
export async function openForFsck(order: FsckOrder, log: Logger, signal: AbortSignal): Promise<Opened> {
    const { configPath, uuids, channel, simple, fixes, dryRun } = order;
    const changes = fixes !== undefined && !dryRun;
    const cleared = changes && fixes !== 'channel' ? await unfinished(readLayout(configPath, log)) : [];
    const data = await openServerData({ configPath, access: changes ? 'records' : 'reading', log });
    const { config, directories, images } = data;
    const records = await openRecords({ config, directories, database: images.database, log });
    const place = placeOf(config, data);
    const survey = new Survey({
        records,
        place,
        uuids,
        ...(channel === undefined ? {} : { channel }),
        assignsChannel: fixes === 'channel' || fixes === 'both',
        ...(config.mode === 'dc' && images.accounts !== undefined ? { accounts: images.accounts } : {}),
        ...(simple ? { storages: images.storages } : {}),
        isArchived: (uuid) => isArchived(uuid, data),
        signal,
    });
    return {
        data,
        records,
        place,
        survey,
        size: data.database.held?.size,
        found: uuids.size === 0 ? cleared : [],
        close: async () => {
            await records.close();
            await data.close();
        },
    };
}

/** Deletes an expired placeholder as the background task of a server does. */
export async function purgeWith(
    { images, directories }: { readonly images: ServerData['images']; readonly directories: BaseDirectories },
    log: Logger,
    signal: AbortSignal,
): Promise<(uuid: string) => Promise<boolean>> {
    const { config, database, storages, journal, imageQueue } = images;
    // Nothing of it runs here: it only tells whether there is a job.
    const { services } = await createJobs({ config, directories, images, clock: systemClock, log });
    const options = {
        database,
        storages,
        journal,
        imageQueue,
        isBeingMade: (uuid: string, during: AbortSignal) => isBeingMade(services, uuid, during),
        clock: systemClock,
        log,
    };
    return (uuid) => purgePlaceholder(uuid, options, signal);
}

/** Makes records that cannot be read again of their archived manifests, as `repair --from-archive` does. */
export function restoreWith(
    data: ServerData,
    terminal: Terminal,
    signal: AbortSignal,
): (uuid: string) => Promise<Repaired> {
    let opened: ReturnType<typeof filesOf> | undefined;
    return async (uuid) => {
        const files = await (opened ??= filesOf(data, terminal));
        const options = { files, depth: 'needed', fromArchive: true, changesRecords: true, signal } as const;
        const { result, reason } = await new ImageRepair(uuid, options).restoreRecord();
        return result === 'repaired' ? { result: 'fixed' } : { result: 'failed', reason: reason ?? result };
    };
}
