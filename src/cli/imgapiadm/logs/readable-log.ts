import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { promisify } from 'node:util';
import { systemErrorCode } from '../../../base/errors.js';
import type { Owner } from '../offline/act-as-owner.js';

const LIMIT_MS = 30_000;
/** Exit status of `test` for what is not so. */
const NOT_SO = 1;

/** Whether a file can be read by this process. */
async function canBeReadHere(path: string): Promise<boolean> {
    try {
        await access(path, constants.R_OK);
        return true;
    } catch (error) {
        // What else is wrong, reading it tells.
        return systemErrorCode(error) !== 'EACCES';
    }
}

/** Whether a file can be read by somebody else: groups, lists of rights, and the directories above all count. */
async function canBeRead(path: string, { uid, gid }: Owner): Promise<boolean> {
    try {
        await promisify(execFile)('test', ['-r', path], { uid, gid, timeout: LIMIT_MS });
        return true;
    } catch (error) {
        if ((error as { readonly code?: unknown }).code === NOT_SO) {
            return false;
        }
        throw error;
    }
}

/**
 * Sees to it that a log can be read by whoever uploads it.
 *
 * @param owner absent: this process does
 * @throws Error with what to do
 */
export async function requireReadable(path: string, owner?: Owner): Promise<void> {
    if (owner === undefined ? await canBeReadHere(path) : await canBeRead(path, owner)) {
        return;
    }
    const [uid, gid] = [owner?.uid ?? process.getuid?.(), owner?.gid ?? process.getgid?.()];
    throw new Error(
        `${path} cannot be read by user ${uid}, who uploads it: have it, and the log it is a copy of, ` +
            `belong to group ${gid} with mode 640 (chgrp, chmod)`,
    );
}
