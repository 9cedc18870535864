import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isSettings } from '../../../base/config-rules.js';
import { timeStamp } from '../../../base/time-stamp.js';
import { unlessMissing } from '../../../base/unless-missing.js';

/** Written last: a directory without it is no snapshot. */
export const SNAPSHOT_FILE = 'snapshot.json';
const SNAPSHOT_RE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z(?:-\d+)?$/;
const SECOND_MS = 1000;

/** What a snapshot says about itself. */
export interface SnapshotFacts {
    /** What tells the installation it is of from others. */
    readonly instance: string;
    readonly host: string;
    /** Name and version of the program. */
    readonly app: string;
    /** ISO time at which it was complete. */
    readonly at: string;
    readonly files: number;
    readonly bytes: number;
}

/** A complete snapshot. */
export interface Snapshot {
    readonly name: string;
    readonly directory: string;
    readonly facts: SnapshotFacts;
}

function parseFacts(text: string | undefined): SnapshotFacts | undefined {
    try {
        const value: unknown = JSON.parse(text ?? '');
        const isFacts = isSettings(value) && typeof value['instance'] === 'string';
        return isFacts ? (value as unknown as SnapshotFacts) : undefined;
    } catch {
        return undefined;
    }
}

/** Reads what is in a directory of its own; `undefined`: it is no complete snapshot. */
export async function readSnapshot(directory: string, name: string): Promise<Snapshot | undefined> {
    const facts = parseFacts(await unlessMissing(readFile(join(directory, SNAPSHOT_FILE), 'utf8')));
    return facts && { name, directory, facts };
}

/** When a snapshot was named, milliseconds since the epoch; `undefined`: none is named so. */
export function stampOf(name: string): number | undefined {
    const at = Date.parse(name.replace(SNAPSHOT_RE, '$1-$2-$3T$4:$5:$6Z'));
    return SNAPSHOT_RE.test(name) && !Number.isNaN(at) ? at : undefined;
}

/**
 * The name of a new snapshot, behind those of all others: the newest is told by its name, also after a clock
 * was wrong.
 *
 * @param names of all there are, complete or not
 * @throws Error when there is none
 */
export function nextName(names: readonly string[], now: number): string {
    const others = names.flatMap((name) => stampOf(name) ?? []);
    const name = timeStamp(others.reduce((latest, at) => Math.max(latest, at + SECOND_MS), now));
    if (!SNAPSHOT_RE.test(name)) {
        throw new Error('no name comes after that of a snapshot of the year 9999: remove it');
    }
    return name;
}

/** The complete snapshots in a directory, oldest first. @throws the file system's error */
export async function listSnapshots(destination: string): Promise<readonly Snapshot[]> {
    const names = (await unlessMissing(readdir(destination))) ?? [];
    const found: Snapshot[] = [];
    for (const name of names.filter((each) => SNAPSHOT_RE.test(each)).sort()) {
        const snapshot = await readSnapshot(join(destination, name), name);
        if (snapshot !== undefined) {
            found.push(snapshot);
        }
    }
    return found;
}
