import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm, stat, unlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { systemClock } from '#lib/base/clock.js';
import { baseDirectories } from '#lib/base/directories.js';
import { createLogger } from '#lib/base/log.js';
import { BaseLock, type LockTiming } from '#lib/lock/base-lock.js';
import { canBeSocket, probeSocket } from '#lib/lock/liveness-socket.js';
import { lockText, ownRecord, readLockFile } from '#lib/lock/lock-record.js';
import { processState, readBootId } from '#lib/lock/process-identity.js';
import { judgeLock } from '#lib/lock/staleness.js';
import { removeExactly, withTakeGuard } from '#lib/lock/take-guard.js';

/** A process that tries for the lock and tells on stdout; `release` on stdin gives it up. */
const CONTENDER = `
import { createInterface } from 'node:readline';
import { systemClock } from '#lib/base/clock.js';
import { baseDirectories } from '#lib/base/directories.js';
import { createLogger } from '#lib/base/log.js';
import { BaseLock } from '#lib/lock/base-lock.js';
const [base, wait] = process.argv.slice(1);
const say = (event) => console.log(JSON.stringify({ event, at: Date.now() }));
const lock = new BaseLock({
    directories: baseDirectories(base), log: createLogger({ stream: { write: () => true } }),
    clock: systemClock, app: 'test',
});
lock.onLost(() => say('lost'));
createInterface({ input: process.stdin }).on('line', async (line) => {
    if (line === 'try') say((await lock.tryAcquire()) ? 'held' : 'refused');
    if (line === 'wait') { lock.waitForTakeover(async () => say('held')); say('waiting'); }
    if (line === 'release') { await lock.release(); say('released'); }
}).on('close', () => process.exit(0));
say('ready');
`;

/** A directory with a path short enough for a socket. */
async function baseDirectory(test: Test): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), 'lock-'));
    test.teardown(async () => rm(path, { recursive: true, force: true }));
    return path;
}

/** Waits for something that only timers without a hold on the process bring about. */
async function awake<T>(promise: Promise<T>): Promise<T> {
    const hold = setInterval(() => undefined, 1000);
    try {
        return await promise;
    } finally {
        clearInterval(hold);
    }
}

interface Contender {
    readonly pid: number;
    /** Sends a command and returns the event that answers it. */
    ask(command: string): Promise<string>;
    /** The next event and when it happened. */
    next(): Promise<{ event: string; at: number }>;
    kill(): Promise<void>;
}

async function contender(test: Test, base: string): Promise<Contender> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', CONTENDER, base], {
        stdio: ['pipe', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    test.teardown(async () => {
        child.kill('SIGKILL');
        await exited;
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async () => {
        const { value } = (await lines.next()) as { value: string };
        return JSON.parse(value) as { event: string; at: number };
    };
    test.equal((await next()).event, 'ready');
    return {
        pid: child.pid ?? 0,
        next,
        ask: async (command) => {
            child.stdin.write(`${command}\n`);
            return (await next()).event;
        },
        kill: async () => {
            child.kill('SIGKILL');
            await exited;
        },
    };
}

interface Written {
    readonly level: number;
    readonly msg: string;
}

function makeLock(base: string, timing: Partial<LockTiming> = {}) {
    const records: Written[] = [];
    const log = createLogger({ stream: { write: (line) => records.push(JSON.parse(line) as Written) } });
    const lock = new BaseLock({
        directories: baseDirectories(base),
        log,
        clock: systemClock,
        app: 'test',
        timing,
    });
    return { lock, records };
}

function runFiles(base: string): string[] {
    return readdirSync(join(base, 'run')).toSorted();
}

/** Puts a lock file in place as another process would have left it. */
async function plant(base: string, change: object): Promise<string> {
    const path = join(base, 'run', 'imgapi.lock');
    mkdirSync(join(base, 'run'), { recursive: true });
    writeFileSync(path, JSON.stringify({ ...(await ownRecord('planted', systemClock)), ...change }));
    return path;
}

/** The id of a process that has ended. */
async function deadPid(): Promise<number> {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    return child.pid ?? 0;
}

await t.test('a lone process takes, keeps and releases the lock', async (test) => {
    const base = await baseDirectory(test);
    const { lock } = makeLock(base, { refreshMs: 20 });
    test.equal(lock.held, false);
    test.equal(await lock.tryAcquire(), true);
    test.equal(await lock.tryAcquire(), true, 'again: still held');
    test.equal(lock.held, true);
    test.same(runFiles(base), ['imgapi.lock', 'imgapi.sock'], 'no guard, no temporary file stays');
    const path = join(base, 'run', 'imgapi.lock');
    test.match(JSON.parse(readFileSync(path, 'utf8')), {
        pid: process.pid,
        startTime: (await processState(process.pid))?.startTime,
        host: hostname(),
        bootId: await readBootId(),
        app: 'test',
        at: /^\d{4}-/,
    });
    test.equal((await stat(path)).mode & 0o777, 0o640);
    test.equal(await probeSocket(join(base, 'run', 'imgapi.sock')), 'alive');

    utimesSync(path, 1000, 1000);
    while ((await stat(path)).mtimeMs < 2_000_000) {
        await new Promise((resolve) => setImmediate(resolve));
    }
    test.pass('the mtime is refreshed');

    await unlink(path);
    while (!existsSync(path)) {
        await new Promise((resolve) => setImmediate(resolve));
    }
    test.equal(lock.held, true, 'a removed lock file is made again');

    await lock.release();
    test.equal(lock.held, false);
    test.same(runFiles(base), []);
    await lock.release();
    test.equal(await lock.tryAcquire(), true, 'can be taken again');
    await lock.release();
});

await t.test('several processes', async (test) => {
    const base = await baseDirectory(test);
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => contender(test, base)));
    if (one === undefined || two === undefined || three === undefined) {
        throw new Error('three contenders were started');
    }
    test.equal(await one.ask('try'), 'held');
    test.equal(await two.ask('try'), 'refused');
    test.equal(await two.ask('wait'), 'waiting');

    const killed = Date.now();
    await one.kill();
    const taken = await two.next();
    test.equal(taken.event, 'held');
    test.ok(taken.at - killed <= 2000, `taken over ${taken.at - killed} ms after kill -9`);

    test.equal(await three.ask('wait'), 'waiting');
    const released = Date.now();
    test.equal(await two.ask('release'), 'released');
    const passed = await three.next();
    test.equal(passed.event, 'held');
    test.ok(passed.at - released <= 2000, `taken over ${passed.at - released} ms after the release`);
    test.equal(await two.ask('try'), 'refused');
    test.match(JSON.parse(readFileSync(join(base, 'run', 'imgapi.lock'), 'utf8')), { pid: three.pid });
    test.same(runFiles(base), ['imgapi.lock', 'imgapi.sock']);
});

await t.test('a race of eight processes has one winner, from nothing and from a stale lock', async (test) => {
    const base = await baseDirectory(test);
    const racers = await Promise.all(Array.from({ length: 8 }, () => contender(test, base)));
    let alive = racers;
    for (let round = 0; round < 4; round += 1) {
        const events = await Promise.all(alive.map(async (racer) => racer.ask('try')));
        const winners = alive.filter((_, index) => events[index] === 'held');
        test.equal(winners.length, 1, `round ${round}: ${events.join(' ')}`);
        test.match(JSON.parse(readFileSync(join(base, 'run', 'imgapi.lock'), 'utf8')), {
            pid: winners[0]?.pid,
        });
        await winners[0]?.kill();
        alive = alive.filter((racer) => racer !== winners[0]);
    }
});

await t.test('what is stale and what is not', async (test) => {
    const base = await baseDirectory(test);
    const socket = join(base, 'run', 'imgapi.sock');
    const self = await ownRecord('test', systemClock);
    const gone = await deadPid();
    const judge = async (change: object, socketPath = socket): Promise<string> => {
        const file = await readLockFile(await plant(base, change));
        return file === undefined ? 'absent' : await judgeLock(file, self, socketPath, Date.now());
    };
    const elsewhere = { host: 'elsewhere', bootId: 'other-boot' };
    const tooLong = join(base, 'x'.repeat(110));
    test.notOk(canBeSocket(tooLong));

    test.equal(await judge({}), 'alive', 'this very process');
    test.equal(await judge({ pid: gone }), 'stale', 'the process is gone');
    test.equal(await judge({ startTime: 1 }), 'stale', 'the id belongs to another process by now');
    test.equal(await judge({ startTime: undefined }), 'alive');
    test.equal(await judge({ bootId: 'other-boot' }), 'stale', 'the machine was started again');
    test.equal(await judge({ bootId: undefined, pid: gone }), 'stale');
    test.equal(await judge(elsewhere), 'foreign');
    test.equal(await judge({ ...elsewhere, bootId: undefined }), 'foreign');
    test.equal(await judge({ host: 'container' }), 'stale', 'same boot, no socket');
    test.equal(await judge({ host: 'container' }, tooLong), 'foreign', 'same boot, nothing that could tell');
    test.equal(await judge({ pid: gone }, tooLong), 'stale', 'no socket possible: by process id');
    test.equal(await judge({}, tooLong), 'alive');
    test.equal(await judge({ pid: 'x' }), 'alive', 'unreadable, but new');
    const path = await plant(base, { pid: 'x' });
    utimesSync(path, 1000, 1000);
    const old = await readLockFile(path);
    test.equal(old && (await judgeLock(old, self, socket, Date.now())), 'stale', 'unreadable and old');

    const server = createServer((connection) => connection.destroy());
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    test.teardown(() => server.close());
    test.equal(await judge({ pid: gone }), 'alive', 'the socket answers');
    test.equal(await judge({ host: 'container' }), 'alive', 'the socket answers');
    test.equal(await judge({ bootId: 'other-boot' }), 'stale');
    test.equal(await judge(elsewhere), 'foreign');
    test.equal(old && (await judgeLock(old, self, socket, Date.now())), 'alive');
});

await t.test('a lock of another machine is never taken', async (test) => {
    const base = await baseDirectory(test);
    const path = await plant(base, { host: 'elsewhere', bootId: 'other-boot', pid: await deadPid() });
    utimesSync(path, 1000, 1000);
    const before = readFileSync(path, 'utf8');
    const { lock, records } = makeLock(base);
    for (let attempt = 0; attempt < 3; attempt += 1) {
        test.equal(await lock.tryAcquire(), false);
    }
    test.equal(lock.foreign, true);
    test.equal(readFileSync(path, 'utf8'), before);
    test.equal(records.filter((record) => record.level === 50).length, 1, 'told once a minute');
    test.same(runFiles(base), ['imgapi.lock']);
    await unlink(path);
    test.equal(await lock.tryAcquire(), true, 'once an operator has removed it');
    test.equal(lock.foreign, false);
    await lock.release();
});

await t.test('stale locks are taken', async (test) => {
    for (const change of [
        { bootId: 'other-boot' },
        { pid: await deadPid() },
        { host: 'container' },
        { startTime: 1 },
    ]) {
        const base = await baseDirectory(test);
        await plant(base, change);
        const { lock } = makeLock(base);
        test.equal(await lock.tryAcquire(), true, JSON.stringify(change));
        test.same(runFiles(base), ['imgapi.lock', 'imgapi.sock']);
        await lock.release();
    }
});

await t.test('a path too long for a socket', async (test) => {
    const base = join(await baseDirectory(test), 'x'.repeat(60), 'y'.repeat(60));
    const { lock } = makeLock(base);
    test.equal(await lock.tryAcquire(), true);
    test.same(runFiles(base), ['imgapi.lock']);
    test.equal(await makeLock(base).lock.tryAcquire(), false);
    await lock.release();
    test.same(runFiles(base), []);
});

await t.test('a holder that finds another owner', async (test) => {
    const base = await baseDirectory(test);
    const { lock, records } = makeLock(base, { refreshMs: 10 });
    await lock.tryAcquire();
    const path = join(base, 'run', 'imgapi.lock');
    const lost = new Promise<void>((resolve) => lock.onLost(resolve));
    await unlink(path);
    const usurper = await plant(base, { app: 'usurper' });
    await awake(lost);
    test.equal(lock.held, false);
    test.match(records.at(-1), { level: 60, msg: 'the lock has another owner' });
    await lock.release();
    test.match(JSON.parse(readFileSync(usurper, 'utf8')), { app: 'usurper' }, "the other's lock stays");
});

await t.test('the guard of a take-over', async (test) => {
    const base = await baseDirectory(test);
    const guard = join(base, 'guard');
    const inside = await withTakeGuard(guard, 'one', Date.now(), async () => {
        test.equal(readFileSync(guard, 'utf8'), 'one');
        return await withTakeGuard(guard, 'two', Date.now(), async () => 'never');
    });
    test.equal(inside, undefined, 'one at a time');
    test.notOk(existsSync(guard));

    writeFileSync(guard, 'left behind');
    test.equal(await withTakeGuard(guard, 'two', Date.now(), async () => 'x'), undefined, 'fresh: respected');
    const old = Date.now() / 1000 - 11;
    utimesSync(guard, old, old);
    test.equal(await withTakeGuard(guard, 'two', Date.now(), async () => 'x'), 'x', 'stale after 10 s');
    test.notOk(existsSync(guard));
    await test.rejects(
        withTakeGuard(guard, 'one', Date.now(), async () => {
            throw new Error('inside');
        }),
        { message: 'inside' },
    );
    test.notOk(existsSync(guard), 'removed after a failure');
    await withTakeGuard(guard, 'one', Date.now(), async () => writeFileSync(guard, 'taken by another'));
    test.equal(readFileSync(guard, 'utf8'), 'taken by another', "another's guard stays");

    test.equal(await removeExactly(guard, 'something else'), false);
    test.equal(readFileSync(guard, 'utf8'), 'taken by another', 'what was not judged is put back');
    test.equal(await removeExactly(guard, 'taken by another'), true);
    test.equal(await removeExactly(guard, 'taken by another'), false);
    test.same(readdirSync(base), []);
});

await t.test('waiting', async (test) => {
    const base = await baseDirectory(test);
    const first = makeLock(base).lock;
    await first.tryAcquire();
    const { lock, records } = makeLock(base, { retryMs: 10 });
    let failures = 0;
    const acquired = new Promise<void>((resolve) => {
        lock.waitForTakeover(async () => {
            failures += 1;
            if (failures < 3) {
                throw new Error('not yet');
            }
            resolve();
        });
    });
    await first.release();
    await awake(acquired);
    test.equal(failures, 3, 'a failed start is tried again');
    test.equal(lock.held, true);
    test.equal(records.filter((record) => record.level === 50).length, 1);
    await lock.release();

    await first.tryAcquire();
    let called = false;
    lock.waitForTakeover(async () => {
        called = true;
    });
    await lock.release();
    await first.release();
    test.equal(await first.tryAcquire(), true, 'a released lock does not wait any more');
    test.equal(called, false);
    await first.release();
});

await t.test('small parts', async (test) => {
    const record = await ownRecord('test', systemClock);
    test.not(lockText(record), lockText(record), 'no two locks are alike');
    test.equal(await processState(await deadPid()), undefined);
    test.equal(await processState(0), undefined);
    test.equal(await processState(-1), undefined);
    test.ok(await processState(1), 'a process of another user');
    const directory = await baseDirectory(test);
    writeFileSync(join(directory, 'file'), 'x');
    writeFileSync(join(directory, 'huge'), 'y'.repeat(70_000));
    test.equal(await probeSocket(join(directory, 'file')), 'silent');
    test.equal(await probeSocket(join(directory, 'absent')), 'silent');
    test.equal((await readLockFile(join(directory, 'huge')))?.record, undefined);
    test.equal(await readLockFile(join(directory, 'absent')), undefined);
    await test.rejects(readLockFile(directory), { code: 'EISDIR' });
});
