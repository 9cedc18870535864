import type { CommandOption } from '../../options.js';
import { SERVER_ACCESS_OPTIONS } from '../server-access.js';

/** Options of subcommands that work on the data of a server, or through one when `--url` is given (operations 2.2). */
export const DATA_OPTIONS: readonly CommandOption[] = SERVER_ACCESS_OPTIONS.map((option) =>
    option.name === 'url' ? { ...option, help: ['Use the API of this server instead of the data.'] } : option,
);
