// CloneImage going wrong: rolled back at once, or after a crash (jobs-and-imports 4).
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { baseDirectories } from '#lib/base/directories.js';
import { serviceUnavailable } from '#lib/base/errors.js';
import type { Database } from '#lib/database/database.js';
import { cloneImage } from '#lib/images/clone-image.js';
import type { ImageServices } from '#lib/images/context.js';
import { deleteImage } from '#lib/images/delete-image.js';
import { rollBackAbandonedClones } from '#lib/images/recover-clones.js';
import { KeyedQueue } from '#lib/base/keyed-queue.js';
import { processState } from '#lib/lock/process-identity.js';
import type { RawImage } from '#lib/manifest/types.js';
import type { Storage } from '#lib/storage/storage.js';
import { FileCloneJournal } from '#lib/storage/file-clone-journal.js';
import {
    ADMIN,
    all,
    clone,
    dcBench,
    failNth,
    failureOf,
    intents,
    inventory,
    plant,
    plantChain,
    plantShared,
    requireWhole,
} from '../helpers/clone-bench.js';
import {
    type Backend,
    BACKENDS,
    type Bench,
    refusal,
    type Refusal,
    refused,
} from '../helpers/image-bench.js';
import { DOWN, EIO, replacing } from '../helpers/image-faults.js';
import { USERS } from '../helpers/images.js';
import { fileEntry, FIRST } from '../helpers/planted-images.js';
import { eventually } from '../helpers/server-process.js';

const { luke } = USERS;
const ADMIN_OWNED = { owner: ADMIN };
const signal = new AbortController().signal;

/** Steps that can fail while three clones are made, and what the first failure is answered with. */
const FAILING_STEPS: readonly {
    readonly name: string;
    readonly fail: (bench: Bench, nth: number) => void;
    readonly expected: Refusal;
}[] = [
    {
        name: 'copy',
        fail: (bench, nth) => failNth(bench.memory().storage, 'copy', nth, EIO),
        expected: refused(500, 'InternalError', 'error copying image file: EIO: i/o error'),
    },
    {
        name: 'copy, no room',
        fail: (bench, nth) =>
            failNth(bench.memory().storage, 'copy', nth, Object.assign(new Error('x'), { code: 'ENOSPC' })),
        expected: { ...DOWN },
    },
    {
        name: 'create',
        fail: (bench, nth) => failNth(bench.memory().database, 'create', nth, EIO),
        expected: refused(500, 'InternalError', ''),
    },
    {
        name: 'activate',
        fail: (bench, nth) => failNth(bench.memory().database, 'update', nth, EIO),
        expected: refused(500, 'InternalError', ''),
    },
    {
        name: 'archive',
        fail: (bench, nth) => failNth(bench.archive, 'write', nth, EIO),
        expected: refused(500, 'InternalError', ''),
    },
];

void t.test('a failure at any step rolls back', async (t) => {
    for (const { name, fail, expected } of FAILING_STEPS) {
        for (const nth of [1, 2, 3]) {
            const bench = await dcBench(t);
            const [, , uuid = ''] = await plantChain(bench, 3, await plant(bench, ADMIN_OWNED));
            const before = await inventory(bench);
            fail(bench, nth);
            const error = await failureOf(clone(bench, uuid));
            if (expected.message === '') t.equal(error, EIO, `${name} ${nth}: the first error`);
            else t.match(error, expected, `${name} ${nth}`);
            t.same(await inventory(bench), before, `${name} ${nth}: everything is as before`);
            t.ok(await clone(bench, uuid), `${name} ${nth}: it can be done again`);
        }
    }
});

void t.test('clones go the newest first', async (t) => {
    const gone: string[] = [];
    const made: string[] = [];
    const wrapDatabase = (real: Database) =>
        replacing(real, {
            create: async (raw: RawImage) => {
                made.push(raw.uuid);
                return real.create(raw);
            },
            del: async (uuid: string, options) => {
                await real.del(uuid, options);
                gone.push(uuid);
            },
        });
    const bench = await dcBench(t, { wrapDatabase });
    const chain = await plantChain(bench, 3);
    failNth(bench.memory().database, 'update', 3, EIO);
    t.equal(await failureOf(clone(bench, chain.at(-1) ?? '')), EIO);
    t.equal(made.length, 3);
    t.same(gone, [...made].reverse());
});

void t.test('an origin that another process deletes meanwhile', async (t) => {
    let base = '';
    const wrapDatabase = (real: Database) =>
        replacing(real, {
            create: async (raw: RawImage) => {
                const stored = await real.create(raw);
                await real.del(base);
                return stored;
            },
        });
    const bench = await dcBench(t, { wrapDatabase });
    base = await plant(bench, ADMIN_OWNED);
    const uuid = await plantShared(bench, { origin: base });
    t.same(
        await refusal(clone(bench, uuid)),
        refused(422, 'OriginDoesNotExist', `origin image "${base}" does not exist`),
    );
    t.equal((await all(bench)).length, 1, 'the clone is gone');
    t.same((await bench.files()).map((file) => file.uuid).sort(), [base, uuid].sort(), 'so are its bytes');
    t.same(intents(bench), []);
});

void t.test('an unactivated ancestor whose file another process replaces meanwhile', async (t) => {
    const bench = await dcBench(t);
    const origin = await plant(bench, { activated: false, state: 'unactivated' });
    const uuid = await plantShared(bench, { origin });
    const { storage, database } = bench.memory();
    storage.faults.hang('copy');
    const cloning = failureOf(clone(bench, uuid));
    await eventually('the copy to begin', 5000, () => storage.faults.hanging > 0);
    await database.update(origin, (raw) => ({
        ...raw,
        files: [fileEntry(Buffer.from('the other bytes'))] as never,
    }));
    storage.faults.heal();
    t.match(await cloning, { message: 'error copying image file: the file was replaced meanwhile' });
    t.equal((await all(bench)).length, 2);
    t.equal((await bench.files()).length, 2);
});

void t.test('a client that goes away in the middle', async (t) => {
    const bench = await dcBench(t);
    const chain = await plantChain(bench, 3);
    const before = await inventory(bench);
    const { storage } = bench.memory();
    storage.faults.hang('copy');
    const client = new AbortController();
    const cloning = failureOf(clone(bench, chain.at(-1) ?? '', { account: luke, signal: client.signal }));
    await eventually('the first copy to begin', 5000, () => storage.faults.hanging > 0);
    const reason = new Error('the client has gone');
    client.abort(reason);
    storage.faults.heal();
    t.equal(await cloning, reason);
    t.same(await inventory(bench), before, 'all is rolled back');
});

void t.test('images concerned do not go meanwhile', async (t) => {
    const bench = await dcBench(t);
    const base = await plant(bench, ADMIN_OWNED);
    const uuid = await plantShared(bench, { origin: base });
    const { storage } = bench.memory();
    storage.faults.hang('copy');
    const cloning = clone(bench, uuid);
    await eventually('the copy to begin', 5000, () => storage.faults.hanging > 0);
    const ofSource = deleteImage(bench.services, bench.context(), uuid, false);
    const ofBase = failureOf(deleteImage(bench.services, bench.context(), base, false));
    storage.faults.heal();
    const made = await cloning;
    await ofSource;
    const message = new RegExp(`dependent incremental image.*${made.uuid}`);
    t.match(await ofBase, { code: 'ImageHasDependentImages', message }, 'the clone needs its origin');
    t.equal(await bench.exists(uuid), false);
    t.same(await bench.bytes(made.uuid, 'file0'), FIRST, 'the clone has bytes of its own');
    await requireWhole(t, bench, 'nothing dangles');
});

/** The services as a process started anew has them: nothing is held, nothing is under way. */
function restarted(bench: Bench): ImageServices {
    const directories = baseDirectories(bench.base);
    const { log } = bench.context();
    const clones = new FileCloneJournal({ directories, log, clock: { now: () => bench.clock.time } });
    return { ...bench.services, clones };
}

void t.test('a rollback that fails is finished later', async (t) => {
    const bench = await dcBench(t);
    const chain = await plantChain(bench, 3);
    const before = await inventory(bench);
    const { database } = bench.memory();
    failNth(database, 'update', 2, EIO);
    failNth(database, 'del', 2, new Error('down'));
    t.equal(await failureOf(clone(bench, chain.at(-1) ?? '')), EIO, 'the first error is answered');
    t.match(bench.records.at(-1), { msg: 'clones could not be rolled back for now' });
    t.equal(intents(bench).length, 1);
    await requireWhole(t, bench, 'what is left is whole');
    await rollBackAbandonedClones(bench.services, bench.context().log, signal);
    t.same(await inventory(bench), before);
});

void t.test('a source that another process deletes meanwhile', async (t) => {
    const bench = await dcBench(t);
    const uuid = await plantShared(bench);
    const { storage, database } = bench.memory();
    storage.faults.hang('copy');
    const cloning = refusal(clone(bench, uuid));
    await eventually('the copy to begin', 5000, () => storage.faults.hanging > 0);
    await database.del(uuid);
    await storage.remove(uuid, 'file0');
    storage.faults.heal();
    t.same(await cloning, refused(404, 'ResourceNotFound', `image ${uuid} not found`));
    t.same([await all(bench), await bench.files(), intents(bench)], [[], [], []]);
});

void t.test('an origin that nobody can tell of: no clone', async (t) => {
    const bench = await dcBench(t);
    const uuid = await plantShared(bench, { origin: await plant(bench, ADMIN_OWNED) });
    const before = await inventory(bench);
    // The first reading is of the image, the second of its origin, the third of the clone's origin.
    failNth(bench.memory().database, 'get', 3, serviceUnavailable('service unavailable', 5));
    t.match(await failureOf(clone(bench, uuid)), { code: 'ServiceUnavailableError' });
    await rollBackAbandonedClones(bench.services, bench.context().log, signal);
    t.same(await inventory(bench), before);
});

void t.test('a record that the database stores after all, when it was given up', async (t) => {
    let late: RawImage | undefined;
    const wrapDatabase = (real: Database) =>
        replacing(real, {
            create: async (raw: RawImage) => {
                if (late !== undefined || raw.disabled) return real.create(raw);
                late = raw;
                throw serviceUnavailable('service unavailable', 5);
            },
        });
    const bench = await dcBench(t, { wrapDatabase });
    const chain = await plantChain(bench, 2);
    const before = await inventory(bench);
    t.match(await failureOf(clone(bench, chain.at(-1) ?? '')), { code: 'ServiceUnavailableError' });
    t.same({ ...(await inventory(bench)), intents: [] }, before, 'all is rolled back');
    if (late !== undefined) await bench.plant({ ...late });
    t.equal((await all(bench)).length, 3);
    await rollBackAbandonedClones(bench.services, bench.context().log, signal);
    t.same(await inventory(bench), before, 'it is not forgotten');
});

void t.test('what another process could not roll back', async (t) => {
    const bench = await dcBench(t);
    const chain = await plantChain(bench, 2);
    const before = await inventory(bench);
    const { database } = bench.memory();
    failNth(database, 'update', 2, EIO);
    failNth(database, 'del', 1, new Error('down'));
    t.equal(await failureOf(clone(bench, chain.at(-1) ?? '')), EIO);
    // The intent as it is when that is a process beside this one, which lives and runs no tasks.
    const [name = ''] = intents(bench);
    const path = join(baseDirectories(bench.base).clones, name);
    const startTime = (await processState(process.ppid))?.startTime;
    const intent = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...intent, pid: process.ppid, startTime }));
    await rollBackAbandonedClones(restarted(bench), bench.context().log, signal);
    t.same(await inventory(bench), before);
});

/** Has three images copied, stored and activated, and the process end before one of these nine steps. */
async function crash(t: Test, backend: Backend, crashAt: number): Promise<void> {
    let steps = 0;
    let crashed: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (crashed = resolve));
    const step = async (): Promise<void> => {
        steps += 1;
        if (steps === crashAt) {
            crashed();
            await new Promise<never>(() => undefined);
        }
    };
    const wrapDatabase = (real: Database) =>
        replacing(real, {
            create: async (raw: RawImage) => step().then(() => real.create(raw)),
            update: async (uuid: string, change, seen) => step().then(() => real.update(uuid, change, seen)),
        });
    const wrapStorage = (real: Storage) =>
        replacing(real, { copy: async (...all) => step().then(() => real.copy(...all)) });
    const bench = await dcBench(t, { backend, wrapDatabase, wrapStorage });
    const chain = await plantChain(bench, 3, await plant(bench, ADMIN_OWNED));
    const before = await inventory(bench);
    // The queues of a process end with it.
    const crashing: ImageServices = { ...bench.services, imageQueue: new KeyedQueue() };
    const context = bench.context({ account: luke });
    void cloneImage(crashing, context, chain.at(-1) ?? '', { unshare: false });
    await ended;
    t.equal(intents(bench).length, 1, 'it was noted before');
    await requireWholeRecords(t, bench, 'after the crash');
    await rollBackAbandonedClones(restarted(bench), context.log, signal);
    t.same(await inventory(bench), before, 'everything is as before');
}

for (const backend of BACKENDS) {
    for (const crashAt of [1, 2, 3, 4, 5, 6, 7, 8, 9]) {
        void t.test(`a crash before step ${crashAt} is rolled back (${backend})`, (t) =>
            crash(t, backend, crashAt),
        );
    }
}

/** Whatever has a record has its bytes and its origin; bytes may be ahead. */
async function requireWholeRecords(t: Test, bench: Bench, why: string): Promise<void> {
    for (const { uuid, origin } of await all(bench)) {
        t.ok(await bench.bytes(uuid, 'file0'), `${why}: the bytes of each record are there`);
        t.ok(origin === undefined || (await bench.exists(origin)), `${why}: so is its origin`);
    }
}

void t.test('what recovery leaves alone', async (t) => {
    const bench = await dcBench(t);
    const chain = await plantChain(bench, 2);
    const made = await clone(bench, chain.at(-1) ?? '');
    const { clones } = baseDirectories(bench.base);
    const done = [made.origin ?? '', made.uuid].map((uuid) => ({ uuid, stor: 'local' }));
    const recover = () => rollBackAbandonedClones(restarted(bench), bench.context().log, signal);
    const note = (more: object) =>
        writeFileSync(join(clones, 'x.json'), JSON.stringify({ clones: done, ...more }));
    const before = await all(bench);

    await restarted(bench).clones.note(done);
    await recover();
    t.same([await all(bench), intents(bench)], [before, []], 'clones that were all made stay');

    const unfinished = done.slice(0, 1);
    const gone = { host: 'elsewhere', pid: 1, at: bench.clock.time };
    await bench.services.clones.note(unfinished);
    await rollBackAbandonedClones(bench.services, bench.context().log, signal);
    t.equal(intents(bench).length, 1, 'what this process works on');
    await recover();
    t.same([await all(bench), intents(bench)], [before, []], 'an image that others need stays');

    note(gone);
    await recover();
    t.equal(intents(bench).length, 1, "another machine's, while it is young");
    bench.clock.time += 25 * 3_600_000;
    await recover();
    t.same([await all(bench), intents(bench)], [before, []], "another machine's, when it is old");

    writeFileSync(join(clones, 'bad.json'), '{"clones":[{"uuid":"../../x","stor":"local"}]}');
    writeFileSync(join(clones, 'worse.json'), 'not JSON');
    await recover();
    t.equal(intents(bench).length, 2, 'what is no intent stays for people');
    t.equal(
        bench.records.filter(({ msg }) => msg === 'clone intent cannot be read: left as it is').length,
        2,
    );
    t.same(await all(bench), before);
});

void t.test('an intent that cannot be written: nothing is made', async (t) => {
    const bench = await dcBench(t);
    const chain = await plantChain(bench, 2);
    const { clones } = baseDirectories(bench.base);
    await bench.pendingDeletes();
    const before = await all(bench);
    const services = {
        ...bench.services,
        clones: {
            note: () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })),
            abandoned: () => Promise.resolve([]),
        },
    };
    const call = cloneImage(services, bench.context({ account: luke }), chain.at(-1) ?? '', {
        unshare: false,
    });
    t.same(await refusal(call), DOWN);
    t.same(await all(bench), before);
    t.notOk(existsSync(clones));
});
