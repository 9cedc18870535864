import { stat } from 'node:fs/promises';

const ROOT = 0;

/**
 * Goes on as the user whose directory it is, if this process is root's: what root writes there, the server
 * could not change.
 *
 * @throws the file system's error when there is no such directory
 */
export async function actAsOwner(directory: string): Promise<void> {
    const { uid, gid } = await stat(directory);
    if (process.getuid?.() !== ROOT || uid === ROOT) {
        return;
    }
    // The groups first: afterwards there is no right to change them.
    process.setgroups?.([gid]);
    process.setgid?.(gid);
    process.setuid?.(uid);
}
