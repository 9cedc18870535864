import { existsSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { baseDirectory } from '../base/config-computed.js';
import { DEFAULT_BASE_DIR } from '../base/constants.js';
import { configPath } from './imgapiadm/config-path.js';
import type { CommandOption, ParsedOptions } from './options.js';

/** Names the base directory to those who may come before there is a configuration. */
export const DATA_DIR_OPTION: CommandOption = {
    name: 'data-dir',
    short: 'd',
    argument: 'DIR',
    help: ['Base directory of the data; default: IMGAPI_DATA, else', DEFAULT_BASE_DIR],
};

/** Where an installation is (operations 3). */
export interface Places {
    /** P: the code. */
    readonly prefix: string;
    /** D: the data, as long as the configuration says nothing else. */
    readonly data: string;
    /** C: the configuration file. */
    readonly config: string;
}

/** The top directory of the code that runs. */
const HERE = fileURLToPath(new URL('../..', import.meta.url));

/** Where the code is in most places; a link to the version in service (operations 5.4). */
export const DEFAULT_PREFIX = '/opt/smartdc/imgapi';

/** Where the code is, by the name that stays when another version comes into service. */
function prefixHere(): string {
    const linked = existsSync(DEFAULT_PREFIX) ? realpathSync(DEFAULT_PREFIX) : undefined;
    return linked === realpathSync(HERE) ? DEFAULT_PREFIX : HERE;
}

/** P, D and C for operator scripts: from options, else `IMGAPI_PREFIX`, `IMGAPI_DATA`, `IMGAPI_CONFIG`. */
export function placesOf({ values }: Pick<ParsedOptions, 'values'>, environment: NodeJS.ProcessEnv): Places {
    const asked = values.get('data-dir') || environment['IMGAPI_DATA'];
    const data = resolve(asked || baseDirectory({}, environment));
    return {
        prefix: resolve(environment['IMGAPI_PREFIX'] || prefixHere()),
        data,
        config: configPath({ values }, asked ? { ...environment, IMGAPI_DATA: data } : environment),
    };
}

/** Where a program is in `PATH`; `undefined`: nowhere. */
export function programIn(environment: NodeJS.ProcessEnv, name: string): string | undefined {
    return (environment['PATH'] ?? '')
        .split(':')
        .filter((directory) => directory !== '')
        .map((directory) => join(directory, name))
        .find((path) => existsSync(path));
}
