import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { CommandOption, ParsedOptions } from '../../options.js';
import { UsageError } from '../command.js';

/** Names the directory that manifests are written to or read from. */
export const DIRECTORY_OPTION: CommandOption = {
    name: 'directory',
    short: 'd',
    argument: 'DIR',
    help: ['The directory with the files <uuid>.raw.'],
};

/** The directory, which was given. @throws UsageError */
export function directoryOption({ values }: ParsedOptions): string {
    const directory = values.get('directory');
    if (directory === undefined || directory === '') {
        throw new UsageError('which directory? Give -d DIR.');
    }
    return resolve(directory);
}

/** Refuses the directory that the server itself keeps its records in. @throws UsageError */
export async function requireOther(directory: string, manifests: string): Promise<void> {
    const own = (await unlessMissing(realpath(manifests))) ?? manifests;
    if (((await unlessMissing(realpath(directory))) ?? directory) === own) {
        throw new UsageError(`${directory} is where the server keeps its records`);
    }
}
