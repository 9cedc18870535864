import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import type { BaseDirectories } from '#lib/base/config-types.js';
import { baseDirectories } from '#lib/base/directories.js';
import { LocalDatabase, type LocalDatabaseOptions } from '#lib/database/local/local-database.js';
import type { RawImage } from '#lib/manifest/types.js';
import { configSource } from './records.js';
import { recordingLog, type LogRecord } from './recording-log.js';

export interface Opened {
    readonly database: LocalDatabase;
    readonly records: LogRecord[];
}

export function newBase(t: Test): BaseDirectories {
    const directories = baseDirectories(t.testdir());
    for (const path of [directories.manifests, directories.run, directories.images]) {
        mkdirSync(path, { recursive: true });
    }
    return directories;
}

/** A database that is not set up yet; closed when the test ends. */
export function open(
    t: Test,
    directories: BaseDirectories,
    more: Partial<LocalDatabaseOptions> = {},
): Opened {
    const { log, records } = recordingLog();
    const database = new LocalDatabase({ directories, config: configSource(), log, ...more });
    t.teardown(() => database.close());
    return { database, records };
}

export async function openWriter(
    t: Test,
    directories: BaseDirectories,
    more: Partial<LocalDatabaseOptions> = {},
): Promise<Opened> {
    const opened = open(t, directories, more);
    await opened.database.becomeWriter();
    await opened.database.setup();
    return opened;
}

export async function openReader(
    t: Test,
    directories: BaseDirectories,
    more: Partial<LocalDatabaseOptions> = {},
): Promise<Opened> {
    const opened = open(t, directories, more);
    await opened.database.setup();
    return opened;
}

export function fileOf(directories: BaseDirectories, uuid: string): string {
    return join(directories.manifests, `${uuid}.raw`);
}

export function textOf(raw: unknown): string {
    return JSON.stringify(raw, null, 2);
}

/** Puts a record in place as another process would. */
export function put(directories: BaseDirectories, raw: RawImage): void {
    const path = fileOf(directories, raw.uuid);
    writeFileSync(`${path}.other.tmp`, textOf(raw));
    renameSync(`${path}.other.tmp`, path);
}

/** Waits until something holds, failing after far longer than the 2 s that are allowed. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<number> {
    const started = Date.now();
    while (!(await condition())) {
        if (Date.now() - started > 10_000) {
            throw new Error(`still not so: ${what}`);
        }
        await delay(10);
    }
    return Date.now() - started;
}

export async function nameOf(database: LocalDatabase, uuid: string): Promise<string> {
    return (await database.get(uuid)).raw.name;
}

export async function allNames(database: LocalDatabase): Promise<string[]> {
    return (await database.search({ anyOf: [{}], order: 'asc' })).map(({ raw }) => raw.name).sort();
}
