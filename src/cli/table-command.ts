import { Command, CommanderError, Help, Option } from 'commander';
import type { CommandOption, ParsedOptions } from './options.js';

/** What the help text of a command says beside its options. */
export interface CommandWords {
    /** What follows the name, e.g. `[OPTIONS] [UUID...]`. */
    readonly usage: string;
    /** In a list of commands. */
    readonly summary?: string;
    /** Lines; empty ones part paragraphs, those that begin with a space stay as they are. */
    readonly description: readonly string[];
    /** Titles and lines that follow the options. */
    readonly sections?: readonly (readonly [title: string, lines: readonly string[]])[];
}

/** Help texts are no wider than this, however wide the terminal. */
const HELP_WIDTH = 100;

const INDENT = '  ';

/** Lines as paragraphs that can be wrapped anew. */
export function paragraphs(lines: readonly string[]): string[] {
    const found: string[] = [];
    let open = false;
    for (const line of lines) {
        const flows = line !== '' && !line.startsWith(' ');
        if (flows && open) {
            found.push(`${found.pop() ?? ''} ${line}`);
        } else {
            found.push(line);
        }
        open = flows;
    }
    return found;
}

const WRAPPING = new Help();

/** Wraps lines; what is indented, and its second column, stays so. */
export function wrapped(text: string, width: number): string {
    return text
        .split('\n')
        .map((line) => {
            const [head = ''] = /^ +(?:\S+ {2,})?/.exec(line) ?? [];
            const [indent = ''] = /^ */.exec(line) ?? [];
            if (line.length <= width || head === '') {
                return WRAPPING.boxWrap(line, width);
            }
            const hanging = head === indent ? indent + INDENT + INDENT : ' '.repeat(head.length);
            const rest = WRAPPING.boxWrap(line.slice(head.length), width - hanging.length);
            return head + rest.replaceAll('\n', `\n${hanging}`);
        })
        .join('\n');
}

function optionOf({ name, short, argument, help }: CommandOption): Option {
    const forms = [...(short === undefined ? [] : [`-${short}`]), `--${name}`].join(', ');
    return new Option(argument === undefined ? forms : `${forms} <${argument}>`, help.join(' '));
}

/** How the last word asks for an argument that is not there, and the words without that. */
function withoutLastOption(argv: readonly string[]): { readonly option: string; readonly rest: string[] } {
    const last = argv.at(-1) ?? '';
    const rest = argv.slice(0, -1);
    const isGroup = !last.startsWith('--') && last.length > 2;
    return isGroup
        ? { option: `-${last.slice(-1)}`, rest: [...rest, last.slice(0, -1)] }
        : { option: last, rest };
}

/** A command whose options are a table; it says what was given, and leaves it to others to judge. */
export class TableCommand extends Command {
    readonly #table: readonly CommandOption[];
    #counts = new Map<string, number>();
    #lists = new Map<string, string[]>();
    #positionals: readonly string[] = [];
    #unknown: readonly string[] = [];
    #misused: readonly string[] = [];
    #sections: CommandWords['sections'] = [];

    /** @throws Error for a table with two options of the same name */
    constructor(name: string, table: readonly CommandOption[]) {
        super(name);
        this.#table = table;
        this.helpOption(false).helpCommand(false).allowUnknownOption().allowExcessArguments().exitOverride();
        this.configureOutput({
            outputError: () => undefined,
            getOutHelpWidth: () => Math.min(process.stdout.columns || HELP_WIDTH, HELP_WIDTH),
        });
        this.configureHelp({
            optionTerm: ({ flags }) => flags.replace(/<(.*)>/, '$1'),
            subcommandTerm: (command) => command.name(),
            boxWrap: wrapped,
        });
        for (const option of table) {
            this.addOption(optionOf(option));
            this.on(`option:${option.name}`, (value?: string) => this.#note(option.name, value));
        }
    }

    /** What the help text says. */
    describe({ usage, summary = '', description, sections = [] }: CommandWords): this {
        this.#sections = sections;
        return this.usage(usage).summary(summary).description(paragraphs(description).join('\n'));
    }

    /** The command line as it was last taken apart. */
    get parsed(): ParsedOptions {
        return {
            counts: this.#counts,
            values: new Map([...this.#lists].map(([name, values]) => [name, values.at(-1) ?? ''])),
            lists: this.#lists,
            positionals: this.#positionals,
            unknown: this.#unknown,
            misused: this.#misused,
        };
    }

    override parseOptions(argv: string[]): { operands: string[]; unknown: string[] } {
        this.#counts = new Map();
        this.#lists = new Map();
        try {
            const result = super.parseOptions(argv);
            this.#sort(result.operands, result.unknown);
            return result;
        } catch (error) {
            if (!(error instanceof CommanderError && error.code === 'commander.optionMissingArgument')) {
                throw error;
            }
            // Nothing but the last word can lack what follows it.
            const { option, rest } = withoutLastOption(argv);
            const result = this.parseOptions(rest);
            this.#misused = [...this.#misused, `option requires an argument: ${option}`];
            return result;
        }
    }

    override helpInformation(...context: Parameters<Command['helpInformation']>): string {
        const sections = (this.#sections ?? []).map(
            ([title, lines]) => `\n${title}:\n${lines.map((line) => `${INDENT}${line}\n`).join('')}`,
        );
        return super.helpInformation(...context) + sections.join('');
    }

    #note(name: string, value: string | undefined): void {
        this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
        if (value !== undefined) {
            this.#lists.set(name, [...(this.#lists.get(name) ?? []), value]);
        }
    }

    /** Tells apart what was not recognised, from the first option that was not: options up to `--`, and other words. */
    #sort(operands: readonly string[], rest: readonly string[]): void {
        const end = rest.includes('--') ? rest.indexOf('--') : rest.length;
        const isOption = (word: string): boolean => word.startsWith('-') && word !== '-';
        const options = rest.slice(0, end).filter(isOption);
        const nameOf = (word: string): string => word.split('=', 1)[0] ?? word;
        const isKnown = (word: string): boolean =>
            this.#table.some(({ name }) => `--${name}` === nameOf(word));
        this.#positionals = [
            ...operands,
            ...rest.slice(0, end).filter((word) => !isOption(word)),
            ...rest.slice(end + 1),
        ];
        this.#unknown = [...new Set(options.filter((word) => !isKnown(word)).map(nameOf))];
        this.#misused = options.filter(isKnown).map((word) => `option takes no argument: ${nameOf(word)}`);
    }
}
