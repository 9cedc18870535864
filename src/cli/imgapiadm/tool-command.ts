import { TableCommand } from '../table-command.js';
import { exitStatusLines, exitStatusesOf, type Subcommand } from './command.js';
import { GLOBAL_OPTIONS, VERSION_OPTION } from './common-options.js';

/** The tool as its manuals name it. */
export const TOOL = {
    name: 'imgapiadm',
    summary: 'Look after the images of an image server.',
    usage: '[-v] SUBCOMMAND [OPTIONS] [ARGS...]',
    description: [
        'Looks after the images of an image server: on its data, whether it runs or not, or through its',
        'API. "imgapiadm help SUBCOMMAND" tells of a subcommand.',
    ],
} as const;

/** What becomes of a command line. */
export interface ToolActions {
    /** No subcommand is named, or none that there is. */
    readonly onNone: (tool: TableCommand) => void;
    /** `help [SUBCOMMAND]`. */
    readonly onHelp: (tool: TableCommand, help: TableCommand) => void;
    readonly onSubcommand: (
        tool: TableCommand,
        subcommand: Subcommand,
        command: TableCommand,
    ) => Promise<void>;
}

function subcommandOf(subcommand: Subcommand): TableCommand {
    const { name, options, examples } = subcommand;
    return new TableCommand(name, [...GLOBAL_OPTIONS, ...options]).describe({
        ...subcommand,
        sections: [
            ['Exit status', exitStatusLines(exitStatusesOf(subcommand))],
            ['Examples', examples],
        ],
    });
}

/** The tool with these subcommands. */
export function toolCommand(
    subcommands: readonly Subcommand[],
    { onNone, onHelp, onSubcommand }: ToolActions,
): TableCommand {
    const tool = new TableCommand(TOOL.name, [...GLOBAL_OPTIONS, VERSION_OPTION])
        .describe({ ...TOOL, sections: [['Exit status', exitStatusLines(exitStatusesOf({}))]] })
        .enablePositionalOptions()
        .commandsGroup('Subcommands:')
        .action(() => onNone(tool));
    for (const subcommand of subcommands) {
        const command = subcommandOf(subcommand);
        tool.addCommand(command.action(() => onSubcommand(tool, subcommand, command)));
    }
    const help = new TableCommand('help', GLOBAL_OPTIONS).describe({
        usage: '[SUBCOMMAND]',
        summary: 'Print this help, or that of a subcommand.',
        description: [],
    });
    return tool.addCommand(help.action(() => onHelp(tool, help)));
}
