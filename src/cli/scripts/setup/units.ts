import { existsSync, readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../../base/config-types.js';
import { DEFAULT_BASE_DIR } from '../../../base/constants.js';
import { writeFileDurably } from '../../../base/durable-files.js';
import type { Places } from '../../places.js';
import { runProgram } from '../../run-program.js';

/** Where packages have units, which are then not ours to write. */
const PACKAGED = ['/lib/systemd/system', '/usr/lib/systemd/system'];
/** What the units of the project say, where that differs elsewhere. */
const UNIT_PREFIX = '/opt/smartdc/imgapi';
const UNIT_USER = 'imgapi';
const UNIT_MODE = 0o644;
const LIMIT_MS = 60_000;
export const BACKUP_TIMER = 'imgapi-backup.timer';
/** Options of the timers, as their units read them. */
export const UNIT_OPTIONS = '/etc/default/imgapi';
const DESTINATION_RE = /^\s*IMGAPI_BACKUP_OPTIONS=.*--dest\b/m;

/** Whose servers, and where, units are to be about. */
export interface UnitSettings {
    readonly places: Places;
    readonly user: string;
    readonly group: string;
    /** Where units go. */
    readonly directory: string;
}

function adapted(text: string, { places, user, group }: UnitSettings): string {
    return text
        .replaceAll(UNIT_PREFIX, places.prefix)
        .replaceAll(DEFAULT_BASE_DIR, places.data)
        .replaceAll(`\nUser=${UNIT_USER}\n`, `\nUser=${user}\n`)
        .replaceAll(`\nGroup=${UNIT_USER}\n`, `\nGroup=${group}\n`);
}

/** Units as they are to be, by the paths of their files. */
export async function wantedUnits(settings: UnitSettings): Promise<ReadonlyMap<string, string>> {
    const source = join(settings.places.prefix, 'etc', 'systemd');
    const wanted = new Map<string, string>();
    for (const name of (await readdir(source)).sort()) {
        wanted.set(
            join(settings.directory, name),
            adapted(await readFile(join(source, name), 'utf8'), settings),
        );
    }
    return wanted;
}

/** Whether a package has brought the units. */
export function arePackaged(): boolean {
    return PACKAGED.some((directory) => existsSync(join(directory, 'imgapi@.service')));
}

/** Whether all units are there as they are to be. */
export async function areInstalled(wanted: ReadonlyMap<string, string>): Promise<boolean> {
    for (const [path, text] of wanted) {
        if ((await readFile(path, 'utf8').catch(() => undefined)) !== text) {
            return false;
        }
    }
    return true;
}

/** Writes units. @throws the file system's error */
export async function installUnits(wanted: ReadonlyMap<string, string>): Promise<void> {
    for (const [path, text] of wanted) {
        await writeFileDurably(path, text, { mode: UNIT_MODE });
    }
}

async function systemctl(args: readonly string[], environment: NodeJS.ProcessEnv): Promise<number | null> {
    const { status } = await runProgram('systemctl', args, { timeoutMs: LIMIT_MS, environment });
    return status;
}

/** Whether there is somewhere for backups to go: without, each of them would fail. */
function hasDestination({ manta }: Pick<Config, 'manta'>): boolean {
    return (
        manta !== undefined ||
        (existsSync(UNIT_OPTIONS) && DESTINATION_RE.test(readFileSync(UNIT_OPTIONS, 'utf8')))
    );
}

/** The units a server with this configuration needs, to be started with the machine. */
export function unitsToEnable(config: Pick<Config, 'port' | 'manta'>): readonly string[] {
    return [
        'imgapi.target',
        `imgapi@${config.port}.service`,
        ...(hasDestination(config) ? [BACKUP_TIMER] : []),
        'imgapi-check.timer',
    ];
}

/** Whether units are started with the machine. */
export async function areEnabled(units: readonly string[], environment: NodeJS.ProcessEnv): Promise<boolean> {
    return (await systemctl(['is-enabled', '--quiet', ...units], environment)) === 0;
}

/** Has units started with the machine. @throws Error when systemd refuses */
export async function enableUnits(units: readonly string[], environment: NodeJS.ProcessEnv): Promise<void> {
    for (const args of [['daemon-reload'], ['enable', ...units]]) {
        if ((await systemctl(args, environment)) !== 0) {
            throw new Error(`systemctl ${args.join(' ')} failed`);
        }
    }
}
