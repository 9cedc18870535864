import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaseDirectories, Config } from '../base/config-types.js';

/** Users and their public key lines, in the order of their sources. */
export type KeyMap = ReadonlyMap<string, readonly string[]>;

/** Largest key file, bytes: about 1,000 RSA keys. */
export const MAX_KEY_FILE_SIZE = 1_048_576;
/** Most key files in one directory. */
export const MAX_KEY_FILES = 10_000;

const EXTENSION = '.keys';

/** Names of the directories that key files lie in: that of the operator guide, then that which existing installations use (D20). */
export const KEY_LAYOUTS = ['keys', 'authkeys'] as const;
/** One of {@link KEY_LAYOUTS}. */
export type KeyLayout = (typeof KEY_LAYOUTS)[number];

/** Where the key files of a layout lie: the operator's own, or the copies of those in Manta. */
export function keyDirectory(
    directories: BaseDirectories,
    layout: KeyLayout,
    kind: 'local' | 'manta',
): string {
    return join(directories.etc, layout, kind);
}

/** Whether a file of this name is read for keys. */
export function isKeyFileName(name: string): boolean {
    return name.endsWith(EXTENSION) && !name.startsWith('.');
}

/**
 * Directories with key files, in the order of backends 12; mirrors only where a Manta area is
 * configured.
 */
export function keyDirectories(directories: BaseDirectories, config: Config): readonly string[] {
    const kinds = config.manta === undefined ? (['local'] as const) : (['local', 'manta'] as const);
    return KEY_LAYOUTS.flatMap((layout) => kinds.map((kind) => keyDirectory(directories, layout, kind)));
}

/** The public keys in a file: one a line, without blank lines and comments. */
function parseKeyLines(text: string): string[] {
    return text
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '' && !line.startsWith('#'));
}

function isAbsent(error: unknown): boolean {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** A key file as the directory shows it. */
interface KeyFile {
    readonly user: string;
    readonly path: string;
    readonly size: number;
    /** Differs whenever name, content or permissions were changed. */
    readonly stamp: string;
}

async function statKeyFile(directory: string, name: string): Promise<KeyFile | undefined> {
    const path = join(directory, name);
    try {
        const facts = await stat(path, { bigint: true });
        // A pipe or a device must never be opened: reading it would not end.
        return facts.isFile()
            ? {
                  user: name.slice(0, -EXTENSION.length),
                  path,
                  size: Number(facts.size),
                  stamp: `${path}:${facts.ino}:${facts.size}:${facts.mtimeNs}:${facts.ctimeNs}`,
              }
            : undefined;
    } catch (error) {
        if (isAbsent(error)) {
            return undefined; // removed since the directory was read
        }
        throw error;
    }
}

/** Names of the key files in a directory, in order; none if it is not there. @throws the file system's error */
export async function keyFileNamesIn(directory: string): Promise<readonly string[]> {
    try {
        const names = await readdir(directory);
        return names.filter(isKeyFileName).sort();
    } catch (error) {
        if (isAbsent(error)) {
            return [];
        }
        throw error;
    }
}

async function listDirectory(directory: string): Promise<KeyFile[]> {
    const names = await keyFileNamesIn(directory);
    if (names.length > MAX_KEY_FILES) {
        throw new Error(`more than ${MAX_KEY_FILES} key files in ${directory}`);
    }
    const files: KeyFile[] = [];
    for (const name of names) {
        const file = await statKeyFile(directory, name);
        if (file !== undefined) {
            files.push(file);
        }
    }
    return files;
}

/**
 * The key files of some directories, by directory and name; a directory that is not there has none.
 *
 * @throws the file system's error
 */
export async function listKeyFiles(directories: readonly string[]): Promise<readonly KeyFile[]> {
    const lists: KeyFile[][] = [];
    for (const directory of directories) {
        lists.push(await listDirectory(directory));
    }
    return lists.flat();
}

/** Adds lines to a user's list, without those it has already. */
function append(map: Map<string, string[]>, user: string, lines: readonly string[]): void {
    const merged = new Set([...(map.get(user) ?? []), ...lines]);
    if (merged.size > 0) {
        map.set(user, [...merged]);
    }
}

/**
 * Reads all files and merges them with the keys of the config, which come first (backends 12).
 *
 * @throws the file system's error, or one naming a file that is too large
 */
export async function readKeys(authKeys: Config['authKeys'], files: readonly KeyFile[]): Promise<KeyMap> {
    const map = new Map<string, string[]>();
    for (const [user, lines] of Object.entries(authKeys ?? {})) {
        append(map, user, lines.flatMap(parseKeyLines));
    }
    for (const { user, path, size } of files) {
        if (size > MAX_KEY_FILE_SIZE) {
            throw new Error(`key file ${path} is larger than ${MAX_KEY_FILE_SIZE} bytes`);
        }
        append(map, user, parseKeyLines(await readFile(path, 'utf8')));
    }
    return map;
}
