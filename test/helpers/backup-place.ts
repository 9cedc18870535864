import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { backupCommand } from '#lib/cli/imgapiadm/backup.js';
import { EXIT } from '#lib/cli/imgapiadm/command.js';
import { restoreCommand } from '#lib/cli/imgapiadm/restore.js';
import { AdminTool, runTool, type ToolExit } from './admin-tool.js';
import { treeOf, type Tree } from './data-tree.js';
import { imageDirectory, md5Base64, sha1Hex, writeFixtures } from './images.js';
import { imagesToMigrate, writeSecondFiles, type MigratedImage } from './migration-images.js';
import { temporaryDirectory } from './server-process.js';
import { runHere } from './subcommand-run.js';

/** A standalone server's data, with images, that can be backed up. */
export interface BackupPlace {
    /** Removed when the test ends. */
    readonly directory: string;
    /** The base directory. */
    readonly base: string;
    /** For snapshots. */
    readonly dest: string;
    readonly images: readonly MigratedImage[];
    readonly environment: Readonly<Record<string, string>>;
    /** Runs `imgapi-standalone-<name>` to its end. */
    readonly run: (name: string, ...args: string[]) => Promise<ToolExit>;
    /** Runs the subcommand in this process, with the exit statuses of the script: quicker. */
    readonly here: (name: 'backup' | 'restore', ...args: string[]) => Promise<Omit<ToolExit, 'signal'>>;
    /** Starts it. */
    readonly start: (name: string, ...args: string[]) => AdminTool;
    /** What a backup must bring back: files with their bytes. */
    readonly data: () => Tree;
    /** Removes the base directory, but for what names say. */
    readonly wipe: (...kept: string[]) => void;
    readonly writeConfig: (config: Readonly<Record<string, unknown>>) => void;
}

/** Areas of a backup. */
const AREAS = ['images', 'manifests', 'archive', 'sharing'];

/** Bytes of files by path; a restore makes files with a mode of its own. A server may be at work on the rest. */
function dataOf(base: string): Tree {
    const files = AREAS.filter((area) => existsSync(join(base, area))).flatMap((area) =>
        [...treeOf(join(base, area))]
            .filter(([path]) => !path.endsWith('/'))
            .map(([path, content]) => [`${area}/${path}`, content.replace(/^\d+ /, '')] as const),
    );
    return new Map(files);
}

/** Puts another file, or icon, into an image of a base directory, in the order in which a server does. */
export function replaceImageFile(
    base: string,
    uuid: string,
    bytes: Buffer | string,
    name: 'file0' | 'icon' = 'file0',
): void {
    const raw = join(base, 'manifests', `${uuid}.raw`);
    const write = (path: string, content: Buffer | string): void => {
        writeFileSync(`${path}.x`, content);
        renameSync(`${path}.x`, path);
    };
    const record = JSON.parse(readFileSync(raw, 'utf8')) as {
        readonly files?: readonly object[];
        readonly icon?: object;
    };
    const { icon, files: [first, ...others] = [], ...rest } = record;
    const contentMD5 = md5Base64(bytes);
    const facts = { size: bytes.length, sha1: sha1Hex(Buffer.from(bytes)), contentMD5 };
    const isIcon = name === 'icon';
    write(raw, JSON.stringify({ ...rest, ...(isIcon ? { files: record.files } : { icon }) }));
    write(join(imageDirectory(base, uuid), name), bytes);
    const changed = isIcon
        ? { files: record.files, icon: { ...icon, ...facts } }
        : { icon, files: [{ ...first, ...facts }, ...others] };
    write(raw, JSON.stringify({ ...rest, ...changed }));
}

/** Makes a place with as many images; a restore has been run there. */
export function backupPlace(
    t: Test,
    count: number,
    config: Readonly<Record<string, unknown>> = {},
): BackupPlace {
    const directory = temporaryDirectory();
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const [base, dest] = [join(directory, 'base'), join(directory, 'snapshots')];
    for (const name of ['etc/authkeys/local', 'run', 'archive/abc', 'sharing', ...AREAS]) {
        mkdirSync(join(base, name), { recursive: true });
    }
    mkdirSync(dest);
    const images = imagesToMigrate(count);
    writeFixtures(
        base,
        images.map(({ fixture }) => fixture),
    );
    writeSecondFiles(base, images);
    const account = '86055c40-2547-11e2-8a6b-4bb37edc84ba';
    writeFileSync(
        join(base, 'archive/abc', 'abc58161-2547-11e2-a75e-9fdca1940570.json'),
        '{"archived":true}',
    );
    writeFileSync(join(base, 'sharing', `${account}.json`), JSON.stringify({ trusted_accounts: [] }));
    writeFileSync(join(base, 'etc/authkeys/local/alice.keys'), 'ssh-ed25519 AAAA alice\n');
    writeFileSync(join(base, 'etc/imgapi-x.id_ecdsa'), 'a secret\n', { mode: 0o600 });
    writeFileSync(join(base, 'run/restored.marker'), 'restored at 2020-01-01T00:00:00.000Z\n');
    const writeConfig = (changes: Readonly<Record<string, unknown>>): void => {
        const path = join(base, 'etc/imgapi.config.json');
        writeFileSync(
            path,
            JSON.stringify({ mode: 'private', authType: 'none', dataDir: base, ...config, ...changes }),
        );
    };
    writeConfig({});
    const environment = { IMGAPI_DATA: base };
    return {
        directory,
        base,
        dest,
        images,
        environment,
        run: (name, ...args) => runTool(args, environment, { program: `imgapi-standalone-${name}` }),
        here: async (name, ...args) => {
            const subcommand = name === 'backup' ? backupCommand : restoreCommand;
            const { code, stdout, stderr } = await runHere(subcommand, args, environment);
            return { code: code > EXIT.findings ? EXIT.findings : code, stdout, stderr: stderr.join('\n') };
        },
        start: (name, ...args) => new AdminTool(args, environment, { program: `imgapi-standalone-${name}` }),
        data: () => dataOf(base),
        wipe: (...kept) => {
            for (const name of [...AREAS, 'run', 'etc', 'restore.tmp'].filter(
                (each) => !kept.includes(each),
            )) {
                rmSync(join(base, name), { recursive: true, force: true });
            }
        },
        writeConfig,
    };
}
