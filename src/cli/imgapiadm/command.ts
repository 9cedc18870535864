import type { CommandOption, ParsedOptions } from '../options.js';
import type { Terminal } from './terminal.js';

/** Exit statuses of all subcommands (operations 2.2); a signal that ended the work adds its own. */
export const EXIT = { clean: 0, findings: 1, usage: 251, failed: 252 } as const;

/** An exit status, or several, and what it means. */
export type ExitStatus = readonly [status: string, meaning: string];

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
    /** Exit statuses that mean something else than with other subcommands. */
    readonly exitStatuses?: readonly ExitStatus[];
    /**
     * Does the work.
     *
     * @returns the exit status
     * @throws UsageError; any other error means exit status 252
     */
    readonly run: (invocation: Invocation) => Promise<number>;
}

const COMMON_STATUSES: readonly ExitStatus[] = [
    [String(EXIT.clean), 'done, and nothing to complain of'],
    [String(EXIT.findings), 'done, but something was found, or not all went well'],
    ['130', 'ended by Ctrl-C'],
    [String(EXIT.usage), 'wrong command line'],
    [String(EXIT.failed), 'could not run'],
];

/** All exit statuses of a subcommand: its own, and the common ones. */
export function exitStatusesOf({
    exitStatuses = [],
}: Pick<Subcommand, 'exitStatuses'>): readonly ExitStatus[] {
    const own = new Set(exitStatuses.map(([status]) => status));
    return [...exitStatuses, ...COMMON_STATUSES.filter(([status]) => !own.has(status))].sort(
        ([a], [b]) => parseInt(a) - parseInt(b),
    );
}

/** The same as lines of a help text. */
export function exitStatusLines(statuses: readonly ExitStatus[]): string[] {
    const width = Math.max(...statuses.map(([status]) => status.length)) + 2;
    return statuses.map(([status, meaning]) => status.padEnd(width) + meaning);
}
