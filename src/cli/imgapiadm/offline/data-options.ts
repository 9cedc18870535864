import type { CommandOption } from '../../options.js';
import type { Invocation } from '../command.js';
import { SERVER_ACCESS_OPTIONS, serverAccess, type ServerAccess } from '../server-access.js';

/** Options of subcommands that work on the data of a server, or through one when `--url` is given (operations 2.2). */
export const DATA_OPTIONS: readonly CommandOption[] = SERVER_ACCESS_OPTIONS.map((option) =>
    option.name === 'url' ? { ...option, help: ['Use the API of this server instead of the data.'] } : option,
);

/** The server to use; `undefined`: its data. @throws UsageError */
export function serverInsteadOfData({ parsed, environment }: Invocation): ServerAccess | undefined {
    return parsed.values.has('url') ? serverAccess(parsed, environment) : undefined;
}

/** The channel whose images are meant, on data or through a server; `undefined`: all. */
export function wantedChannel({
    parsed,
    environment,
}: Pick<Invocation, 'parsed' | 'environment'>): string | undefined {
    const channel = parsed.values.get('channel') ?? (environment['IMGAPI_CLI_CHANNEL'] || undefined);
    return channel === '*' ? undefined : channel;
}
