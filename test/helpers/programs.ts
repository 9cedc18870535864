import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Debian keeps servers in directories that are not in every user's PATH. */
const DIRECTORIES = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];

/** Where a program is; `undefined`: nowhere. */
export function programPath(name: string): string | undefined {
    return DIRECTORIES.map((directory) => join(directory, name)).find((path) => existsSync(path));
}

/** Why a test cannot run here, or false. */
export function missingPrograms(...names: readonly string[]): string | false {
    const missing = names.filter((name) => programPath(name) === undefined);
    return missing.length === 0 ? false : `not installed: ${missing.join(', ')}`;
}
