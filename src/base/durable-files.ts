import { randomBytes } from 'node:crypto';
import { link, mkdir, open, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Mode of every file this server makes (README table C). */
export const FILE_MODE = 0o640;
/** Mode of every directory this server makes (README table C). */
export const DIRECTORY_MODE = 0o750;

/** What a new file is like where that differs from all others. */
export interface NewFile {
    /** Default: {@link FILE_MODE}. */
    readonly mode?: number;
    /** Absent: the user of this process. */
    readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

/** Syncs waiting for the next turn of a directory; see {@link syncDirectory}. */
interface DirectorySync {
    running: Promise<void>;
    next: Promise<void> | undefined;
}

const directorySyncs = new Map<string, DirectorySync>();

async function syncNow(path: string): Promise<void> {
    const handle = await open(path, 'r');
    try {
        await handle.sync();
    } finally {
        await handle.close();
    }
}

/**
 * Puts the entries of a directory on stable storage. Callers that come while a sync is running
 * share the one that starts after it, so each caller's earlier changes are covered (backends W1).
 */
export async function syncDirectory(path: string): Promise<void> {
    const current = directorySyncs.get(path);
    if (current === undefined) {
        const state: DirectorySync = { running: syncNow(path), next: undefined };
        directorySyncs.set(path, state);
        try {
            await state.running;
        } finally {
            if (state.next === undefined) {
                directorySyncs.delete(path);
            }
        }
        return;
    }
    current.next ??= current.running
        .catch(() => undefined)
        .then(async () => {
            current.running = syncNow(path);
            current.next = undefined;
            try {
                await current.running;
            } finally {
                if (current.next === undefined) {
                    directorySyncs.delete(path);
                }
            }
        });
    await current.next;
}

/**
 * Passes if `path` is a directory although it could not be made.
 *
 * @param failure of making it
 * @throws `failure`, or ENOENT when what was in the way has gone meanwhile: the caller may try again
 */
async function requireDirectory(path: string, failure: unknown): Promise<void> {
    let isThere: boolean;
    try {
        isThere = (await stat(path)).isDirectory();
    } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        throw code === 'ENOENT' && (failure as NodeJS.ErrnoException).code === 'EEXIST' ? error : failure;
    }
    if (!isThere) {
        throw failure;
    }
}

/** Directories being made: who finds one there waits until it is durable, too. */
const beingMade = new Map<string, Promise<void>>();

async function makeNow(path: string): Promise<void> {
    try {
        await mkdir(path, { mode: DIRECTORY_MODE });
    } catch (error) {
        await requireDirectory(path, error);
        return;
    }
    await syncDirectory(dirname(path));
}

/** Makes one directory and syncs its parent; one that is there already is fine. */
async function makeOneDirectory(path: string): Promise<void> {
    let making = beingMade.get(path);
    if (making === undefined) {
        making = makeNow(path).finally(() => beingMade.delete(path));
        beingMade.set(path, making);
    }
    await making;
}

/**
 * Makes a directory and its parents, and syncs each parent that gained an entry. When it returns, the
 * directory survives a power loss, whoever in this process has made it.
 *
 * @throws the file system's error
 */
export async function makeDirectory(path: string): Promise<void> {
    // Whether it could be made is seen below.
    await beingMade.get(dirname(path))?.catch(() => undefined);
    // Node's own recursion reports a read-only or failing disk as ENOENT.
    try {
        await makeOneDirectory(path);
    } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(path) === path) {
            throw error;
        }
        await makeDirectory(dirname(path));
        // Not together with somebody who began while there was no parent.
        await beingMade.get(path)?.catch(() => undefined);
        await makeOneDirectory(path);
    }
}

/** Name of a temporary sibling of `path`, never ending in `.raw` (operations 5.4). */
export function temporarySibling(path: string): string {
    return join(dirname(path), `${basename(path)}.${randomBytes(8).toString('hex')}.tmp`);
}

/** Removes a file and tells whether it was there; one that is not there counts as removed. */
export async function removeIfPresent(path: string): Promise<boolean> {
    try {
        await unlink(path);
        return true;
    } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
            throw error;
        }
        return false;
    }
}

/** Writes `data` to a new file at `path` and syncs it; the directory entry is not synced. */
export async function writeSynced(
    path: string,
    data: string | Uint8Array,
    { mode, owner }: NewFile = {},
): Promise<void> {
    const handle = await open(path, 'wx', mode ?? FILE_MODE);
    try {
        if (mode !== undefined) {
            // What open makes depends on the umask.
            await handle.chmod(mode);
        }
        if (owner !== undefined) {
            await handle.chown(owner.uid, owner.gid);
        }
        await handle.writeFile(data);
        await handle.sync();
    } finally {
        await handle.close();
    }
}

/**
 * Makes a new file in one step: under its name it is never empty, for whoever finds it after a crash.
 *
 * @param write makes the temporary file it is given
 * @returns false: the name is taken
 * @throws the file system's error, what `write` throws
 */
export async function createWhole(
    path: string,
    write: (temporary: string) => Promise<unknown>,
): Promise<boolean> {
    const temporary = temporarySibling(path);
    try {
        await write(temporary);
        await link(temporary, path);
        return true;
    } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
            return false;
        }
        throw error;
    } finally {
        await removeIfPresent(temporary).catch(() => undefined);
    }
}

/**
 * Replaces `path` as one step: temporary file, sync, rename, sync of the directory (backends W1).
 * When it returns the new content survives a power loss. When it throws the temporary file is gone
 * and the old content is intact, unless all but the sync of the directory succeeded: then the new
 * content is in place and may not survive.
 *
 * @throws the file system's error
 */
export async function writeFileDurably(
    path: string,
    data: string | Uint8Array,
    file: NewFile = {},
): Promise<void> {
    const temporary = temporarySibling(path);
    try {
        await writeSynced(temporary, data, file);
        await rename(temporary, path);
    } catch (error) {
        await removeIfPresent(temporary).catch(() => undefined);
        throw error;
    }
    await syncDirectory(dirname(path));
}

/**
 * Replaces `path` as one step, for readers at least: nothing is synced, so that it may be lost, or
 * lose its content, in a power loss. For when {@link writeFileDurably} fails.
 *
 * @throws the file system's error
 */
export async function writeFileAtOnce(path: string, data: string | Uint8Array): Promise<void> {
    const temporary = temporarySibling(path);
    try {
        await writeFile(temporary, data, { flag: 'wx', mode: FILE_MODE });
        await rename(temporary, path);
    } catch (error) {
        await removeIfPresent(temporary).catch(() => undefined);
        throw error;
    }
}

/**
 * Makes a new file as one step, as {@link writeFileDurably} does. When it throws there is no such
 * file, as far as the disk lets it be removed.
 *
 * @throws the file system's error
 */
export async function createFileDurably(path: string, data: string | Uint8Array): Promise<void> {
    try {
        await writeFileDurably(path, data);
    } catch (error) {
        await removeIfPresent(path).catch(() => undefined);
        throw error;
    }
}

/** Removes `path` and syncs its directory; a file that is not there counts as removed. */
export async function removeDurably(path: string): Promise<void> {
    await removeIfPresent(path);
    await syncDirectory(dirname(path));
}
