import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fillTables, type Table } from './docs/markdown-table.js';
import { documentationTables } from './docs/tables.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const directory = join(root, 'docs');

/** Brings the tables of one page up to date; tells whether they were not. */
function isOutdated(path: string, tables: ReadonlyMap<string, Table>, write: boolean): boolean {
    const before = readFileSync(path, 'utf8');
    const after = fillTables(before, tables);
    if (before === after) {
        return false;
    }
    process.stdout.write(`${relative(root, path)}: ${write ? 'written' : 'out of date'}\n`);
    if (write) {
        writeFileSync(path, after);
    }
    return true;
}

async function main(mode: string | undefined): Promise<number> {
    if (mode !== '--write' && mode !== '--check') {
        process.stderr.write('usage: docs-tables --write | --check\n');
        return 1;
    }
    const tables = await documentationTables();
    const pages = readdirSync(directory).filter((name) => name.endsWith('.md'));
    const outdated = pages.filter((name) => isOutdated(join(directory, name), tables, mode === '--write'));
    return mode === '--check' && outdated.length > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv[2]);
