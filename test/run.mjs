/*
 * Runs the compiled tests, three files at a time as they often wait, and ends with the line `N passed, N failed` counted
 * from their results. Arguments select files by a part of their path. Exits 1 when anything failed
 * or nothing ran.
 *
 * Each file is a process of its own that tells its results as TAP; they are compiled, so it needs none of the
 * hooks that tap's own runner loads into each, which take longer than most files.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Parser } from 'tap-parser';

const LANES = 3;
const FILE_LIMIT_MS = 600_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiled = join(root, 'build', 'tests', 'test');
const patterns = process.argv.slice(2);

const files = readdirSync(compiled, { recursive: true })
    .filter((name) => name.endsWith('.test.js'))
    .filter((name) => patterns.length === 0 || patterns.some((one) => name.includes(one)))
    .sort();
if (files.length === 0) {
    process.stderr.write('no test file matches\n');
    process.exit(1);
}

/** Of all files. */
const total = { passed: 0, failed: 0 };
const started = Date.now();

function secondsSince(begin) {
    return ((Date.now() - begin) / 1000).toFixed(0);
}

function reportFailure(tally, path, name, diagnosis) {
    tally.failed += 1;
    process.stdout.write(`not ok: ${[...path, name].join(' > ')}\n`);
    if (diagnosis) {
        process.stdout.write(`    ${JSON.stringify(diagnosis).slice(0, 2000)}\n`);
    }
}

/** Counts assertions at whatever depth; the line that sums up a group counts only if nothing in it tells why it failed. */
function count(parser, path, tally) {
    const groups = new Map();
    parser.on('child', (inner) => {
        groups.set(inner.name, tally.failed);
        count(inner, [...path, inner.name], tally);
    });
    parser.on('assert', (result) => {
        const failedBefore = groups.get(result.name);
        const isGroup = groups.delete(result.name);
        const accepted = result.ok || result.todo;
        if (!accepted && (!isGroup || tally.failed === failedBefore)) {
            reportFailure(tally, path, result.name, result.diag);
        } else if (accepted && !isGroup && !result.skip) {
            tally.passed += 1;
        }
        if (result.skip) {
            process.stdout.write(`skipped: ${[...path, result.name].join(' > ')}: ${result.skip}\n`);
        }
    });
    parser.on('bailout', (reason) => reportFailure(tally, path, 'bail out', { reason }));
}

/** Resolves when the process has ended and all it has told is counted. */
async function runFile(name) {
    const begin = Date.now();
    const child = spawn(process.execPath, ['--enable-source-maps', join(compiled, name)], {
        cwd: root,
        stdio: ['ignore', 'pipe', 'inherit'],
        // Of files that set no limit of their own; tap's is 30 s.
        env: { ...process.env, TAP_TIMEOUT: String(FILE_LIMIT_MS / 1000) },
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), FILE_LIMIT_MS);
    const parser = new Parser();
    const tally = { passed: 0, failed: 0 };
    count(parser, [name], tally);
    const told = once(parser, 'complete');
    child.stdout.pipe(parser);
    const [[code, signal], [results]] = await Promise.all([once(child, 'close'), told]);
    clearTimeout(timer);
    const isFine = code === 0 && results.ok;
    if (!isFine && tally.failed === 0) {
        reportFailure(tally, [name], 'the process', { code, signal, ...results });
    }
    total.passed += tally.passed;
    total.failed += tally.failed;
    const times = `${secondsSince(begin)} s, at ${secondsSince(started)} s`;
    process.stdout.write(`${isFine ? 'ok' : 'NOT OK'} ${name} (${times})\n`);
}

async function runLane(names) {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
        await runFile(name);
    }
}

const waiting = [...files];
await Promise.all(Array.from({ length: LANES }, () => runLane(waiting)));
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);
