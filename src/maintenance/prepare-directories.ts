import { access, constants } from 'node:fs/promises';
import type { BaseDirectories } from '../base/config-types.js';
import { makeDirectory } from '../base/durable-files.js';
import { shortReason } from '../base/short-reason.js';

/** What the server writes to (README table C), parents first; `etc` is the operator's, `trash` that of tools. */
const OURS: readonly (keyof BaseDirectories)[] = [
    'base',
    'manifests',
    'images',
    'archive',
    'run',
    'deletes',
    'uploads',
    'clones',
    'exports',
    'staging',
    'jobs',
    'sharing',
    'quarantine',
];

/**
 * Makes the directories the server writes to and makes sure that it may (operations 1.2, 5a).
 *
 * @throws Error that names the directory that cannot be used
 */
export async function prepareDirectories(directories: BaseDirectories): Promise<void> {
    for (const key of OURS) {
        const path = directories[key];
        try {
            await makeDirectory(path);
            await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
        } catch (cause) {
            throw new Error(`cannot use directory ${path}: ${shortReason(cause)}`, { cause });
        }
    }
}
