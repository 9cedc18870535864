import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { baseDirectories } from '#lib/base/directories.js';
import type { BaseDirectories } from '#lib/base/config-types.js';
import type { StorageType } from '#lib/base/constants.js';
import { resourceNotFound, serviceUnavailable } from '#lib/base/errors.js';
import { KeyedQueue } from '#lib/base/keyed-queue.js';
import { MemoryDatabase } from '#lib/database/memory/memory-database.js';
import { currentFiles } from '#lib/images/current-files.js';
import { checkDataVersion, writeDataVersion } from '#lib/maintenance/data-version.js';
import { warnOfDistantStaging } from '#lib/maintenance/distant-staging.js';
import { prepareDirectories } from '#lib/maintenance/prepare-directories.js';
import { purgePlaceholders } from '#lib/maintenance/purge.js';
import { sweep } from '#lib/maintenance/sweep.js';
import type { RawImage } from '#lib/manifest/types.js';
import { FileDeleteJournal } from '#lib/storage/journal.js';
import { LocalStorage } from '#lib/storage/local/local-storage.js';
import { Layers } from '#lib/transfers/layers/layers.js';
import { FaultyMemory } from '../doubles/faulty-storage.js';
import type { Storage, StoredFileName } from '#lib/storage/storage.js';
import { record, unpublished } from '../helpers/records.js';
import { recordingLog } from '../helpers/recording-log.js';

const HOUR = 3_600_000;
const NEVER = new AbortController().signal;

/** Everything the tasks need: a database in memory, local storage, a clock that stands still. */
async function setUp(t: Test) {
    const directories = baseDirectories(t.testdir());
    const database = new MemoryDatabase();
    const clock = { time: Date.now(), now: () => clock.time };
    const { log, records } = recordingLog();
    const storage = new LocalStorage({ directories, log });
    await prepareDirectories(directories);
    await storage.setup();
    const imageQueue = new KeyedQueue();
    const storages = new Map<StorageType, Storage>([['local', storage]]);
    const journal = new FileDeleteJournal({
        directories,
        log,
        clock,
        storages,
        imageQueue,
        writers: 'all',
        currentFiles: (uuid) => currentFiles(database, uuid),
    });
    const liveJobs = new Set<string>();
    const beingMade = new Set<string>();
    return {
        directories,
        database,
        clock,
        log,
        records,
        storage,
        storages,
        imageQueue,
        journal,
        liveJobs,
        beingMade,
        layers: new Layers({ directories, clock, log }),
        isLiveJob: (uuid: string) => liveJobs.has(uuid),
        isBeingMade: async (uuid: string) => beingMade.has(uuid),
    };
}

type SetUp = Awaited<ReturnType<typeof setUp>>;

/** Puts a file of some age where local storage keeps the image's files. */
function plant({ directories, clock }: SetUp, uuid: string, name: string, ageMs = 0): string {
    return plantAt(join(directories.images, uuid.slice(0, 3), uuid, name), clock.time - ageMs);
}

function plantAt(path: string, time: number): string {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, 'x');
    utimesSync(path, time / 1000, time / 1000);
    return path;
}

function placeholder(clock: { now(): number }, changes: Readonly<Record<string, unknown>>): RawImage {
    return unpublished({ expires_at: new Date(clock.now() - 1000).toISOString(), ...changes });
}

void t.test('purge: expired placeholders go with their files, nothing else does', async (t) => {
    const all = await setUp(t);
    const { database, clock, storage, records } = all;
    const creating = placeholder(clock, { state: 'creating', type: 'null', os: 'null' });
    const failed = placeholder(clock, { state: 'failed' });
    const kept = [
        placeholder(clock, { state: 'creating', expires_at: new Date(clock.time + 1000).toISOString() }),
        placeholder(clock, { state: 'creating', expires_at: undefined }),
        placeholder(clock, { state: 'unactivated' }),
        record({ expires_at: new Date(clock.time - 1000).toISOString() }),
    ];
    for (const raw of [creating, failed, ...kept]) {
        await database.create(raw);
        plant(all, raw.uuid, 'file0');
        plant(all, raw.uuid, 'icon');
    }
    t.equal(await purgePlaceholders(all, NEVER), 2);
    for (const { uuid } of [creating, failed]) {
        await t.rejects(database.get(uuid), { code: 'ResourceNotFound' });
        t.equal(await storage.stat(uuid, 'file0'), undefined);
        t.notOk(existsSync(join(all.directories.images, uuid.slice(0, 3), uuid)));
        t.ok(records.some(({ msg }) => msg === `Expired placeholder image deleted ${uuid}`));
    }
    for (const { uuid } of kept) {
        await t.resolves(database.get(uuid));
        t.ok(await storage.stat(uuid, 'file0'));
    }
    t.equal(await all.journal.pass(), 0, 'no journal entry is left');
    clock.time += 2000;
    t.equal(await purgePlaceholders(all, NEVER), 1, 'the time of another has come');
});

void t.test('purge: a placeholder that a job is to fill stays, and one nobody can tell about', async (t) => {
    const all = await setUp(t);
    const { database, clock, beingMade, records } = all;
    const made = placeholder(clock, { state: 'creating' });
    const unknown = placeholder(clock, { state: 'creating' });
    const failed = placeholder(clock, { state: 'failed' });
    for (const raw of [made, unknown, failed]) {
        await database.create(raw);
        beingMade.add(raw.uuid);
    }
    const isBeingMade = async (uuid: string): Promise<boolean> => {
        if (uuid === unknown.uuid) {
            throw serviceUnavailable('Workflow API is down.');
        }
        return all.isBeingMade(uuid);
    };
    t.equal(await purgePlaceholders({ ...all, isBeingMade }, NEVER), 1);
    await t.rejects(database.get(failed.uuid), { code: 'ResourceNotFound' }, 'its job has failed');
    await t.resolves(database.get(made.uuid));
    await t.resolves(database.get(unknown.uuid));
    t.match(
        records.find(({ level }) => level === 40),
        { uuid: unknown.uuid },
    );
    beingMade.clear();
    t.equal(await purgePlaceholders(all, NEVER), 2, 'no job is at work any more');
});

void t.test('purge: one that changes or fails meanwhile', async (t) => {
    const all = await setUp(t);
    const { database, clock, imageQueue, storage, records } = all;
    const changed = placeholder(clock, { state: 'creating' });
    const gone = placeholder(clock, { state: 'creating' });
    const stubborn = placeholder(clock, {
        state: 'creating',
        files: [{ sha1: 'a'.repeat(40), size: 1, compression: 'none', stor: 'local' }],
    });
    const plain = placeholder(clock, { state: 'failed' });
    for (const raw of [changed, gone, stubborn, plain]) {
        await database.create(raw);
    }
    plant(all, stubborn.uuid, 'file0');
    plant(all, stubborn.uuid, 'icon');
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const inQueue = [
        imageQueue.run(changed.uuid, async () => {
            await held;
            await database.update(changed.uuid, (raw) => ({ ...raw, state: 'unactivated' }));
        }),
        imageQueue.run(gone.uuid, async () => {
            await held;
            await database.del(gone.uuid);
        }),
    ];
    const del = database.del.bind(database);
    database.del = async (uuid, token) => {
        if (uuid === stubborn.uuid) {
            throw serviceUnavailable('service unavailable');
        }
        await del(uuid, token);
    };
    const purging = purgePlaceholders(all, NEVER);
    release();
    t.equal(await purging, 1);
    await Promise.all(inQueue);
    t.equal((await database.get(changed.uuid)).raw.state, 'unactivated');
    t.ok(await storage.stat(stubborn.uuid, 'file0'), 'a record that stays keeps the files it names');
    t.equal(await storage.stat(stubborn.uuid, 'icon'), undefined, 'and no others');
    t.equal(await all.journal.pass(), 0);
    t.equal(records.filter(({ level }) => level === 40).length, 1, 'only the failure is worth a warning');
    await t.rejects(purgePlaceholders(all, AbortSignal.abort()));
    database.unreachable = true;
    await t.rejects(purgePlaceholders(all, NEVER), { code: 'ServiceUnavailableError' });
});

void t.test('purge: a failing storage does not bring the placeholder back', async (t) => {
    const all = await setUp(t);
    const storage = new FaultyMemory();
    all.storages.set('local', storage);
    const raw = placeholder(all.clock, { state: 'failed' });
    await all.database.create(raw);
    storage.plant(raw.uuid, 'file0', Buffer.from('x'));
    storage.faults.fail('remove', new Error('down'));
    t.equal(await purgePlaceholders(all, NEVER), 1);
    t.ok(await storage.stat(raw.uuid, 'file0'));
    storage.faults.heal();
    t.equal(await all.journal.pass(), 0);
    t.equal(await storage.stat(raw.uuid, 'file0'), undefined);
});

void t.test('sweep: temporary files of uploads', async (t) => {
    const all = await setUp(t);
    const { database, storage, records } = all;
    const temporary = (name: StoredFileName): string => `${name}.${randomUUID()}`;
    const active = record();
    const bare = unpublished();
    const inManta = record({ files: [{ ...record().files![0], stor: 'manta' }] });
    const withIcon = record({
        icon: { sha1: 'x', size: 1, contentType: 'image/png', contentMD5: 'x', stor: 'local' },
    });
    for (const raw of [active, bare, inManta, withIcon]) {
        await database.create(raw);
    }
    plant(all, active.uuid, 'file0', 30 * HOUR);
    const stale = [
        plant(all, active.uuid, temporary('file0'), 25 * HOUR),
        plant(all, bare.uuid, temporary('file0'), 25 * HOUR),
        plant(all, inManta.uuid, temporary('file0'), 25 * HOUR),
        plant(all, active.uuid, temporary('icon'), 25 * HOUR),
        plant(all, active.uuid, temporary('file1'), 25 * HOUR),
        plant(all, randomUUID(), temporary('file0'), 25 * HOUR),
    ];
    const only = [
        plant(all, withIcon.uuid, temporary('file0'), 25 * HOUR),
        plant(all, withIcon.uuid, temporary('icon'), 25 * HOUR),
    ];
    const writer = await storage.createWriter(bare.uuid, 'icon');
    const kept = [
        plant(all, active.uuid, temporary('file0'), 23 * HOUR),
        plant(all, active.uuid, 'file0.bak', 50 * HOUR),
        plant(all, active.uuid, 'notes.txt', 50 * HOUR),
        plant(all, randomUUID(), 'file0', 50 * HOUR),
        plant(all, bare.uuid, writer.temporaryName, 50 * HOUR),
    ];
    t.same(await sweep(all, NEVER), { removed: stale.length, recoverable: only.length });
    for (const path of stale) {
        t.notOk(existsSync(path), path);
    }
    for (const path of [...only, ...kept]) {
        t.ok(existsSync(path), path);
    }
    t.ok(await storage.stat(active.uuid, 'file0'));
    t.notOk(existsSync(dirname(stale[5]!)), 'the emptied directory went, too');
    t.equal(records.filter(({ msg }) => msg.startsWith('recoverable')).length, 2);
    await writer.abort();
});

void t.test('sweep: keeps everything while the record cannot be read', async (t) => {
    const all = await setUp(t);
    const uuid = randomUUID();
    const path = plant(all, uuid, `file0.${randomUUID()}`, 25 * HOUR);
    for (const error of [serviceUnavailable('service unavailable'), resourceNotFound('not found')]) {
        all.database.failNext('get', error);
        t.same(await sweep(all, NEVER), { removed: 0, recoverable: 0 });
        t.ok(existsSync(path), error.message);
    }
    t.same(await sweep(all, NEVER), { removed: 1, recoverable: 0 });
});

void t.test('sweep: unfinished writes and staged files', async (t) => {
    const all = await setUp(t);
    const { directories, clock } = all;
    const at = (path: string, hours: number) => plantAt(path, clock.time - hours * HOUR);
    const random = '0011223344556677';
    const stale = [
        at(join(directories.archive, 'abc', `x.json.${random}.tmp`), 25),
        at(join(directories.run, `imgapi.lock.${random}.tmp`), 25),
        at(join(directories.deletes, `x.json.${random}.tmp`), 25),
        at(join(directories.jobs, 'abc', `x.json.${random}.tmp`), 25),
        at(join(directories.sharing, `x.json.${random}.tmp`), 25),
        at(join(directories.staging, 'job', 'image.file0.part'), 25),
        at(join(directories.staging, 'docker', 'layer.data'), 25),
    ];
    const kept = [
        at(join(directories.archive, 'abc', 'x.json'), 2500),
        at(join(directories.archive, 'abc', `y.json.${random}.tmp`), 23),
        at(join(directories.run, 'restored.marker'), 2500),
        at(join(directories.deletes, 'x.json'), 2500),
        at(join(directories.manifests, `x.raw.${random}.tmp`), 2500),
        at(join(directories.staging, 'job2', 'image.file0.part'), 23),
        at(join(directories.etc, 'x.tmp'), 2500),
    ];
    t.same(await sweep(all, NEVER), { removed: stale.length, recoverable: 0 });
    for (const path of stale) {
        t.notOk(existsSync(path), path);
    }
    for (const path of kept) {
        t.ok(existsSync(path), path);
    }
    t.notOk(existsSync(join(directories.staging, 'job')), 'the emptied directory went, too');
    await t.rejects(sweep(all, AbortSignal.abort()));
});

void t.test('sweep: what jobs have staged goes with them, at once', async (t) => {
    const all = await setUp(t);
    const { directories, clock, liveJobs, records } = all;
    const staged = (uuid: string, ageHours: number): string =>
        plantAt(join(directories.staging, uuid, `${randomUUID()}.file0.part`), clock.time - ageHours * HOUR);
    const live = randomUUID();
    liveJobs.add(live);
    const kept = [staged(live, 0), staged(live, 2500)];
    const over = randomUUID();
    const gone = [staged(over, 0), staged(over, 25), staged(randomUUID(), 0)];
    t.same(await sweep(all, NEVER), { removed: 2, recoverable: 0 });
    kept.forEach((path) => t.ok(existsSync(path)));
    gone.forEach((path) => t.notOk(existsSync(dirname(path))));
    t.match(
        records.filter(({ job_uuid }) => job_uuid === over),
        [{ component: 'sweep' }],
    );
});

void t.test('sweep: trouble in one place does not keep the others from being swept', async (t) => {
    const all = await setUp(t);
    const storage = new FaultyMemory();
    storage.faults.fail('list', new Error('broken'));
    const path = plantAt(join(all.directories.run, 'a.0011223344556677.tmp'), all.clock.time - 25 * HOUR);
    t.same(await sweep({ ...all, storage }, NEVER), { removed: 1, recoverable: 0 });
    t.notOk(existsSync(path));
    t.ok(all.records.some(({ level }) => level === 50));
});

void t.test('data-version', async (t) => {
    const directories = baseDirectories(t.testdir());
    const path = join(directories.base, 'data-version');
    t.equal(await checkDataVersion(directories), undefined);
    await writeDataVersion(directories, '5.0.0');
    t.same(JSON.parse(readFileSync(path, 'utf8')), { version: 1, app: '5.0.0' });
    await writeDataVersion(directories, '5.1.0');
    t.same(await checkDataVersion(directories), { version: 1, app: '5.0.0' });
    writeFileSync(path, '{"version":2,"app":"9.0.0"}');
    await t.rejects(checkDataVersion(directories), /version 2 \(written by 9\.0\.0\), this server knows 1/);
    await t.rejects(writeDataVersion(directories, '5.0.0'));
    t.equal(readFileSync(path, 'utf8'), '{"version":2,"app":"9.0.0"}', 'untouched');
    writeFileSync(path, '{"version":0}');
    t.match(await checkDataVersion(directories), { version: 0 });
    for (const text of ['', 'no', 'null', '{}', '{"version":"1"}', '{"version":1.5}']) {
        writeFileSync(path, text);
        await t.rejects(checkDataVersion(directories), { message: /data-version/ }, JSON.stringify(text));
    }
});

void t.test('prepareDirectories', async (t) => {
    const directories: BaseDirectories = baseDirectories(join(t.testdir(), 'deep', 'base'));
    await prepareDirectories(directories);
    await prepareDirectories(directories);
    for (const [key, path] of Object.entries(directories) as [string, string][]) {
        if (key === 'etc' || key === 'trash') {
            t.notOk(existsSync(path), "the operator's, and that of tools");
        } else {
            t.equal(statSync(path).mode & 0o777, 0o750, key);
        }
    }
    for (const key of ['images', 'deletes'] as const) {
        const broken = baseDirectories(join(t.testdir(), key));
        mkdirSync(dirname(broken[key]), { recursive: true });
        writeFileSync(broken[key], 'a file');
        await t.rejects(prepareDirectories(broken), {
            message: new RegExp(`^cannot use directory ${broken[key]}: E`),
        });
    }
});

void t.test('part files on another file system are worth a word', async (t) => {
    const images = t.testdir();
    const { log, records } = recordingLog();
    await warnOfDistantStaging({ staging: images, images }, log);
    t.same(records, []);
    const staging = ['/dev/shm', '/proc/self'].find((path) => statSync(path).dev !== statSync(images).dev);
    await warnOfDistantStaging({ staging: staging ?? '', images }, log);
    t.match(records, [{ level: 40, staging, images }]);
});
