import type { CommandOption, ParsedOptions } from '../options.js';
import type { Terminal } from './terminal.js';

/** Exit statuses of all subcommands (operations 2.2); a signal that ended the work adds its own. */
export const EXIT = { clean: 0, findings: 1, usage: 251, failed: 252 } as const;

/** The command line is wrong: exit status 251, with a pointer to the help text. */
export class UsageError extends Error {
    override readonly name = 'UsageError';
}

/** What a subcommand is given. */
export interface Invocation {
    /** Without unknown or misused options. */
    readonly parsed: ParsedOptions;
    readonly environment: NodeJS.ProcessEnv;
    readonly terminal: Terminal;
}

/** A subcommand of `imgapiadm`: one file, and one row in the table of them. */
export interface Subcommand {
    readonly name: string;
    /** What it does, in a few words. */
    readonly summary: string;
    /** What follows its name, e.g. `[OPTIONS] [UUID...]`. */
    readonly usage: string;
    /** Lines of the help text. */
    readonly description: readonly string[];
    /** Options of its own. */
    readonly options: readonly CommandOption[];
    /** Command lines that do something sensible. */
    readonly examples: readonly string[];
    /**
     * Does the work.
     *
     * @returns the exit status
     * @throws UsageError; any other error means exit status 252
     */
    readonly run: (invocation: Invocation) => Promise<number>;
}
