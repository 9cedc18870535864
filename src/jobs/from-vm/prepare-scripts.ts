import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { internalError } from '../../base/errors.js';

/** Operating systems whose instances can be prepared for having their image taken (jobs-and-imports 1.4). */
const PREPARABLE: ReadonlySet<string> = new Set(['smartos', 'linux', 'bsd', 'windows']);

/** Where the scripts are installed. */
const DIRECTORY = fileURLToPath(new URL('../../../tools/prepare-image', import.meta.url));

/**
 * The script that prepares an instance for having its image taken; `undefined`: there is none for such
 * an operating system.
 *
 * @throws 500 `InternalError` when it cannot be read
 */
export async function prepareScript(os: string, directory: string = DIRECTORY): Promise<string | undefined> {
    if (!PREPARABLE.has(os)) {
        return undefined;
    }
    try {
        return await readFile(join(directory, `${os}-prepare-image`), 'utf8');
    } catch (error) {
        throw internalError(`error loading prepare-image script for OS ${os}`, error);
    }
}
