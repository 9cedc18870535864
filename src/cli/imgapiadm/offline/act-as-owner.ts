import { stat } from 'node:fs/promises';

const ROOT = 0;

/** Whose files are. */
export interface Owner {
    readonly uid: number;
    readonly gid: number;
}

/**
 * Who is to own what root makes in a directory: the directory's owner, or else the server could not change it.
 *
 * @returns `undefined` when new files are as they should be without further ado
 * @throws the file system's error when there is no such directory
 */
export async function ownerToBe(directory: string): Promise<Owner | undefined> {
    const { uid, gid } = await stat(directory);
    return process.getuid?.() !== ROOT || uid === ROOT ? undefined : { uid, gid };
}

/**
 * Goes on as the user whose directory it is, if this process is root's: what root writes there, the server
 * could not change.
 *
 * @throws the file system's error when there is no such directory
 */
export async function actAsOwner(directory: string): Promise<void> {
    const owner = await ownerToBe(directory);
    if (owner === undefined) {
        return;
    }
    // The groups first: afterwards there is no right to change them.
    process.setgroups?.([owner.gid]);
    process.setgid?.(owner.gid);
    process.setuid?.(owner.uid);
}
