import { constants, type Stats } from 'node:fs';
import { lstat, mkdir, open, stat } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';
import { DIRECTORY_MODE, makeDirectory, syncDirectory } from '../../../base/durable-files.js';
import { systemErrorCode } from '../../../base/errors.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { Owner } from './act-as-owner.js';

/** A link where its maker could have root write somewhere else. */
export class LinkInTheWayError extends Error {
    override readonly name = 'LinkInTheWayError';
}

/**
 * Sees to it that a path leads nowhere by a symbolic link that the owner of the data could have made: root
 * would write, or give away, what the link points to. Links in directories of others, such as one to the base
 * directory itself, are the administrator's.
 *
 * @param owner absent: this process has no more rights than the data's owner, and links are fine
 * @throws LinkInTheWayError
 */
export async function requireNoLinks(path: string, owner: Owner | undefined): Promise<void> {
    if (owner === undefined) {
        return;
    }
    const parts = resolve(path).split(sep).slice(1);
    for (let count = 1; count <= parts.length; count += 1) {
        const part = sep + parts.slice(0, count).join(sep);
        const found = await unlessMissing(lstat(part));
        if (found === undefined) {
            return;
        }
        if (found.isSymbolicLink() && (await stat(dirname(part))).uid === owner.uid) {
            throw new LinkInTheWayError(
                `${part} is a symbolic link, which root does not follow in a directory of user ${owner.uid}: ` +
                    'put a directory or file in its place',
            );
        }
    }
}

/** Others' entries of such a directory are not to be renamed. */
const STICKY = 0o1000;

function canReplaceIn({ uid, gid, mode }: Stats, owner: Owner): boolean {
    const isOpen = (mode & 0o002) !== 0 || (gid === owner.gid && (mode & 0o020) !== 0);
    return uid === owner.uid || (isOpen && (mode & STICKY) === 0);
}

/**
 * Sees to it that the owner of the data cannot put a link in the place of an entry of a directory, or of the
 * directory, while root works there; what {@link requireNoLinks} finds may be otherwise a moment later.
 *
 * @param directory without links in it
 * @param owner absent: this process has no more rights than the data's owner
 * @throws Error with what to do
 */
export async function requireOutOfReach(directory: string, owner: Owner | undefined): Promise<void> {
    if (owner === undefined) {
        return;
    }
    if (canReplaceIn(await stat(directory), owner)) {
        throw new Error(
            `${directory} is a directory where user ${owner.uid} can put links, which root must not follow: ` +
                'have it belong to root, writable to nobody else (chown, chmod)',
        );
    }
    if (dirname(directory) !== directory) {
        await requireOutOfReach(dirname(directory), owner);
    }
}

/** Gives a directory, such as one that was just made, to its owner, and no link that has taken its place. */
export async function ownNewDirectory(path: string, owner: Owner | undefined): Promise<void> {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
        // What mkdir makes depends on the umask.
        await handle.chmod(DIRECTORY_MODE);
        if (owner !== undefined) {
            await handle.chown(owner.uid, owner.gid);
        }
    } finally {
        await handle.close();
    }
}

async function make(path: string, owner: Owner | undefined): Promise<void> {
    if ((await unlessMissing(stat(path))) !== undefined) {
        // Fails for what is no directory.
        await makeDirectory(path);
        return;
    }
    await make(dirname(path), owner);
    try {
        await mkdir(path, { mode: DIRECTORY_MODE });
    } catch (error) {
        if (systemErrorCode(error) !== 'EEXIST') {
            throw error;
        }
        await makeDirectory(path);
        return;
    }
    await ownNewDirectory(path, owner);
    await syncDirectory(dirname(path));
}

/**
 * Makes a directory, and those above it, with an owner; one that is there already stays whose it is.
 *
 * @param owner absent: the user of this process
 * @throws LinkInTheWayError; the file system's error
 */
export async function ownedDirectory(path: string, owner: Owner | undefined): Promise<void> {
    await requireNoLinks(path, owner);
    await make(path, owner);
}
