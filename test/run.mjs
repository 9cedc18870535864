/*
 * Runs the compiled tests, three files at a time as they often wait, and ends with the line `N passed, N failed` counted
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
    [tap, 'run', '--reporter=tap', '--disable-coverage', '--jobs=3', '--timeout=600', ...files],
    { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
);

let passed = 0;
let failed = 0;
const started = Date.now();

function reportFailure(path, result) {
    process.stdout.write(`not ok: ${[...path, result.name].join(' > ')}\n`);
    if (result.diag) {
        process.stdout.write(`    ${JSON.stringify(result.diag).slice(0, 2000)}\n`);
    }
}

function reportFile(result) {
    const seconds = ((Date.now() - started) / 1000).toFixed(0);
    const own = result.time === null ? '' : `${(result.time / 1000).toFixed(0)} s, `;
    process.stdout.write(
        `${result.ok ? 'ok' : 'NOT OK'} ${relative('build/tests/test', result.name)} (${own}at ${seconds} s)\n`,
    );
}

/** Counts assertions at whatever depth; the line that sums up a group counts only if nothing in it tells why it failed. */
function count(parser, path) {
    const groups = new Map();
    parser.on('child', (inner) => {
        groups.set(inner.name, failed);
        count(inner, [...path, inner.name]);
    });
    parser.on('assert', (result) => {
        const failedBefore = groups.get(result.name);
        const isGroup = groups.delete(result.name);
        const accepted = result.ok || result.todo;
        if (!accepted && (!isGroup || failed === failedBefore)) {
            failed += 1;
            reportFailure(path, result);
        } else if (accepted && !isGroup && !result.skip) {
            passed += 1;
        }
        if (result.skip) {
            process.stdout.write(`skipped: ${[...path, result.name].join(' > ')}: ${result.skip}\n`);
        }
        if (path.length === 0) {
            reportFile(result);
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
