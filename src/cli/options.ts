import { TableCommand } from './table-command.js';

/** One option of a command line; parser, help text and manuals read the table of them. */
export interface CommandOption {
    /** Long name without dashes. */
    readonly name: string;
    /** Single letter. */
    readonly short?: string;
    /** Name of the argument in the help text; absent: the option takes none. */
    readonly argument?: string;
    /** Lines of the help text. */
    readonly help: readonly string[];
}

/** A command line taken apart. */
export interface ParsedOptions {
    /** How often each option was given. */
    readonly counts: ReadonlyMap<string, number>;
    /** The last argument of each option that takes one. */
    readonly values: ReadonlyMap<string, string>;
    /** All arguments of each option that takes one, in order. */
    readonly lists: ReadonlyMap<string, readonly string[]>;
    readonly positionals: readonly string[];
    /** Options that are not in the table, as given, each once. */
    readonly unknown: readonly string[];
    /** What is wrong with known options: a missing argument, or one too many. */
    readonly misused: readonly string[];
}

/** Takes a command line apart by a table; `--name=value`, `-xvalue` and `-xyz` are understood. */
export function parseOptions(table: readonly CommandOption[], argv: readonly string[]): ParsedOptions {
    const command = new TableCommand('', table);
    command.parseOptions([...argv]);
    return command.parsed;
}

/** The first thing that is wrong with the options of a command line; `undefined`: nothing. */
export function usageProblem({ unknown, misused }: ParsedOptions): string | undefined {
    const [option] = unknown;
    return option === undefined ? misused[0] : `unknown option: ${option}`;
}
