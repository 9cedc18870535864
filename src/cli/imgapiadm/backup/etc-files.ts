import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { censor } from '../../../base/censor.js';
import { walkFiles } from '../../../base/walk-files.js';
import { fileOf, type SmallFile } from './backup-files.js';
import { ETC } from './manta-tree.js';
import { seal, type EtcFile } from './sealed-etc.js';

/** All of `etc`, encrypted (operations 3.2). */
export const SEALED = `${ETC}/etc.sealed`;
/** Where the passphrase is looked for if none is named; it is in no backup. */
export const PASSPHRASE_FILE = 'backup.passphrase';

const DEPTH = 3;
/** Files of `etc` above this are no configuration, bytes. */
const MAX_FILE = 1_048_576;
const MAX_ALL = 16_777_216;
const CONFIG = 'imgapi.config.json';
/** Keys with which clients sign, and the public halves of the server's own: no secrets. */
const PUBLIC = /^(?:(?:authkeys|keys)\/.+\.keys|[^/]+\.pub)$/;

/** Reads everything below `etc` but the passphrase. @throws the file system's error */
export async function readEtc(
    etc: string,
    onProblem: (path: string, problem: string) => void,
): Promise<readonly EtcFile[]> {
    const files: EtcFile[] = [];
    let all = 0;
    for await (const { path, segments } of walkFiles(etc, DEPTH)) {
        const name = segments.join('/');
        const { size, mode, mtimeMs } = await stat(path);
        if (name === PASSPHRASE_FILE || name.endsWith('.tmp')) {
            continue;
        }
        all += size;
        if (size > MAX_FILE || all > MAX_ALL) {
            onProblem(`${ETC}/${name}`, 'it is too large for a file of etc');
            continue;
        }
        const bytes = await readFile(path);
        files.push({ path: name, mode: mode & 0o777, mtimeMs: Math.floor(mtimeMs), bytes });
    }
    return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The configuration as it may be shown; under another name if anything is masked, so that nobody uses it. */
function shownConfig({ bytes, mtimeMs }: EtcFile): SmallFile | undefined {
    try {
        const config: unknown = JSON.parse(bytes.toString());
        const shown = censor(config);
        const isWhole = JSON.stringify(shown) === JSON.stringify(config);
        return isWhole
            ? fileOf(`${ETC}/${CONFIG}`, bytes, mtimeMs)
            : fileOf(`${ETC}/${CONFIG}.masked`, Buffer.from(`${JSON.stringify(shown, null, 4)}\n`), mtimeMs);
    } catch {
        return undefined;
    }
}

/** What a backup without secrets has of `etc`. */
export function publicEtc(files: readonly EtcFile[]): readonly SmallFile[] {
    return files.flatMap((file) => {
        if (file.path === CONFIG) {
            const shown = shownConfig(file);
            return shown === undefined ? [] : [shown];
        }
        return PUBLIC.test(file.path) ? [fileOf(`${ETC}/${file.path}`, file.bytes, file.mtimeMs)] : [];
    });
}

/** Everything, encrypted. @param passphrase whose first line counts */
export async function sealedEtc(
    files: readonly EtcFile[],
    passphrase: string,
    now: number,
): Promise<readonly SmallFile[]> {
    return [fileOf(SEALED, await seal(files, passphrase), now)];
}

/**
 * The passphrase to encrypt `etc` with.
 *
 * @param asked file that an option names; else `etc/backup.passphrase` is taken if there is one
 * @returns `undefined`: there is none
 * @throws Error when the file cannot be read, or is empty
 */
export async function readPassphrase(etc: string, asked: string | undefined): Promise<string | undefined> {
    const path = asked ?? join(etc, PASSPHRASE_FILE);
    let text: string;
    try {
        text = await readFile(path, 'utf8');
    } catch (error) {
        if (asked === undefined && (error as NodeJS.ErrnoException).code === 'ENOENT') {
            return undefined;
        }
        throw error;
    }
    const [first = ''] = text.split(/\r?\n/);
    if (first === '') {
        throw new Error(`there is no passphrase in ${path}`);
    }
    return first;
}
