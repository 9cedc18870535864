/*
 * Runs the compiled tests, two files at a time, and ends with the line `N passed, N failed` counted
 * from their results. Arguments select files by a part of their path. Exits 1 when anything failed
 * or nothing ran.
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Parser } from 'tap-parser';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiled = join(root, 'build', 'tests', 'test');
const patterns = process.argv.slice(2);

const files = readdirSync(compiled, { recursive: true })
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => join(compiled, name))
    .filter((path) => patterns.length === 0 || patterns.some((one) => relative(compiled, path).includes(one)))
    .sort();
if (files.length === 0) {
    process.stderr.write('no test file matches\n');
    process.exit(1);
}

const tap = join(dirname(createRequire(import.meta.url).resolve('tap/package.json')), 'dist/esm/run.mjs');
const child = spawn(
    process.execPath,
    [tap, 'run', '--reporter=tap', '--disable-coverage', '--jobs=2', '--timeout=600', ...files],
    { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
);

let passed = 0;
let failed = 0;
const started = Date.now();

/** Counts the assertions of a file, at whatever depth, and says how the file went. */
function count(parser, path) {
    parser.on('child', (inner) => count(inner, [...path, inner.name]));
    parser.on('assert', (result) => {
        // The summary line of a group repeats what its members said already.
        const isSummary = result.diag === null ? false : result.name === path.at(-1);
        if (!result.ok && !result.todo && !result.skip) {
            process.stdout.write(`not ok: ${[...path, result.name].join(' > ')}\n`);
            if (result.diag) {
                process.stdout.write(`    ${JSON.stringify(result.diag).slice(0, 2000)}\n`);
            }
        }
        if (!isSummary && !result.skip) {
            if (result.ok || result.todo) passed += 1;
            else failed += 1;
        }
        if (path.length === 0) {
            const seconds = ((Date.now() - started) / 1000).toFixed(0);
            process.stdout.write(
                `${result.ok ? 'ok' : 'NOT OK'} ${relative('build/tests/test', result.name)} (${seconds} s)\n`,
            );
        }
    });
    parser.on('bailout', (reason) => {
        failed += 1;
        process.stdout.write(`bail out: ${reason}\n`);
    });
}

const parser = new Parser();
count(parser, []);
child.stdout.pipe(parser);
const [exitCode] = await Promise.all([
    new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1))),
    new Promise((resolve) => parser.on('complete', resolve)),
]);
if (exitCode !== 0 && failed === 0) {
    failed += 1;
    process.stdout.write(`the test runner ended with ${exitCode}\n`);
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
