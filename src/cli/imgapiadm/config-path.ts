import { join } from 'node:path';
import { DEFAULT_CONFIG_PATH } from '../../base/config.js';
import type { CommandOption, ParsedOptions } from '../options.js';

/** Names the configuration file of the server. */
export const CONFIG_OPTION: CommandOption = {
    name: 'config',
    short: 'c',
    argument: 'PATH',
    help: [
        'Configuration file of the server; default: IMGAPI_CONFIG, else',
        'etc/imgapi.config.json below IMGAPI_DATA, else',
        DEFAULT_CONFIG_PATH,
    ],
};

/** Where the configuration file is (operations 2.2, 3). */
export function configPath(
    { values }: Pick<ParsedOptions, 'values'>,
    environment: NodeJS.ProcessEnv,
): string {
    const data = environment['IMGAPI_DATA'] || undefined;
    return (
        (values.get('config') || undefined) ??
        (environment['IMGAPI_CONFIG'] || undefined) ??
        (data === undefined ? DEFAULT_CONFIG_PATH : join(data, 'etc', 'imgapi.config.json'))
    );
}
