import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaseDirectories } from '../../../base/config-types.js';
import { writeFileDurably, type NewFile } from '../../../base/durable-files.js';
import { unlessMissing } from '../../../base/unless-missing.js';

/** What notes how it ended, for whoever watches. */
export type WatchedWork = 'backup' | 'logupload';

/** How it ended the last time. */
export interface WorkStatus {
    /** Its exit status; not a number: the file says nothing. */
    readonly status: number;
    /** When it ended, milliseconds since the epoch. */
    readonly at: number;
}

/** Where it is noted how a work ended. */
export function statusPath({ run }: BaseDirectories, work: WatchedWork): string {
    return join(run, `${work}.status`);
}

/** Where a restore leaves its mark. */
export function markerPath({ run }: BaseDirectories): string {
    return join(run, 'restored.marker');
}

/** Whether a restore has been run here; before that there must be no backup, which might delete the last one. */
export async function isRestored(directories: BaseDirectories): Promise<boolean> {
    return (await unlessMissing(stat(markerPath(directories)))) !== undefined;
}

/** Adds a line to the marker. @throws the file system's error */
export async function markRestored(
    directories: BaseDirectories,
    now: number,
    owner: NewFile['owner'],
): Promise<void> {
    const path = markerPath(directories);
    const before = (await unlessMissing(readFile(path, 'utf8'))) ?? '';
    const line = `restored at ${new Date(now).toISOString()}\n`;
    await writeFileDurably(path, before + line, { owner });
}

/** Notes how a work ended. @throws the file system's error */
export async function writeStatus(
    directories: BaseDirectories,
    work: WatchedWork,
    status: number,
): Promise<void> {
    await writeFileDurably(statusPath(directories, work), `${status}\n`);
}

/** Reads how a work ended the last time; `undefined`: there was no time yet. */
export async function readStatus(
    directories: BaseDirectories,
    work: WatchedWork,
): Promise<WorkStatus | undefined> {
    const path = statusPath(directories, work);
    const text = await unlessMissing(readFile(path, 'utf8'));
    const found = text === undefined ? undefined : await unlessMissing(stat(path));
    return text === undefined || found === undefined
        ? undefined
        : { status: /^\d+\s*$/.test(text) ? Number(text) : NaN, at: found.mtimeMs };
}
