import type { CommandOption, ParsedOptions } from '../options.js';

/** Before and after the name of a subcommand. */
export const GLOBAL_OPTIONS: readonly CommandOption[] = [
    { name: 'help', short: 'h', help: ['Print this help and exit.'] },
    { name: 'verbose', short: 'v', help: ['Tell on stderr what is going on.'] },
];

/** Only before it. */
export const VERSION_OPTION: CommandOption = { name: 'version', help: ['Print the version and exit.'] };

/** Of subcommands whose result is more than a text (operations 2.2). */
export const JSON_OPTION: CommandOption = {
    name: 'json',
    short: 'j',
    help: ['Print JSON, one object a line; the last one is {"summary": {...}}.'],
};

/** Options of all subcommands that report on many things (operations 2.2). */
export const REPORT_OPTIONS: readonly CommandOption[] = [
    JSON_OPTION,
    { name: 'quiet', short: 'q', help: ['Show no progress.'] },
];

/** Options of all subcommands that change something (operations 2.2). */
export const CHANGE_OPTIONS: readonly CommandOption[] = [
    { name: 'dry-run', short: 'n', help: ['Show what would be done, and do nothing.'] },
    { name: 'yes', short: 'y', help: ['Do not ask before starting.'] },
];

/** What {@link REPORT_OPTIONS} and {@link CHANGE_OPTIONS} say. */
export interface CommonFlags {
    readonly dryRun: boolean;
    readonly yes: boolean;
    readonly json: boolean;
    readonly quiet: boolean;
}

export function commonFlags({ counts }: Pick<ParsedOptions, 'counts'>): CommonFlags {
    return {
        dryRun: counts.has('dry-run'),
        yes: counts.has('yes'),
        json: counts.has('json'),
        quiet: counts.has('quiet'),
    };
}
