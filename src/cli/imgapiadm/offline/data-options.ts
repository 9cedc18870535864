import type { CommandOption } from '../../options.js';
import type { Invocation } from '../command.js';
import { SERVER_ACCESS_OPTIONS, serverAccess, type ServerAccess } from '../server-access.js';

const HELP = new Map([
    ['url', 'Use the API of this server instead of the data.'],
    ['channel', 'Only images of this channel; default: with --url IMGAPI_CLI_CHANNEL, else all.'],
]);

/** Options of subcommands that work on the data of a server, or through one when `--url` is given (operations 2.2). */
export const DATA_OPTIONS: readonly CommandOption[] = SERVER_ACCESS_OPTIONS.map((option) => {
    const help = HELP.get(option.name);
    return help === undefined ? option : { ...option, help: [help] };
});

/** The server to use; `undefined`: its data. @throws UsageError */
export function serverInsteadOfData({ parsed, environment }: Invocation): ServerAccess | undefined {
    return parsed.values.has('url') ? serverAccess(parsed, environment) : undefined;
}

/**
 * The channel whose images are meant, on data or through a server; `undefined`: all. What is set for clients of
 * servers makes nothing less of data, e.g. of an export.
 */
export function wantedChannel({
    parsed,
    environment,
}: Pick<Invocation, 'parsed' | 'environment'>): string | undefined {
    const channel =
        parsed.values.get('channel') ??
        (parsed.values.has('url') ? environment['IMGAPI_CLI_CHANNEL'] || undefined : undefined);
    return channel === '*' ? undefined : channel;
}
