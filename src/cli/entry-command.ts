import type { CommandOption, ParsedOptions } from './options.js';
import { TableCommand } from './table-command.js';

/** A small command that prints something and ends: `lib/config.js`, `lib/constants.js` (backends 1.6). */
export interface EntryCommand {
    /** As errors and the help text name it, e.g. `lib/config.js`. */
    readonly name: string;
    /** What it does, for the help text. */
    readonly summary: string;
    readonly options: readonly CommandOption[];
    /**
     * Does the work of a correct command line.
     *
     * @param key the argument, if there is one
     * @returns the exit status
     * @throws Error whose message is printed; the exit status is then 1
     */
    readonly run: (parsed: ParsedOptions, key: string | undefined) => number;
}

const HELP: CommandOption = { name: 'help', short: 'h', help: ['Print this help and exit.'] };

function usageProblem({ unknown, misused, positionals }: ParsedOptions): string | undefined {
    const [option] = unknown;
    if (option !== undefined) {
        return `unknown option: "${option}"`;
    }
    return misused[0] ?? (positionals.length > 1 ? `too many args: ${positionals.join(' ')}` : undefined);
}

function execute(command: EntryCommand, argv: readonly string[]): number {
    const { name, options, summary } = command;
    const parser = new TableCommand(`node ${name}`, [HELP, ...options]);
    parser.describe({ usage: '[OPTIONS] [KEY]', description: [summary] }).parseOptions([...argv]);
    const { parsed } = parser;
    const problem = usageProblem(parsed);
    if (problem !== undefined) {
        throw new Error(problem);
    }
    if (parsed.counts.has('help')) {
        process.stdout.write(parser.helpInformation());
        return 0;
    }
    return command.run(parsed, parsed.positionals[0]);
}

/** Runs a command on this process's arguments and leaves its exit status for the end of the process. */
export function runEntryCommand(command: EntryCommand): void {
    try {
        process.exitCode = execute(command, process.argv.slice(2));
    } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        process.stderr.write(`${command.name}: error: ${message}\n`);
        process.exitCode = 1;
    }
}
