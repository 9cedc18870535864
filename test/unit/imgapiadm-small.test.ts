import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '#lib/base/clock.js';
import type { BaseDirectories } from '#lib/base/config-types.js';
import { baseDirectories } from '#lib/base/directories.js';
import { BaseLock } from '#lib/lock/base-lock.js';
import { allSubcommands } from '#lib/cli/imgapiadm/subcommands.js';
import { readBootId } from '#lib/lock/process-identity.js';
import { WatchedLock } from '#lib/lock/watched-lock.js';
import { runTool } from '../helpers/admin-tool.js';
import { recordingLog } from '../helpers/recording-log.js';
import { runHere } from '../helpers/subcommand-run.js';

const SUBCOMMANDS = await allSubcommands();

const NEVER = new AbortController().signal;
/** Of no process: beyond the largest id. */
const NO_PID = 4_194_305;

/** A base directory, with a configuration in its place. */
function setUp(t: Test) {
    const base = t.testdir({ run: {}, etc: {} });
    const config = { httpProxy: 'http://u:hunter2@proxy', dataDir: base, typo: 1 };
    writeFileSync(join(base, 'etc/imgapi.config.json'), JSON.stringify(config));
    const directories = baseDirectories(base);
    const path = join(directories.run, 'imgapi.lock');
    const environment = { IMGAPI_DATA: base };
    const run = (name: string, ...args: readonly string[]) => {
        const subcommand = SUBCOMMANDS.find((one) => one.name === name);
        if (subcommand === undefined) throw new Error(`no subcommand ${name}`);
        return runHere(subcommand, args, environment);
    };
    const runProcess = (...args: readonly string[]) => runTool(args, environment);
    const leave = async (record: Record<string, unknown>): Promise<string> => {
        const bootId = await readBootId();
        const whole = { pid: NO_PID, host: hostname(), bootId, app: 'imgapi 5', at: '2026-01-01', ...record };
        writeFileSync(path, JSON.stringify(whole));
        return JSON.stringify(whole);
    };
    return { base, directories, path, run, runProcess, leave };
}

void t.test('config and check-config', async (t) => {
    const { base, run, runProcess } = setUp(t);
    const whole = await runProcess('config');
    t.equal(whole.code, 0);
    t.match(JSON.parse(whole.stdout.join('\n')), {
        port: 8080,
        httpProxy: 'http://***@proxy',
        dataDir: base,
    });
    t.same((await run('config', 'storageTypes.0')).stdout, ['local']);
    t.match(await run('config', '--secrets', 'httpProxy'), { code: 0, stdout: ['http://u:hunter2@proxy'] });
    t.match(await run('config', 'manta.rootDir'), {
        code: 1,
        stdout: [],
        stderr: ['imgapiadm config: error: no property manta found'],
    });
    t.match(await run('config', 'a', 'b'), { code: 251, stderr: [/too many arguments: b/] });
    t.match(await run('config', '-c', join(base, 'none')), { code: 252, stderr: [/error: ENOENT/] });

    t.match(await run('check-config'), {
        code: 0,
        stdout: [],
        stderr: ['imgapiadm check-config: warning: unknown config key: typo'],
    });
    writeFileSync(join(base, 'bad.json'), '{"port": "x", "typo": 1}');
    const bad = await run('check-config', '-c', join(base, 'bad.json'));
    t.match(bad, { code: 1, stdout: ['config.port (finite) is required'] });
    const json = await run('check-config', '-j', '-c', join(base, 'bad.json'));
    t.same(
        json.stdout.map((line) => JSON.parse(line) as unknown),
        [
            { problem: 'config.port (finite) is required' },
            { warning: 'unknown config key: typo' },
            { summary: { path: join(base, 'bad.json'), problems: 1, warnings: 1 } },
        ],
    );
    t.match(await run('check-config', '-c', join(base, 'none')), { code: 1, stdout: [/ENOENT/] });
    t.match(await run('check-config', 'x'), { code: 251 });
});

void t.test('unlock', async (t) => {
    const { directories, path, run, runProcess, leave } = setUp(t);
    t.match(await run('unlock', '--force'), {
        code: 0,
        stdout: [`Lock:    ${path}`, 'State:   none', 'Outcome: there was nothing to remove'],
    });

    const text = await leave({});
    const stale = await run('unlock');
    t.match(stale, {
        code: 1,
        stdout: [
            `Lock:    ${path}`,
            `Holder:  process ${NO_PID} on ${hostname()}, imgapi 5, since 2026-01-01`,
            /^Renewed: \d+s ago$/,
            /^State: {3}stale: /,
        ],
    });
    t.match(await run('unlock', '--force', '-n'), { code: 1 });
    t.equal(readFileSync(path, 'utf8'), text, 'left alone');
    const removed = await runProcess('unlock', '--force', '--json');
    t.equal(removed.code, 0);
    t.match(
        removed.stdout.map((line) => JSON.parse(line) as unknown),
        [{ path, state: 'stale', holder: { pid: NO_PID } }, { summary: { state: 'stale', removed: true } }],
    );
    t.throws(() => readFileSync(path), { code: 'ENOENT' });

    const held = holder(directories);
    t.ok(await held.tryAcquire());
    t.match(await run('unlock'), { code: 0, stdout: { 3: /^State: {3}alive: / } });
    t.match(await run('unlock', '--force'), { code: 252, stdout: { 4: /not removed: its holder is alive/ } });
    t.ok(held.held);
    t.match(readFileSync(path, 'utf8'), `"pid":${process.pid}`);
    await held.release();

    await leave({ host: 'elsewhere', bootId: 'other' });
    t.match(await run('unlock', '-j'), {
        code: 1,
        stdout: [/"state":"foreign"/, '{"summary":{"state":"foreign"}}'],
    });
    writeFileSync(path, 'no lock');
    t.match(await run('unlock'), { stdout: { 1: 'Holder:  unknown, the file is no lock' } });
});

function holder(directories: BaseDirectories): BaseLock {
    return new BaseLock({ directories, log: recordingLog().log, clock: systemClock, app: 'test' });
}

void t.test('the lock of another machine', async (t) => {
    const { directories, path, leave } = setUp(t);
    const lock = new WatchedLock({ directories, clock: systemClock, app: 'test', watchMs: 1000 });
    const text = await leave({ host: 'elsewhere', bootId: 'other' });
    t.equal((await lock.look()).verdict, 'foreign');

    let renewed = Date.now();
    const timer = setInterval(() => utimesSync(path, new Date(), new Date((renewed += 1000))), 50);
    t.equal(await lock.remove(NEVER), 'alive', 'its holder renews it');
    clearInterval(timer);
    const stop = new AbortController();
    const stopped = lock.remove(stop.signal);
    stop.abort(new Error('enough'));
    await t.rejects(stopped, { name: 'AbortError' });
    t.equal(readFileSync(path, 'utf8'), text);

    writeFileSync(`${path}.take`, 'somebody');
    t.equal(await lock.remove(NEVER), 'busy', 'somebody takes it');
    t.equal(readFileSync(path, 'utf8'), text);
    utimesSync(`${path}.take`, 0, 0);
    t.equal(await lock.remove(NEVER), 'removed', 'nobody renews it');
    t.match(await lock.look(), { verdict: 'none' });

    const alive = holder(directories);
    t.ok(await alive.tryAcquire());
    writeFileSync(path, '');
    t.equal(await lock.remove(NEVER), 'alive', 'an empty file of a holder that listens');
    await alive.release();
});
