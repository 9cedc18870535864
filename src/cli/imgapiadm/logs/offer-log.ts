import { link, lstat, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { removeIfPresent, syncDirectory } from '../../../base/durable-files.js';
import { systemErrorCode } from '../../../base/errors.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { Owner } from '../offline/act-as-owner.js';
import { ownedDirectory, ownNewDirectory, requireOutOfReach } from '../offline/own-directory.js';
import { uploadDirectory } from './log-directory.js';
import { requireReadable } from './readable-log.js';
import { HOUR_MS, listRotatedLogs, rotatedFile, type RotatedLog } from './rotated-logs.js';

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;

/** What to offer for upload. */
export interface OfferOrder {
    /** Directory of rotated logs. */
    readonly logs: string;
    /** Name of the log. */
    readonly name: string;
    /** Leave nothing in the directory of rotated logs. */
    readonly move: boolean;
    /** Rotated in the middle of an hour: belongs to that hour, not to the one before. */
    readonly nextHour: boolean;
    /** Whose the directory of uploads is to be; absent: whose process this is. */
    readonly owner: Owner | undefined;
}

/** A log that was offered: paths. */
export interface OfferedLog {
    readonly from: string;
    readonly to: string;
}

/** Makes the directory of uploads, for who uploads: he removes files there. */
async function makeUploadDirectory(path: string, owner: Owner | undefined): Promise<void> {
    await ownedDirectory(path, owner);
    if (owner !== undefined && (await lstat(path)).uid !== owner.uid) {
        await ownNewDirectory(path, owner);
    }
}

async function isSameFile(one: string, other: string): Promise<boolean> {
    const [a, b] = await Promise.all([lstat(one), unlessMissing(lstat(other))]);
    return a.ino === b?.ino && a.dev === b.dev;
}

/** The name by which a log is offered, as a time: with a zero second, or the first that is free. */
function roundedTime({ at }: RotatedLog, nextHour: boolean): number {
    return nextHour ? Math.floor(at / HOUR_MS) * HOUR_MS + HOUR_MS : Math.floor(at / MINUTE_MS) * MINUTE_MS;
}

/** Gives a file a second name. @throws Error when all names of a minute are taken by others */
async function linkOnce(from: string, directory: string, log: RotatedLog, rounded: number): Promise<string> {
    for (let at = rounded; at < rounded + MINUTE_MS; at += SECOND_MS) {
        const to = join(directory, rotatedFile({ ...log, at }));
        try {
            await link(from, to);
            return to;
        } catch (error) {
            if (systemErrorCode(error) !== 'EEXIST') {
                throw error;
            }
            if (await isSameFile(from, to)) {
                return to;
            }
        }
    }
    throw new Error(`${directory} has too many logs "${log.name}" of the same minute`);
}

/**
 * Offers the newest rotated log of a name for upload: gives it a name in the directory of uploads, replacing
 * nothing there (operations 3.2). It costs no room until its other name is removed.
 *
 * @throws Error when there is no such log, or who uploads could not read it, or could have root write somewhere
 * else; the file system's error
 */
export async function offerNewestLog(order: OfferOrder): Promise<OfferedLog> {
    const { name, move, nextHour, owner } = order;
    const newest = (await listRotatedLogs(order.logs)).findLast((log) => log.name === name);
    if (newest === undefined) {
        throw new Error(
            `there is no rotated log "${name}": no file ${name}_NODE_YYYY-MM-DDTHH:MM:SS.log in ${order.logs}`,
        );
    }
    const logs = await realpath(order.logs);
    await requireOutOfReach(logs, owner);
    const from = join(logs, newest.file);
    await requireReadable(from, owner);
    const directory = uploadDirectory(logs);
    await makeUploadDirectory(directory, owner);
    const to = await linkOnce(from, directory, newest, roundedTime(newest, nextHour));
    await syncDirectory(directory);
    if (move) {
        await removeIfPresent(from);
        await syncDirectory(logs);
    }
    return { from, to };
}
