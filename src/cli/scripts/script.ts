import { endWithReader } from '../broken-pipe.js';
import { exitStatusLines, UsageError, type ExitStatus, type Subcommand } from '../imgapiadm/command.js';
import { failureText } from '../imgapiadm/failure-text.js';
import { Terminal } from '../imgapiadm/terminal.js';
import { usageProblem, type CommandOption, type ParsedOptions } from '../options.js';
import { TableCommand } from '../table-command.js';

/**
 * A command of its own that operators run, e.g. `imgapi-standalone-backup` (operations 3): made like a
 * subcommand, so that one thing can be both.
 */
export interface ScriptDefinition extends Subcommand {
    /** All of them. */
    readonly exitStatuses: readonly ExitStatus[];
    /** Exit status when the work fails with an error; default: 1. */
    readonly failureStatus?: number;
    /** Exit status when the command line is wrong; default: 1. */
    readonly usageStatus?: number;
    /** What is wrong with a command line, if its words are not those of the others; `undefined`: nothing. */
    readonly usageProblem?: (parsed: ParsedOptions) => string | undefined;
}

/** Option of all scripts. */
export const SCRIPT_HELP_OPTION: CommandOption = {
    name: 'help',
    short: 'h',
    help: ['Print this help and exit.'],
};

const FAILED = 1;

/** A script as a command, with its help text. */
function scriptCommand(definition: ScriptDefinition): TableCommand {
    const { name, options, examples, exitStatuses } = definition;
    return new TableCommand(name, [SCRIPT_HELP_OPTION, ...options]).describe({
        ...definition,
        sections: [
            ['Exit status', exitStatusLines(exitStatuses)],
            ...(examples.length === 0 ? [] : [['Examples', examples] as const]),
        ],
    });
}

/**
 * Runs a script: help on stdout, failures as `NAME: error: MESSAGE` on stderr. With `TRACE` set, or its option
 * `--verbose` if it has one, it tells what it does, and where an error comes from (operations 1.1, 3).
 *
 * @param argv what follows the script's name
 * @returns the exit status
 */
export async function runScript(definition: ScriptDefinition, argv: readonly string[]): Promise<number> {
    const { name, failureStatus = FAILED, usageStatus = FAILED } = definition;
    const { stdin, stdout, stderr, env } = process;
    let verbose = Boolean(env['TRACE']);
    endWithReader();
    try {
        const command = scriptCommand(definition);
        command.parseOptions([...argv]);
        const { parsed } = command;
        const problem = (definition.usageProblem ?? usageProblem)(parsed);
        if (problem !== undefined) {
            throw new UsageError(problem);
        }
        if (parsed.counts.has('help')) {
            stdout.write(command.helpInformation());
            return 0;
        }
        verbose ||= parsed.counts.has('verbose');
        const terminal = new Terminal({ stdin, stdout, stderr, name, verbose });
        return await definition.run({ parsed, environment: env, terminal });
    } catch (error) {
        stderr.write(`${name}: error: ${failureText(error)}\n`);
        if (verbose && error instanceof Error) {
            stderr.write(`${error.stack ?? ''}\n`);
        }
        return error instanceof UsageError ? usageStatus : failureStatus;
    }
}
