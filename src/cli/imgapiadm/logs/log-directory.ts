import { join, resolve } from 'node:path';
import type { CommandOption, ParsedOptions } from '../../options.js';

const DEFAULT_LOG_DIRECTORY = '/var/log/triton';

/** Names the directory of rotated logs. */
export const LOG_DIR_OPTION: CommandOption = {
    name: 'log-dir',
    argument: 'DIR',
    help: ['Directory of rotated logs; default: IMGAPI_LOG_DIR, else', DEFAULT_LOG_DIRECTORY],
};

/** Where rotated logs are (operations 3.2). */
export function logDirectory(
    environment: NodeJS.ProcessEnv,
    { values }: Pick<ParsedOptions, 'values'> = { values: new Map() },
): string {
    return resolve(values.get('log-dir') || environment['IMGAPI_LOG_DIR'] || DEFAULT_LOG_DIRECTORY);
}

/** Where those of them are that are to be uploaded. */
export function uploadDirectory(logs: string): string {
    return join(logs, 'upload');
}
