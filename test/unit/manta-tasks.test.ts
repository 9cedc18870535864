import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createBackends } from '#lib/app/backends.js';
import { createJobs } from '#lib/app/jobs.js';
import { MantaTasks } from '#lib/app/manta-tasks.js';
import { ServerTasks } from '#lib/app/tasks.js';
import { KeyFiles } from '#lib/auth/key-files.js';
import { systemClock } from '#lib/base/clock.js';
import { loadConfig } from '#lib/base/config.js';
import { baseDirectories } from '#lib/base/directories.js';
import { prepareDirectories } from '#lib/maintenance/prepare-directories.js';
import { file, DC } from '../helpers/config-files.js';
import { startMantaArea } from '../helpers/manta-area.js';
import { record } from '../helpers/records.js';
import { recordingLog } from '../helpers/recording-log.js';

const NEVER = new AbortController().signal;
const MINUTE = 60_000;

async function setUp(t: Test, settings: Readonly<Record<string, unknown>>) {
    const area = await startMantaArea(t);
    const shared = { port: 8080, address: '127.0.0.1', mode: 'private', manta: area.config };
    const path = file(t, { ...shared, ...settings });
    const config = { current: loadConfig(path, { environment: {} }) };
    const directories = baseDirectories(join(t.testdir(), 'base'));
    await prepareDirectories(directories);
    const { log } = recordingLog();
    const options = { config, directories, log, clock: systemClock };
    const backends = await createBackends(options);
    const jobs = await createJobs({ ...options, images: backends.images });
    t.teardown(() => backends.close());
    const keys = config.current.authType === 'signature' ? new KeyFiles(options) : undefined;
    const tasks = new MantaTasks({ ...options, backends, keys });
    const run = async (name: string) =>
        tasks
            .table()
            .find((row) => row.name === name)
            ?.run(NEVER);
    return { ...area, backends, directories, tasks, run, server: { ...options, backends, jobs, keys } };
}

/** Name of each task, minutes to its first run, from one to the next, and to the next after a failure. */
function rows(tasks: MantaTasks): readonly (readonly unknown[])[] {
    return tasks
        .table()
        .map(({ name, firstAfterMs, everyMs, retryMs }) => [
            name,
            firstAfterMs / MINUTE,
            everyMs / MINUTE,
            retryMs === undefined ? undefined : retryMs / MINUTE,
        ]);
}

const MIRROR = ['key mirror', 0, 60, 5];
const OWNER = ['owner marker', 0, 60, 5];
const PUSH = ['archive push', 5, 5, undefined];

void t.test('a server has the tasks that its configuration asks for', async (t) => {
    const signed = { authType: 'signature' };
    const files = { storageTypes: ['manta', 'local'] };
    const cases: readonly (readonly [Readonly<Record<string, unknown>>, readonly unknown[]])[] = [
        [signed, [MIRROR, OWNER]],
        [{ authType: 'none' }, [OWNER]],
        [{ ...signed, ...files, mode: 'public' }, [MIRROR, OWNER, PUSH]],
        [{ ...DC, authType: 'none', ...files, databaseType: 'local' }, [PUSH]],
        [{ ...DC, ...signed, databaseType: 'local' }, [MIRROR]],
    ];
    for (const [settings, expected] of cases) {
        await t.test(JSON.stringify(settings).slice(0, 60), async (t) => {
            const { tasks } = await setUp(t, settings);
            t.same(rows(tasks), expected);
        });
    }
});

void t.test('each does its work on the area of the configuration', async (t) => {
    const { run, backends, put, read, directories, tasks } = await setUp(t, {
        authType: 'signature',
        storageTypes: ['local', 'manta'],
    });
    const raw = record();
    await backends.archive.write(raw);
    t.match(await run('archive push'), { pushed: 1, failed: 0 });
    const path = `archive/${raw.uuid.slice(0, 3)}/${raw.uuid}.json`;
    t.match(JSON.parse(await read(path)), { uuid: raw.uuid });
    t.equal(await backends.archive.count(), 0);
    await put('authkeys/alice.keys', 'key');
    t.equal(await run('key mirror'), true);
    t.ok(existsSync(join(directories.etc, 'authkeys/manta/alice.keys')));
    await run('owner marker');
    t.match(JSON.parse(await read('run/owner.json')), { instance: /-/, host: /./ });
    t.equal(tasks.owner?.foreign, undefined);
});

void t.test('the archive is removed by age only where it is not pushed', async (t) => {
    for (const [storageTypes, expected] of [
        [['local'], true],
        [['local', 'manta'], false],
    ] as const) {
        const { server } = await setUp(t, { storageTypes, archiveRetentionDays: 1 });
        const names = new ServerTasks(server).table().map(({ name }) => name);
        t.equal(names.includes('archive retention'), expected);
        t.equal(names.includes('archive push'), !expected);
    }
});
