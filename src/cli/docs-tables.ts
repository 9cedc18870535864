import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manPages } from './docs/manual/man-pages.js';
import { fillTables, type Filling } from './docs/markdown-table.js';
import { documentationTables } from './docs/tables.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const directory = join(root, 'docs');
const manDirectory = join(directory, 'man');

/** Brings a file up to date; tells whether it was not. `undefined`: there is to be none, or was none. */
function isOutdated(
    path: string,
    before: string | undefined,
    after: string | undefined,
    write: boolean,
): boolean {
    if (before === after) {
        return false;
    }
    process.stdout.write(`${relative(root, path)}: ${write ? 'written' : 'out of date'}\n`);
    if (write && after === undefined) {
        rmSync(path);
    } else if (write && after !== undefined) {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, after);
    }
    return true;
}

/** Pages with places for tables. */
function outdatedPages(tables: ReadonlyMap<string, Filling>, write: boolean): boolean[] {
    const names = readdirSync(directory).filter((name) => name.endsWith('.md'));
    return names.map((name) => {
        const path = join(directory, name);
        const before = readFileSync(path, 'utf8');
        return isOutdated(path, before, fillTables(before, tables), write);
    });
}

/** Pages of the system's manual, which are all there is in their directory. */
function outdatedManPages(write: boolean): boolean[] {
    const pages = manPages();
    const present = existsSync(manDirectory) ? readdirSync(manDirectory) : [];
    return [...new Set([...pages.keys(), ...present])].map((name) => {
        const path = join(manDirectory, name);
        const before = present.includes(name) ? readFileSync(path, 'utf8') : undefined;
        return isOutdated(path, before, pages.get(name), write);
    });
}

async function main(mode: string | undefined): Promise<number> {
    if (mode !== '--write' && mode !== '--check') {
        process.stderr.write('usage: docs-tables --write | --check\n');
        return 1;
    }
    const tables = await documentationTables();
    const write = mode === '--write';
    const outdated = [...outdatedPages(tables, write), ...outdatedManPages(write)];
    return mode === '--check' && outdated.includes(true) ? 1 : 0;
}

process.exitCode = await main(process.argv[2]);
