import { VERSION } from '../base/constants.js';
import { EXIT, UsageError, type Subcommand } from './imgapiadm/command.js';
import { GLOBAL_OPTIONS, VERSION_OPTION } from './imgapiadm/common-options.js';
import { failureText } from './imgapiadm/failure-text.js';
import { subcommandHelp, toolHelp } from './imgapiadm/help.js';
import { SUBCOMMANDS } from './imgapiadm/subcommands.js';
import { Terminal } from './imgapiadm/terminal.js';
import { parseOptions, type CommandOption, type ParsedOptions } from './options.js';

const TOOL = 'imgapiadm';

/** Parses what must have no unknown and no misused options. @throws UsageError */
function parse(table: readonly CommandOption[], argv: readonly string[]): ParsedOptions {
    const parsed = parseOptions(table, argv);
    const [unknown] = parsed.unknown;
    const problem = unknown === undefined ? parsed.misused[0] : `unknown option: ${unknown}`;
    if (problem !== undefined) {
        throw new UsageError(problem);
    }
    return parsed;
}

function print(text: string): number {
    process.stdout.write(text);
    return EXIT.clean;
}

/** @throws UsageError */
function subcommandNamed(name: string): Subcommand {
    const found = SUBCOMMANDS.find((subcommand) => subcommand.name === name);
    if (found === undefined) {
        throw new UsageError(`unknown subcommand: "${name}"`);
    }
    return found;
}

function help(argv: readonly string[]): number {
    const { positionals, counts } = parse(GLOBAL_OPTIONS, argv);
    const [name, ...more] = positionals;
    if (more.length > 0) {
        throw new UsageError(`too many arguments: ${more.join(' ')}`);
    }
    return print(
        name === undefined || counts.has('help') ? toolHelp() : subcommandHelp(subcommandNamed(name)),
    );
}

function complain(name: string, error: unknown, verbose: boolean): number {
    const isUsage = error instanceof UsageError;
    process.stderr.write(`${name}: error: ${failureText(error)}\n`);
    if (isUsage) {
        process.stderr.write(`${name}: see "${[TOOL, 'help', ...name.split(' ').slice(1)].join(' ')}"\n`);
    } else if (verbose && error instanceof Error) {
        process.stderr.write(`${error.stack ?? ''}\n`);
    }
    return isUsage ? EXIT.usage : EXIT.failed;
}

async function runSubcommand(
    subcommand: Subcommand,
    argv: readonly string[],
    isVerbose: boolean,
): Promise<number> {
    const name = `${TOOL} ${subcommand.name}`;
    let verbose = isVerbose;
    try {
        const parsed = parse([...GLOBAL_OPTIONS, ...subcommand.options], argv);
        if (parsed.counts.has('help')) {
            return print(subcommandHelp(subcommand));
        }
        verbose ||= parsed.counts.has('verbose');
        const { stdin, stdout, stderr } = process;
        const terminal = new Terminal({ stdin, stdout, stderr, name, verbose });
        return await subcommand.run({ parsed, environment: process.env, terminal });
    } catch (error) {
        return complain(name, error, verbose);
    }
}

async function main(argv: readonly string[]): Promise<number> {
    try {
        // Options before the first word are the tool's, none of which takes an argument.
        const words = argv.findIndex((word) => !word.startsWith('-'));
        const start = words === -1 ? argv.length : words;
        const { counts } = parse([...GLOBAL_OPTIONS, VERSION_OPTION], argv.slice(0, start));
        if (counts.has('help')) {
            return print(toolHelp());
        }
        if (counts.has('version')) {
            return print(`${TOOL} ${VERSION}\n`);
        }
        const [name, ...rest] = argv.slice(start);
        if (name === undefined) {
            throw new UsageError('no subcommand given');
        }
        return name === 'help'
            ? help(rest)
            : await runSubcommand(subcommandNamed(name), rest, counts.has('verbose'));
    } catch (error) {
        return complain(TOOL, error, false);
    }
}

process.exitCode = await main(process.argv.slice(2));
