import { VERSION } from '../base/constants.js';
import { endWithReader } from './broken-pipe.js';
import { EXIT, UsageError, type Subcommand } from './imgapiadm/command.js';
import { failureText } from './imgapiadm/failure-text.js';
import { subcommandsFor } from './imgapiadm/subcommands.js';
import { Terminal } from './imgapiadm/terminal.js';
import { TOOL, toolCommand } from './imgapiadm/tool-command.js';
import { usageProblem, type ParsedOptions } from './options.js';
import type { TableCommand } from './table-command.js';

/** How long what is left of connections may keep a command from ending that is done, milliseconds. */
const LAST_WAIT_MS = 500;

/** What was given, if it is without unknown and misused options. @throws UsageError */
function correct({ parsed }: TableCommand): ParsedOptions {
    const problem = usageProblem(parsed);
    if (problem !== undefined) {
        throw new UsageError(problem);
    }
    return parsed;
}

function printHelp(command: { helpInformation(): string }): number {
    process.stdout.write(command.helpInformation());
    return EXIT.clean;
}

function complain(name: string, error: unknown, verbose: boolean): number {
    const isUsage = error instanceof UsageError;
    process.stderr.write(`${name}: error: ${failureText(error)}\n`);
    if (isUsage) {
        const [tool, ...subcommand] = name.split(' ');
        process.stderr.write(`${name}: see "${[tool, 'help', ...subcommand].join(' ')}"\n`);
    } else if (verbose && error instanceof Error) {
        process.stderr.write(`${error.stack ?? ''}\n`);
    }
    return isUsage ? EXIT.usage : EXIT.failed;
}

/** The tool alone. @throws UsageError */
function runTool(tool: TableCommand): number {
    const { counts, positionals } = correct(tool);
    if (counts.has('help')) {
        return printHelp(tool);
    }
    if (counts.has('version')) {
        process.stdout.write(`${TOOL.name} ${VERSION}\n`);
        return EXIT.clean;
    }
    const [name] = positionals;
    throw new UsageError(name === undefined ? 'no subcommand given' : `unknown subcommand: "${name}"`);
}

/** `imgapiadm help`. @throws UsageError */
function runHelp(tool: TableCommand, help: TableCommand): number {
    const { positionals, counts } = correct(help);
    const [name, ...more] = positionals;
    if (more.length > 0) {
        throw new UsageError(`too many arguments: ${more.join(' ')}`);
    }
    if (name === undefined || counts.has('help')) {
        return printHelp(tool);
    }
    const command = tool.commands.find((one) => one.name() === name);
    if (command === undefined) {
        throw new UsageError(`unknown subcommand: "${name}"`);
    }
    return printHelp(command);
}

async function runSubcommand(
    subcommand: Subcommand,
    command: TableCommand,
    isVerbose: boolean,
): Promise<number> {
    const name = `${TOOL.name} ${subcommand.name}`;
    const verbose = isVerbose || command.parsed.counts.has('verbose');
    try {
        const parsed = correct(command);
        if (parsed.counts.has('help')) {
            return printHelp(command);
        }
        const { stdin, stdout, stderr } = process;
        const terminal = new Terminal({ stdin, stdout, stderr, name, verbose });
        return await subcommand.run({ parsed, environment: process.env, terminal });
    } catch (error) {
        return complain(name, error, verbose);
    }
}

async function main(argv: readonly string[]): Promise<number> {
    endWithReader();
    let status: number = EXIT.clean;
    const program = toolCommand(await subcommandsFor(argv), {
        onNone: (tool) => {
            status = runTool(tool);
        },
        onHelp: (tool, help) => {
            status = tool.parsed.counts.has('help') ? printHelp(tool) : runHelp(tool, help);
        },
        onSubcommand: async (tool, subcommand, command) => {
            const { counts } = tool.parsed;
            // Options before the name are the tool's.
            status =
                counts.has('help') || counts.has('version')
                    ? runTool(tool)
                    : await runSubcommand(subcommand, command, counts.has('verbose'));
        },
    });
    try {
        await program.parseAsync(argv, { from: 'user' });
        return status;
    } catch (error) {
        return complain(TOOL.name, error, false);
    }
}

process.exitCode = await main(process.argv.slice(2));
// Clients of other services end pauses between attempts to connect late, which nobody needs to wait for.
setTimeout(() => process.exit(), LAST_WAIT_MS).unref();
