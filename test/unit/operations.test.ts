// What a process in service is made of: counts, health, roles (operations 1.4-1.8, 4.7).
import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import t from 'tap';
import { drain } from '#lib/app/drain.js';
import { healthChecks, isDependency, type HealthSubjects } from '#lib/app/health-checks.js';
import { systemClock } from '#lib/base/clock.js';
import { baseDirectories } from '#lib/base/directories.js';
import { makeDirectory } from '#lib/base/durable-files.js';
import { forEachParallel, forEachParallelToEnd } from '#lib/base/parallel.js';
import { recent } from '#lib/base/recent.js';
import { Tally } from '#lib/base/tally.js';
import { MemoryDatabase } from '#lib/database/memory/memory-database.js';
import type { HttpServer, RequestInFlight } from '#lib/http/server.js';
import { BaseLock } from '#lib/lock/base-lock.js';
import { type HealthCheck, HealthMonitor, HealthProblem, judgeFree } from '#lib/maintenance/health.js';
import { FIELDS } from '#lib/manifest/fields.js';
import type { Storage } from '#lib/storage/storage.js';
import { FaultyMemory } from '../doubles/faulty-storage.js';
import { recordingLog } from '../helpers/recording-log.js';

void t.test('a tally counts by labels', (t) => {
    const tally = new Tally<'a' | 'b'>();
    tally.add({ a: 'x', b: 'y' });
    tally.add({ a: 'x', b: 'y' }, 4);
    tally.add({ a: 'xy', b: '' });
    const counts: Record<string, number> = {};
    tally.forEach((labels, value) => (counts[`${labels.a},${labels.b}`] = value));
    t.same(counts, { 'x,y': 5, 'xy,': 1 });
    t.equal(tally.get({ a: 'x', b: 'y' }), 5);
    t.equal(tally.get({ a: 'y', b: 'x' }), 0);
    t.end();
});

void t.test('an answer that is dear to get is shared until it is old', async (t) => {
    const clock = { time: 1000, now: () => clock.time };
    let asked = 0;
    const ask = recent(async () => Promise.resolve((asked += 1)), 100, clock);
    t.same(await Promise.all([ask(), ask()]), [1, 1]);
    clock.time += 100;
    t.equal(await ask(), 1);
    clock.time += 1;
    t.equal(await ask(), 2);
    clock.time -= 1000;
    t.equal(await ask(), 3, 'a clock that was set back does not make it last');
});

void t.test('directories made by many at once', async (t) => {
    const base = t.testdir();
    const paths = ['a', 'a/b/c', 'a/b/d', 'a/b', 'a/b/c', 'e/f/g/h', 'e'].map((path) => join(base, path));
    await Promise.all(paths.map(makeDirectory));
    for (const path of paths) t.ok(statSync(path).isDirectory(), path);
    t.equal(statSync(join(base, 'e/f')).mode & 0o777, 0o750);
    for (let round = 0; round < 50; round += 1) {
        const deep = join(base, `${round}`, 'x', 'y', 'z');
        // Some begin while others are halfway.
        await Promise.all(
            Array.from({ length: 8 }, async (_none, turn) => {
                for (let wait = 0; wait < turn; wait += 1) {
                    await new Promise((resolve) => setImmediate(resolve));
                }
                await makeDirectory(deep);
            }),
        );
        t.ok(statSync(deep).isDirectory());
    }
    writeFileSync(join(base, 'file'), '');
    const below = [join(base, 'file'), join(base, 'file', 'x')];
    for (const path of below) {
        const both = await Promise.allSettled([makeDirectory(path), makeDirectory(path)]);
        t.match(both, [{ status: 'rejected' }, { status: 'rejected' }], 'a file is in the way');
    }
    rmSync(join(base, 'file'));
    await makeDirectory(join(base, 'file', 'x'));
    t.ok(statSync(join(base, 'file', 'x')).isDirectory(), 'a failure is not kept');
});

void t.test('of parallel tasks all run, or none after a failure', async (t) => {
    const done: number[] = [];
    const task = async (n: number): Promise<void> => {
        await Promise.resolve();
        if (n === 2) throw new Error(`no ${n}`);
        done.push(n);
    };
    await t.rejects(forEachParallelToEnd([1, 2, 3, 4], 2, task), { message: 'no 2' });
    t.same(done.splice(0).sort(), [1, 3, 4]);
    await t.rejects(forEachParallel([2, 3, 4], 1, task), { message: 'no 2' });
    t.same(done, []);
    async function* three(): AsyncGenerator<number> {
        yield* [1, 3, 4];
        throw new Error('no more');
    }
    await t.rejects(forEachParallel(three(), 2, task), { message: 'no more' });
    t.same(done.splice(0), [1, 3, 4], 'what there was of a list that broke off');
});

void t.test('the schemas of the field table are schemas', (t) => {
    const ajv = new Ajv({ strict: true, allowUnionTypes: true, formats: { uri: true } });
    for (const { name, schema } of FIELDS) t.ok(ajv.validateSchema(schema), name);
    t.end();
});

void t.test('health', (t) => {
    void t.test('free space and inodes', (t) => {
        const judged = (free?: number, total?: number): unknown => {
            try {
                judgeFree('space', free, total, { freeBytes: free });
                return;
            } catch (error) {
                return error;
            }
        };
        for (const [free, total] of [
            [undefined, 100],
            [5, undefined],
            [0, 0],
            [10, 100],
        ] as const) {
            t.equal(judged(free, total), undefined, `${free} of ${total}`);
        }
        for (const [free, impact] of [
            [9.9, 'degraded'],
            [1, 'degraded'],
            [0.9, 'down'],
        ] as const) {
            const problem = judged(free, 100);
            t.ok(problem instanceof HealthProblem);
            t.match(problem, { impact, facts: { freeBytes: free } });
        }
        t.end();
    });

    void t.test('a full disk is down only where nothing else is there to read from', async (t) => {
        const full = { type: 'local', check: async () => ({ freeBytes: 1, totalBytes: 1000 }) } as Storage;
        const other = { type: 'manta', check: async () => ({}) } as Storage;
        const impactOf = async (...storages: Storage[]): Promise<unknown> => {
            const checks = healthChecks({ storages } as unknown as HealthSubjects);
            const report = await new HealthMonitor(
                checks.filter(({ name }) => name.startsWith('stor.')),
                { now: () => 0 },
            ).report();
            t.match(report.checks['stor.local'], {
                ok: false,
                freeBytes: 1,
                error: 'only 0.1 % of space free',
            });
            return report.status;
        };
        t.equal(await impactOf(full), 'down');
        t.equal(await impactOf(other, full), 'degraded');
    });

    void t.test('the worst counts; a result keeps its beginning', async (t) => {
        const clock = { time: 1_000_000, now: () => clock.time };
        const failing = new Set<string>();
        const check = (name: string, impact: HealthCheck['impact']): HealthCheck => ({
            name,
            impact,
            run: () =>
                failing.has(name) ? Promise.reject(new Error(`${name}!`)) : Promise.resolve({ fact: 1 }),
        });
        const monitor = new HealthMonitor([check('database', 'down'), check('records', 'degraded')], clock);
        t.match(await monitor.report(), { status: 'ok', checks: { database: { ok: true, fact: 1 } } });
        failing.add('records');
        t.equal((await monitor.report()).status, 'ok', 'kept for 10 s');
        clock.time += 10_001;
        const since = new Date(clock.time).toISOString();
        const expected = { ok: false, since, error: 'records!' };
        t.match(await monitor.report(), { status: 'degraded', checks: { records: expected } });
        failing.add('database');
        clock.time += 10_001;
        t.match(await monitor.report(), { status: 'down', checks: { records: expected } });
    });

    void t.test('what does not answer is not asked again', async (t) => {
        const clock = { time: 0, now: () => clock.time };
        let asked = 0;
        let answer: (facts: object) => void = () => undefined;
        const run = (): Promise<Record<string, unknown>> => {
            asked += 1;
            return new Promise((resolve) => (answer = resolve as typeof answer));
        };
        const monitor = new HealthMonitor([{ name: 'database', impact: 'down', run }], clock);
        const hold = setInterval(() => undefined, 1000);
        const first = await monitor.report();
        t.match(first, { status: 'down', checks: { database: { error: 'no answer within 3000 ms' } } });
        clock.time += 10_001;
        const second = monitor.report();
        t.equal(asked, 1, 'the same question is waited for');
        answer({ late: true });
        t.match(await second, { status: 'ok', checks: { database: { late: true } } });
        clock.time += 10_001;
        const third = monitor.report();
        t.equal(asked, 2);
        answer({});
        await third;
        clearInterval(hold);
    });

    void t.test('the checks of a server', async (t) => {
        const storage = new FaultyMemory();
        const { log } = recordingLog();
        const directories = baseDirectories(t.testdir());
        let bad = 0;
        let requireRoom = (): void => undefined;
        const workflows: { problem: string | undefined } = { problem: 'ECONNREFUSED' };
        const checks = healthChecks({
            database: new MemoryDatabase(),
            storages: [storage],
            skippedRecords: () => 2,
            accounts: {
                exists: async () => false,
                login: async () => undefined,
                ping: () => Promise.reject(new Error('no answer')),
                close: async () => undefined,
            },
            keys: { keysOf: () => [], counts: () => ({}) },
            jobs: { countBad: async () => bad, requireRoom: () => requireRoom() },
            workflows,
            lock: new BaseLock({ directories, log, clock: systemClock, app: 'test' }),
            foreignOwner: undefined,
            certificateExpiry: () => Date.now() + 13.5 * 86_400_000,
        });
        const report = await new HealthMonitor(checks, systemClock).report();
        t.equal(report.status, 'degraded');
        t.match(report.checks, {
            database: { ok: true },
            'stor.local': { ok: true },
            records: { ok: false, error: /^2 record/ },
            ufds: { ok: false, error: /no answer/ },
            authkeys: { ok: false, error: /no keys/ },
            jobs: { ok: true },
            wfapi: { ok: false, error: 'ECONNREFUSED' },
            lock: { ok: true, held: false },
            tls: { ok: false, error: 'the TLS certificate ends in 13 day(s)', daysLeft: 13 },
        });
        const jobsNow = async () => (await new HealthMonitor(checks, systemClock).report()).checks['jobs'];
        bad = 2;
        t.match(await jobsNow(), { ok: false, error: /^2 job file/ });
        bad = 0;
        requireRoom = () => {
            throw new Error('job queue is full');
        };
        t.match(await jobsNow(), { ok: false, error: 'job queue is full' });
        workflows.problem = undefined;
        t.match((await new HealthMonitor(checks, systemClock).report()).checks['wfapi'], { ok: true });
        t.same(Object.keys(report.checks).filter(isDependency), ['database', 'stor.local', 'ufds', 'wfapi']);
        storage.faults.fail('check', new Error('gone'));
        t.equal((await new HealthMonitor(checks, systemClock).report()).status, 'down', 'the only storage');
    });
    t.end();
});

void t.test('a drain lets nobody write once it has given the lock away', async (t) => {
    const events: string[] = [];
    const request = (modifying: boolean): RequestInFlight => ({
        req_id: '',
        route: null,
        bytes: 0,
        since: '',
        modifying,
    });
    let running = [request(true), request(false)];
    const http: HttpServer = {
        listen: () => Promise.resolve(0),
        attach: () => undefined,
        take: () => undefined,
        stopAccepting: () => events.push('stopAccepting'),
        closeIdleConnections: () => events.push('closeIdle'),
        inFlight: () => running,
        endStreams: () => events.push('endStreams'),
        abortAll: () => {
            events.push('abortAll');
            running = [];
        },
        close: async () => Promise.resolve(void events.push('close')),
    };
    const options = { http, log: recordingLog().log, delaySeconds: 0 };
    const releaseWriter = async (): Promise<void> => {
        events.push(`release with ${running.length}`);
        running = [];
        return Promise.resolve();
    };
    const draining = drain({ ...options, limitSeconds: 60, releaseWriter });
    await new Promise((resolve) => setImmediate(resolve));
    t.same(events, ['endStreams', 'stopAccepting', 'closeIdle'], 'a change is under way');
    running = [request(false)];
    await draining;
    t.same(events.splice(0), ['endStreams', 'stopAccepting', 'closeIdle', 'release with 1', 'close']);

    running = [request(true)];
    await drain({ ...options, limitSeconds: 0, releaseWriter });
    t.same(events, ['endStreams', 'stopAccepting', 'closeIdle', 'abortAll', 'release with 0', 'close']);
});
