import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isSettings } from '../../../base/config-rules.js';
import { unlessMissing } from '../../../base/unless-missing.js';

/** Written last: a directory without it is no snapshot. */
export const SNAPSHOT_FILE = 'snapshot.json';
const SNAPSHOT_RE = /^\d{8}T\d{6}Z(?:-\d+)?$/;

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
