import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaseDirectories } from '../../../base/config-types.js';
import { writeFileDurably, type NewFile } from '../../../base/durable-files.js';
import { unlessMissing } from '../../../base/unless-missing.js';

/** How the last backup ended. */
export interface BackupStatus {
    /** Its exit status; not a number: the file says nothing. */
    readonly status: number;
    /** When it ended, milliseconds since the epoch. */
    readonly at: number;
}

function statusPath({ run }: BaseDirectories): string {
    return join(run, 'backup.status');
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

/** Notes how a backup ended. @throws the file system's error */
export async function writeBackupStatus(directories: BaseDirectories, status: number): Promise<void> {
    await writeFileDurably(statusPath(directories), `${status}\n`);
}

/** Reads how the last backup ended; `undefined`: there was none. */
export async function readBackupStatus(directories: BaseDirectories): Promise<BackupStatus | undefined> {
    const path = statusPath(directories);
    const text = await unlessMissing(readFile(path, 'utf8'));
    const found = text === undefined ? undefined : await unlessMissing(stat(path));
    return text === undefined || found === undefined
        ? undefined
        : { status: /^\d+\s*$/.test(text) ? Number(text) : NaN, at: found.mtimeMs };
}
