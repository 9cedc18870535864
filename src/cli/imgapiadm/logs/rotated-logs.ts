import { readdir } from 'node:fs/promises';
import { unlessMissing } from '../../../base/unless-missing.js';

export const HOUR_MS = 3_600_000;

/**
 * A log file that was rotated, as its name tells: `NAME_<node>_<stamp>.log` (operations 3.2). A name of a log
 * has no `_`, so that one of a node may.
 *
 * @example imgapi_images0_2026-03-01T17:00:03.log
 */
export interface RotatedLog {
    /** Name of the file. */
    readonly file: string;
    /** Of the log, e.g. `imgapi`. */
    readonly name: string;
    /** Of the machine. */
    readonly node: string;
    /** The stamp, read as a time in UTC: milliseconds since the epoch. */
    readonly at: number;
}

const NAME = '[A-Za-z0-9][A-Za-z0-9.-]*';
const NAME_RE = new RegExp(`^${NAME}$`);
const FILE_RE = new RegExp(
    `^(${NAME})_([A-Za-z0-9][A-Za-z0-9._-]*)_(\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d)\\.log$`,
);

function stampOf(at: number): string {
    return new Date(at).toISOString().slice(0, 'YYYY-MM-DDTHH:MM:SS'.length);
}

/** Whether a log can have this name. */
export function isLogName(text: string): boolean {
    return NAME_RE.test(text);
}

/** The name of the file of a rotated log. */
export function rotatedFile({ name, node, at }: Omit<RotatedLog, 'file'>): string {
    return `${name}_${node}_${stampOf(at)}.log`;
}

/** What the name of a file tells; `undefined`: it is no rotated log. */
export function rotatedLog(file: string): RotatedLog | undefined {
    const [, name = '', node = '', stamp = ''] = FILE_RE.exec(file) ?? [];
    const at = Date.parse(`${stamp}Z`);
    // There is no 30th of February.
    return Number.isNaN(at) || stampOf(at) !== stamp ? undefined : { file, name, node, at };
}

/** Where a log is in Manta, below the place for logs: by the hour before its rotation. */
export function distantDirectory({ name, at }: RotatedLog): string {
    const hour = stampOf(at - HOUR_MS).slice(0, 'YYYY-MM-DDTHH'.length);
    return `${name}/${hour.replace(/[-T]/g, '/')}`;
}

/** Rotated logs in a directory, oldest first. @throws the file system's error, but for a directory that is not there */
export async function listRotatedLogs(directory: string): Promise<readonly RotatedLog[]> {
    const entries = (await unlessMissing(readdir(directory, { withFileTypes: true }))) ?? [];
    return entries
        .filter((entry) => entry.isFile())
        .flatMap(({ name }) => rotatedLog(name) ?? [])
        .sort((a, b) => a.at - b.at || (a.file < b.file ? -1 : 1));
}
