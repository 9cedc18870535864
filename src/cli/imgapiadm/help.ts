import { optionsHelp } from '../options.js';
import type { Subcommand } from './command.js';
import { GLOBAL_OPTIONS, VERSION_OPTION } from './common-options.js';
import { SUBCOMMANDS } from './subcommands.js';

const INDENT = ' '.repeat(4);

function indented(lines: readonly string[]): string[] {
    return lines.map((line) => INDENT + line);
}

function listOfSubcommands(): string[] {
    const rows = [
        ...SUBCOMMANDS.map(({ name, summary }) => [name, summary] as const),
        ['help [SUBCOMMAND]', 'Print this help, or that of a subcommand.'] as const,
    ];
    const width = Math.max(...rows.map(([name]) => name.length)) + 2;
    return rows.map(([name, summary]) => name.padEnd(width) + summary);
}

/** The help text of the tool, with a line feed at its end. */
export function toolHelp(): string {
    return [
        'Usage:',
        ...indented(['imgapiadm [-v] SUBCOMMAND [OPTIONS] [ARGS...]', 'imgapiadm help [SUBCOMMAND]']),
        '',
        'Looks after the images of an IMGAPI server.',
        '',
        'Options:',
        optionsHelp([...GLOBAL_OPTIONS, VERSION_OPTION]),
        '',
        'Subcommands:',
        ...indented(listOfSubcommands()),
        '',
        'Exit status:',
        ...indented([
            '0    done',
            '1    done, but not all went well',
            '251  wrong command line',
            '252  could not run',
            '130  Ctrl-C',
        ]),
        '',
    ].join('\n');
}

/** The help text of a subcommand, with a line feed at its end. */
export function subcommandHelp({ name, usage, description, options, examples }: Subcommand): string {
    return [
        'Usage:',
        ...indented([`imgapiadm ${name} ${usage}`]),
        '',
        ...description,
        '',
        'Options:',
        optionsHelp([...GLOBAL_OPTIONS, ...options]),
        '',
        'Examples:',
        ...indented(examples),
        '',
    ].join('\n');
}
