import { parseArgs } from 'node:util';

/** One option of a command line; parser and help text read the table of them. */
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
    const { tokens } = parseArgs({
        args: [...argv],
        strict: false,
        allowPositionals: true,
        tokens: true,
        options: Object.fromEntries(
            table.map(({ name, short, argument }) => [
                name,
                {
                    type: argument === undefined ? ('boolean' as const) : ('string' as const),
                    ...(short === undefined ? {} : { short }),
                },
            ]),
        ),
    });
    const counts = new Map<string, number>();
    const values = new Map<string, string>();
    const lists = new Map<string, readonly string[]>();
    const positionals: string[] = [];
    const unknown = new Set<string>();
    const misused: string[] = [];
    for (const token of tokens) {
        if (token.kind === 'positional') {
            positionals.push(token.value);
        }
        if (token.kind !== 'option') {
            continue;
        }
        const known = table.find(({ name }) => name === token.name);
        if (known === undefined) {
            unknown.add(token.rawName);
        } else if (known.argument !== undefined && token.value === undefined) {
            misused.push(`option requires an argument: ${token.rawName}`);
        } else if (known.argument === undefined && token.value !== undefined) {
            misused.push(`option takes no argument: ${token.rawName}`);
        } else {
            counts.set(known.name, (counts.get(known.name) ?? 0) + 1);
            values.set(known.name, token.value ?? '');
            lists.set(known.name, [...(lists.get(known.name) ?? []), token.value ?? '']);
        }
    }
    return { counts, values, lists, positionals, unknown: [...unknown], misused };
}

const INDENT = ' '.repeat(4);

/** The options part of a help text. */
export function optionsHelp(table: readonly CommandOption[]): string {
    const rows = table.map(({ name, short, argument, help }) => {
        const forms = [...(short === undefined ? [] : [`-${short}`]), `--${name}`].join(', ');
        return { left: argument === undefined ? forms : `${forms} ${argument}`, help };
    });
    const width = Math.max(...rows.map(({ left }) => left.length)) + 2;
    return rows
        .map(({ left, help }) => {
            const [first = '', ...more] = help;
            const lines = [`${INDENT}${left.padEnd(width)}${first}`];
            return [...lines, ...more.map((line) => INDENT + ' '.repeat(width) + line)].join('\n');
        })
        .join('\n');
}
