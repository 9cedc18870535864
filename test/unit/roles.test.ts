import t, { type Test } from 'tap';
import { type RoleActions, Roles } from '#lib/app/roles.js';
import { systemClock } from '#lib/base/clock.js';
import { baseDirectories } from '#lib/base/directories.js';
import { BaseLock } from '#lib/lock/base-lock.js';
import { recordingLog } from '../helpers/recording-log.js';

/** Roles whose actions are noted in order. */
function rolesOf(
    t: Test,
    base: string,
    changes: Partial<RoleActions> = {},
    writers: 'all' | 'holder' = 'holder',
) {
    const { log, records } = recordingLog();
    const lock = new BaseLock({
        directories: baseDirectories(base),
        log,
        clock: systemClock,
        app: 'test',
        timing: { retryMs: 10 },
    });
    t.teardown(() => lock.release());
    const events: string[] = [];
    const note = (event: string) => async (): Promise<void> => {
        events.push(event);
        return Promise.resolve();
    };
    const roles = new Roles({
        lock,
        writers,
        actions: {
            load: note('load'),
            becomeWriter: note('becomeWriter'),
            settle: note('settle'),
            openJobs: note('openJobs'),
            startTasks: () => events.push('startTasks'),
            endWriting: note(`endWriting`),
            fail: (error) => events.push(`fail: ${error.message}`),
            ...changes,
        },
        log,
    });
    return { roles, events, lock, records };
}

void t.test('the first writes, the second takes over when the first has ended its writing', async (t) => {
    const hold = setInterval(() => undefined, 1000);
    const base = t.testdir();
    let wasWriting: boolean | undefined;
    const first = rolesOf(t, base, {
        endWriting: async () => {
            wasWriting = first.roles.isWriter();
            t.ok(first.lock.held, 'the lock is kept until writing has ended');
            return Promise.resolve();
        },
    });
    await first.roles.start();
    t.same(first.events, ['becomeWriter', 'load', 'settle', 'openJobs', 'startTasks']);
    t.ok(first.roles.isWriter() && first.roles.isHolder());

    let tell: () => void = () => undefined;
    const started = new Promise<void>((resolve) => (tell = resolve));
    const second = rolesOf(t, base, { startTasks: () => tell() });
    await second.roles.start();
    t.same(second.events, ['load']);
    t.notOk(second.roles.isWriter());
    await first.roles.release();
    t.equal(wasWriting, false, 'changes are refused before the lock is free');
    t.notOk(first.roles.isHolder());
    await started;
    t.same(second.events, ['load', 'becomeWriter', 'settle', 'openJobs']);
    t.ok(second.roles.isWriter());
    clearInterval(hold);
});

void t.test('where all processes write, the lock only decides who runs the background tasks', async (t) => {
    const hold = setInterval(() => undefined, 1000);
    const base = t.testdir();
    const first = rolesOf(t, base, {}, 'all');
    await first.roles.start();
    t.same(first.events, ['becomeWriter', 'load', 'openJobs', 'startTasks']);
    let tell: () => void = () => undefined;
    const started = new Promise<void>((resolve) => (tell = resolve));
    const second = rolesOf(t, base, { startTasks: () => tell() }, 'all');
    await second.roles.start();
    t.ok(first.roles.isWriter() && second.roles.isWriter());
    t.same([first.roles.isHolder(), second.roles.isHolder()], [true, false]);
    t.same(second.events, ['load']);
    await first.roles.release();
    t.notOk(first.roles.isWriter());
    await started;
    t.ok(second.roles.isWriter() && second.roles.isHolder());
    await second.roles.release();
    t.notOk(second.roles.isWriter());
    clearInterval(hold);
});

void t.test('a disk without room for the lock keeps those from writing only that need it', async (t) => {
    for (const [writers, consequence] of [
        ['holder', 'reading only until it can'],
        ['all', 'no background tasks here until it can'],
    ] as const) {
        const { roles, events, lock, records } = rolesOf(t, t.testdir(), {}, writers);
        lock.tryAcquire = () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }));
        await roles.start();
        t.equal(roles.isWriter(), writers === 'all', writers);
        t.same(events, ['load']);
        t.same(
            records.filter(({ level }) => level === 50).map(({ msg }) => msg),
            [`the disk is full, the lock cannot be taken: ${consequence}`],
        );
        await roles.release();
    }
});

void t.test('a stop that comes during the take-over ends in no writer', async (t) => {
    const hold = setInterval(() => undefined, 1000);
    const base = t.testdir();
    const first = rolesOf(t, base);
    await first.roles.start();
    let taking: () => void = () => undefined;
    let goOn: () => void = () => undefined;
    const isTaking = new Promise<void>((resolve) => (taking = resolve));
    const mayGoOn = new Promise<void>((resolve) => (goOn = resolve));
    const second = rolesOf(t, base, {
        settle: async () => {
            taking();
            await mayGoOn;
        },
    });
    await second.roles.start();
    await first.roles.release();
    await isTaking;
    const released = second.roles.release();
    goOn();
    await released;
    t.notOk(second.roles.isWriter());
    t.notOk(second.roles.isHolder());
    t.notOk(second.events.includes('openJobs'));
    t.notOk(second.events.includes('startTasks'));
    clearInterval(hold);
});

void t.test('a take-over that fails ends the process', async (t) => {
    const hold = setInterval(() => undefined, 1000);
    const base = t.testdir();
    const first = rolesOf(t, base);
    await first.roles.start();
    let tell: (error: Error) => void = () => undefined;
    const failed = new Promise<Error>((resolve) => (tell = resolve));
    const second = rolesOf(t, base, {
        becomeWriter: () => Promise.reject(new Error('disk')),
        fail: (error) => tell(error),
    });
    await second.roles.start();
    await first.roles.release();
    t.equal((await failed).message, 'disk');
    t.notOk(second.roles.isWriter());
    clearInterval(hold);
});
