// A move of an image to another storage that fails at any of its steps, or meets others who change the
// image: nothing is lost and nothing is left (backends W3, W5, W11).
import t from 'tap';
import { serviceUnavailable, storageIsDown } from '#lib/base/errors.js';
import { deleteImage } from '#lib/images/delete-image.js';
import { deleteImageIcon } from '#lib/images/delete-image-icon.js';
import type { Storage } from '#lib/storage/storage.js';
import { withStep, type Step } from '../helpers/failing-steps.js';
import { makeBench, onEveryBackend, refusal } from '../helpers/image-bench.js';
import { DOWN, EIO, FailingUpdates, names, replacing } from '../helpers/image-faults.js';
import {
    ALL,
    contentsOf,
    DIRECTIONS,
    MANTA,
    moveAll,
    movingAt,
    NAMES,
    plantContainer,
    requireAllAgree,
    storageOf,
    storagesOf,
    withStorages,
} from '../helpers/moved-images.js';
import { addIcon, FIRST, SECOND } from '../helpers/planted-images.js';

/** Steps, in which of the two storages, and how many a move of two files and an icon has. */
const STEPS: readonly (readonly [Step, 'source' | 'target', number])[] = [
    ['open', 'source', 3],
    ['createWriter', 'target', 3],
    ['write', 'target', 3],
    ['close', 'target', 3],
    ['commit', 'target', 3],
    ['stat', 'target', 3],
];

for (const [from, to] of DIRECTIONS) {
    onEveryBackend(t, `every step fails once, from ${from} to ${to}`, async (t, backend) => {
        const bench = await makeBench(t, { backend, config: MANTA });
        const uuid = await plantContainer(bench, ALL(from));
        const before = await bench.raw(uuid);
        for (const [step, side, count] of STEPS) {
            for (let nth = 1; nth <= count; nth += 1) {
                const stor = side === 'source' ? from : to;
                const what = `${nth}. ${step} in ${stor}`;
                const failing = (error: Error) =>
                    movingAt(bench, stor, step, nth, () => Promise.reject(error));
                t.same(await refusal(moveAll(failing(storageIsDown()), uuid, to)), DOWN, what);
                t.same(
                    await refusal(moveAll(failing(EIO), uuid, to)),
                    {
                        status: 500,
                        code: 'InternalError',
                        message: 'error moving image file: EIO: i/o error',
                    },
                    what,
                );
                t.same(await bench.raw(uuid), before, `${what}: the record stays`);
                await requireAllAgree(t, bench, uuid, what);
                t.equal(await bench.pendingDeletes(), 0);
            }
        }
        const beyond = STEPS.map(([step, side, count]): [string, Storage] => {
            const stor = side === 'source' ? from : to;
            const fail = () => Promise.reject(new Error(`there is one more ${step}`));
            return [stor, withStep(storageOf(bench, stor), step, count + 1, fail)];
        });
        for (const [stor, storage] of beyond) {
            await moveAll(withStorages(bench, { [stor]: storage }), uuid, to);
            await requireAllAgree(t, bench, uuid);
            await moveAll(bench, uuid, from);
        }
    });
}

void t.test('a source that breaks off, or gives other bytes', async (t) => {
    const bench = await makeBench(t, { config: MANTA });
    const { storage } = bench.memory();
    for (const [from, to] of DIRECTIONS) {
        const uuid = await plantContainer(bench, ALL(from));
        const source = from === 'local' ? storage : bench.manta;
        source.faults.breakReadsAfter(20_000);
        t.match(await refusal(moveAll(bench, uuid, to)), {
            status: 500,
            message: /^error moving image file: (read broken off|connection closed)/,
        });
        source.faults.heal();
        const { file1 } = await contentsOf(bench, uuid, source);
        source.plant(uuid, 'file1', Buffer.alloc(file1?.length ?? 0, 'other'));
        t.match(await refusal(moveAll(bench, uuid, to)), {
            status: 500,
            message: /^error moving image file: copied Content-MD5 is \S+, expected \S+$/,
        });
        t.same(storagesOf(await bench.raw(uuid)), ALL(from));
        t.same(await names(bench, source), [...NAMES], 'also corrupt bytes stay where they are');
        t.same(await names(bench, storageOf(bench, to)), []);
        source.plant(uuid, 'file1', file1 ?? FIRST);
        await moveAll(bench, uuid, to);
        await requireAllAgree(t, bench, uuid);
        await deleteImage(bench.services, bench.context(), uuid, false);
    }
});

void t.test('the journal cannot be written', async (t) => {
    const bench = await makeBench(t, { config: MANTA });
    const uuid = await plantContainer(bench, ALL('local'));
    const journal = replacing(bench.services.journal, { note: () => Promise.reject(EIO) });
    const failing = { ...bench, services: { ...bench.services, journal } };
    t.match(await refusal(moveAll(failing, uuid, 'manta')), {
        status: 500,
        message: 'could not save updated manifest',
    });
    await requireAllAgree(t, bench, uuid);
    const uploads = replacing(bench.services.uploads, { claim: () => Promise.reject(EIO) });
    const unclaimed = { ...bench, services: { ...bench.services, uploads } };
    t.match(await refusal(moveAll(unclaimed, uuid, 'manta')), {
        status: 500,
        message: 'could not save updated manifest',
    });
    await requireAllAgree(t, bench, uuid);
});

void t.test('old bytes that cannot be deleted go later', async (t) => {
    const bench = await makeBench(t, { config: MANTA });
    for (const [from, to] of DIRECTIONS) {
        const uuid = await plantContainer(bench, ALL(from));
        const source = from === 'local' ? bench.memory().storage : bench.manta;
        source.faults.fail('remove', storageIsDown(), { times: 1 });
        t.same(storagesOf((await moveAll(bench, uuid, to)).raw), ALL(to));
        t.same((await names(bench, source)).length, 3, 'a storage that is down is asked once');
        t.ok(bench.records.some(({ level, msg }) => level === 40 && msg.includes('could not be deleted')));
        await bench.pendingDeletes();
        await requireAllAgree(t, bench, uuid);
        await deleteImage(bench.services, bench.context(), uuid, false);
    }
});

void t.test('the database fails: the old bytes stay, the new ones go', async (t) => {
    const updates = new FailingUpdates();
    const bench = await makeBench(t, { config: MANTA, wrapDatabase: updates.wrap });
    const uuid = await plantContainer(bench, ALL('local'));
    updates.next.push(EIO);
    t.match(await refusal(moveAll(bench, uuid, 'manta')), {
        status: 500,
        message: 'could not save updated manifest',
    });
    await requireAllAgree(t, bench, uuid);
});

void t.test('the database does not answer: both copies stay until it tells', async (t) => {
    for (const isDone of [true, false]) {
        const bench = await makeBench(t, {
            config: MANTA,
            wrapDatabase: (database) =>
                replacing(database, {
                    update: async (...args) => {
                        if (isDone) await database.update(...args);
                        throw serviceUnavailable('service unavailable', 5);
                    },
                }),
        });
        const uuid = await plantContainer(bench, ALL('local'));
        const moved = await moveAll(bench, uuid, 'manta').then(
            ({ raw }) => storagesOf(raw),
            () => 'failed',
        );
        t.same(moved, isDone ? ALL('manta') : 'failed', 'who can read the record knows what was done');
        t.same(await names(bench), [...NAMES]);
        t.same(await names(bench, bench.manta), [...NAMES]);
        t.equal(await bench.pendingDeletes(), 1, 'for what is known to one process, another may still do it');
        t.same(storagesOf(await bench.raw(uuid)), ALL(isDone ? 'manta' : 'local'));
        t.same(await names(bench), [...NAMES], 'it is not too late for that yet');
        t.same(await names(bench, bench.manta), [...NAMES]);
        bench.journalClock.ahead = 1_200_000;
        t.equal(await bench.pendingDeletes(), 0);
        await requireAllAgree(t, bench, uuid);
    }
});

void t.test('a caller that goes away', async (t) => {
    const bench = await makeBench(t, { config: MANTA });
    const uuid = await plantContainer(bench, ALL('local'));
    const aborted = { status: 400, code: 'Upload', message: 'error moving image file: aborted' };
    for (const [step, stor] of [
        ['open', 'local'],
        ['createWriter', 'manta'],
        ['write', 'manta'],
        ['close', 'manta'],
    ] as const) {
        for (let nth = 1; nth <= 3; nth += 1) {
            const gone = new AbortController();
            const leaving = movingAt(bench, stor, step, nth, (go) => {
                gone.abort(new Error('gone'));
                return go();
            });
            const { signal } = gone;
            t.same(await refusal(moveAll(leaving, uuid, 'manta', { signal })), aborted, `${nth}. ${step}`);
            await requireAllAgree(t, bench, uuid, `${nth}. ${step}`);
        }
    }
    const gone = new AbortController();
    let leave: () => void = () => undefined;
    const inside = bench.services.imageQueue.run(
        uuid,
        () => new Promise<void>((resolve) => (leave = resolve)),
    );
    const waiting = movingAt(bench, 'manta', 'close', 3, async (go) => {
        const closed = await go();
        setImmediate(() => gone.abort(new Error('gone')));
        return closed;
    });
    const moved = moveAll(waiting, uuid, 'manta', { signal: gone.signal });
    while (!gone.signal.aborted) await new Promise(setImmediate);
    leave();
    await inside;
    t.same(await refusal(moved), aborted, 'while it waited for its turn');
    await requireAllAgree(t, bench, uuid);

    const late = new AbortController();
    const committed = movingAt(bench, 'manta', 'commit', 1, (go) => {
        late.abort(new Error('gone'));
        return go();
    });
    await moveAll(committed, uuid, 'manta', { signal: late.signal });
    t.same(storagesOf(await bench.raw(uuid)), ALL('manta'), 'once it has begun to switch, it is done');
    await requireAllAgree(t, bench, uuid);
});

void t.test('two calls for the same at once: both succeed', async (t) => {
    const bench = await makeBench(t, { config: MANTA });
    const uuid = await plantContainer(bench, ALL('local'));
    for (const [from, to] of DIRECTIONS) {
        const answers = await Promise.all([1, 2, 3].map(() => moveAll(bench, uuid, to)));
        for (const { raw } of answers) t.same(storagesOf(raw), ALL(to));
        await requireAllAgree(t, bench, uuid);
        const late = movingAt(bench, to, 'open', 1, async (go) => {
            await moveAll(bench, uuid, from);
            return go();
        });
        t.same(storagesOf((await moveAll(late, uuid, from)).raw), ALL(from), 'also if it is all over');
        await moveAll(bench, uuid, to);
    }
    t.equal(await bench.pendingDeletes(), 0);
});

void t.test('others change the image in the midst of it', async (t) => {
    const bench = await makeBench(t, { config: MANTA });
    const replaced = { status: 500, message: 'error moving image file: the file was replaced meanwhile' };
    const changes: readonly [string, (uuid: string) => Promise<unknown>, object][] = [
        ['the icon is replaced', (uuid) => addIcon(bench, uuid, SECOND, { storage: 'local' }), replaced],
        [
            'the icon is replaced, and put into the other storage',
            (uuid) => addIcon(bench, uuid, SECOND, { storage: 'manta' }),
            replaced,
        ],
        ['the icon is removed', (uuid) => deleteImageIcon(bench.services, bench.context(), uuid), replaced],
        [
            'the image is deleted',
            (uuid) => deleteImage(bench.services, bench.context(), uuid, false),
            { status: 404 },
        ],
    ];
    for (const [what, change, answer] of changes) {
        for (const [step, nth] of [
            ['createWriter', 1],
            ['close', 3],
        ] as const) {
            const uuid = await plantContainer(bench, ALL('local'));
            const meanwhile = movingAt(bench, 'manta', step, nth, async (go) => {
                const result = await go();
                await change(uuid);
                return result;
            });
            const found = await refusal(moveAll(meanwhile, uuid, 'manta'));
            if (step === 'createWriter' && what === 'the icon is removed') {
                t.match(found, {
                    status: 500,
                    message: 'error moving image file: file is missing from storage',
                });
            } else if (step === 'createWriter' && what.startsWith('the icon is replaced')) {
                t.match(found, { status: 500, message: /^error moving image file: / }, what);
            } else {
                t.match(found, answer, what);
            }
            if (await bench.exists(uuid)) {
                await requireAllAgree(t, bench, uuid, what);
                await deleteImage(bench.services, bench.context(), uuid, false);
            }
            t.same([...(await names(bench)), ...(await names(bench, bench.manta))], [], what);
        }
    }
    t.equal(await bench.pendingDeletes(), 0);
});
