/** A table's rows by its column titles, in order. */
export interface Table {
    readonly columns: readonly string[];
    readonly rows: readonly (readonly string[])[];
}

/** What can be put into a page: a table, or Markdown of any kind. */
export type Filling = Table | { readonly markdown: string };

const START = /^<!-- table:([a-z-]+) -->$/;
const END = '<!-- /table -->';

function cell(text: string): string {
    return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function line(cells: readonly string[]): string {
    return `| ${cells.map(cell).join(' | ')} |`;
}

function render(filling: Filling): string {
    if ('markdown' in filling) {
        return filling.markdown;
    }
    const { columns, rows } = filling;
    return [line(columns), line(columns.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Names of the tables a text has places for. */
export function tableNames(text: string): string[] {
    return text.split('\n').flatMap((one) => START.exec(one)?.slice(1) ?? []);
}

/**
 * Replaces what stands between `<!-- table:NAME -->` and `<!-- /table -->`.
 *
 * @throws Error for a name without a table and for a start without an end
 */
export function fillTables(text: string, tables: ReadonlyMap<string, Filling>): string {
    const filled: string[] = [];
    let open: string | undefined;
    for (const one of text.split('\n')) {
        const name = START.exec(one)?.[1];
        if (open === undefined) {
            filled.push(one);
        } else if (one === END) {
            filled.push('', one);
            open = undefined;
        }
        if (name !== undefined) {
            const table = tables.get(name);
            if (open !== undefined || table === undefined) {
                throw new Error(open === undefined ? `no table "${name}"` : `table "${open}" has no end`);
            }
            filled.push('', render(table));
            open = name;
        }
    }
    if (open !== undefined) {
        throw new Error(`table "${open}" has no end`);
    }
    return filled.join('\n');
}
