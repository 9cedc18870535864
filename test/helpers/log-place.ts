import {
    chmodSync,
    chownSync,
    existsSync,
    mkdirSync,
    readdirSync,
    readFileSync,
    statSync,
    writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { uploadLogsCommand } from '#lib/cli/imgapiadm/upload-logs.js';
import { backupPlace, type BackupPlace } from './backup-place.js';
import { startMantaArea, type MantaArea } from './manta-area.js';
import { startProgram, type RunningProgram } from './running-program.js';
import { PROJECT_ROOT } from './server-process.js';
import { runHere, type SubcommandExit } from './subcommand-run.js';

const HOUR_MS = 3_600_000;

/** Name of the machine whose logs are rotated. */
export const NODE = 'imgapi-im_ages-5f2a2d3e';

/** A standalone server's data with a Manta, and a directory of rotated logs. */
export interface LogPlace extends Pick<BackupPlace, 'directory' | 'base' | 'environment' | 'writeConfig'> {
    readonly area: MantaArea;
    /** The directory of rotated logs. */
    readonly logs: string;
    /** Names of files that are to be uploaded. */
    readonly waiting: () => readonly string[];
    /** What the last run noted. */
    readonly status: () => string;
    readonly start: (program: string, ...args: string[]) => RunningProgram;
    /** Runs `tritonpostlogrotate.sh` to its end. */
    readonly post: (...args: string[]) => RunningProgram['exited'];
    /** Uploads in this process: quicker. */
    readonly upload: (...args: string[]) => Promise<SubcommandExit>;
    /** Has a file uploaded by the next run. */
    readonly offer: (file: string, text: string) => void;
}

function startTool(
    name: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>>,
): RunningProgram {
    const path = join(PROJECT_ROOT, 'tools/standalone', name);
    return startProgram(path, args, { PATH: process.env['PATH'], ...environment });
}

/** Makes one; both end with the test. */
export async function logPlace(t: Test, callTimeoutMs?: number): Promise<LogPlace> {
    const area = await startMantaArea(t, callTimeoutMs === undefined ? {} : { callTimeoutMs });
    const place = backupPlace(t, 0, { manta: area.config });
    const logs = join(place.directory, 'log');
    const upload = join(logs, 'upload');
    mkdirSync(logs);
    const environment = { ...place.environment, IMGAPI_LOG_DIR: logs };
    return {
        ...place,
        environment,
        area,
        logs,
        waiting: () => (existsSync(upload) ? readdirSync(upload).sort() : []),
        status: () => readFileSync(join(place.base, 'run/logupload.status'), 'utf8'),
        start: (program, ...args) => startTool(program, args, environment),
        post: (...args) => startTool('tritonpostlogrotate.sh', args, environment).exited,
        upload: (...args) => runHere(uploadLogsCommand, args, environment),
        offer: (file, text) => {
            mkdirSync(upload, { recursive: true });
            writeFileSync(join(upload, file), text);
        },
    };
}

/** Name of a rotated log. */
export function fileOf(stamp: string, name = 'imgapi'): string {
    return `${name}_${NODE}_${stamp}.log`;
}

/** Name of a file rotated so many hours ago. */
export function hoursAgo(hours: number): string {
    return fileOf(new Date(Date.now() - hours * HOUR_MS).toISOString().slice(0, 19));
}

/** Objects below the place for logs. */
export function stored({ area }: LogPlace): readonly string[] {
    const root = `${area.rootDir}/logs/`;
    return area.double
        .objects(area.rootDir)
        .flatMap((path) => (path.startsWith(root) ? [path.slice(root.length)] : []));
}

/** Its uid, and the gid of its group. */
export const NOBODY = 65_534;

/** Has the data belong to a user who has nothing else. */
export function giveToNobody({ directory, base, area }: LogPlace): void {
    for (const path of [directory, dirname(area.key.file)]) chmodSync(path, 0o711);
    for (const path of ['', 'etc', 'etc/imgapi.config.json', 'run'])
        chownSync(join(base, path), NOBODY, NOBODY);
    chownSync(area.key.file, NOBODY, NOBODY);
}

/** Whether everybody can get at a directory. */
function isOpen(path: string): boolean {
    return (statSync(path).mode & 0o005) === 0o005 && (path === '/' || isOpen(dirname(path)));
}

/** Why a test with {@link giveToNobody} cannot run here, or false. */
export function onlyRoot(): string | false {
    return process.getuid?.() === 0 && isOpen(PROJECT_ROOT)
        ? false
        : 'only root can be two users, if both can read';
}
