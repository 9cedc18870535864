import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { internalError, storageIsDown } from '#lib/base/errors.js';
import type { Database } from '#lib/database/database.js';
import { type Instead, type Step, withStep } from '../helpers/failing-steps.js';
import { replacing } from '../helpers/image-faults.js';
import { lxdBench, said } from '../helpers/lxd-bench.js';

const FILES: readonly [Buffer, Buffer] = [randomBytes(500), randomBytes(4000)];

type Call = 'create' | 'update';

/** A database one call of which goes another way. @param nth from 1 */
function withCall(database: Database, call: Call, nth: number, instead: Instead): Database {
    let count = 0;
    const run = <T>(what: Call, go: () => Promise<T>): Promise<T> => {
        count += what === call ? 1 : 0;
        return what === call && count === nth ? (instead(go) as Promise<T>) : go();
    };
    return replacing(database, {
        create: (...args) => run('create', () => database.create(...args)),
        update: (...args) => run('update', () => database.update(...args)),
    });
}

/** Every step of the import of an image of two files, and how often it is done. */
const STEPS: readonly (readonly [Step | Call, number])[] = [
    ['createWriter', 2],
    ['write', 2],
    ['close', 2],
    ['create', 1],
    ['commit', 2],
    ['update', 3],
    ['stat', 2],
];

/** The client of the import at hand. */
let client = new AbortController();

/** Imports while one step goes another way, then once more. @returns what the first import said at last */
async function interrupted(t: Test, step: Step | Call, nth: number, instead: Instead): Promise<unknown> {
    let happened = 0;
    const counted: Instead = (go) => {
        happened += 1;
        return instead(go);
    };
    const { site, bring, bench } = await lxdBench(t, {
        backend: 'memory',
        wrapDatabase: (database) =>
            step === 'create' || step === 'update' ? withCall(database, step, nth, counted) : database,
        wrapStorage: (storage) =>
            step === 'create' || step === 'update' ? storage : withStep(storage, step, nth, counted),
    });
    const { uuid } = site.put('p', { aliases: 'a', split: FILES });
    const lines = await bring('a', { signal: client.signal });
    t.equal(happened, 1, 'the step was done');
    if (said(lines).at(-1) === 'Pull complete') {
        t.match(await bench.raw(uuid), { state: 'active' });
        return undefined;
    }
    t.notOk(await bench.exists(uuid), 'no record stays');
    await bench.pendingDeletes();
    t.same(await bench.files(), [], 'no file stays');
    client = new AbortController();
    t.equal(said(await bring('a')).at(-1), 'Pull complete', 'the next import has it');
    for (const [index, bytes] of FILES.entries()) {
        t.ok((await bench.bytes(uuid, `file${index}`))?.equals(bytes));
    }
    return said(lines).at(-1);
}

void t.test('any step may fail', async (t) => {
    for (const [step, times] of STEPS) {
        for (let nth = 1; nth <= times; nth += 1) {
            await t.test(`${step} ${nth}`, async (t) => {
                const error =
                    step === 'create' || step === 'update' ? internalError('broken') : storageIsDown();
                const end = await interrupted(t, step, nth, () => Promise.reject(error));
                t.match(end, { code: /^(InternalError|StorageIsDown)$/, message: /./ });
            });
        }
    }
});

void t.test('a client may go at any step', async (t) => {
    for (const [step, times] of STEPS) {
        for (let nth = 1; nth <= times; nth += 1) {
            await t.test(`${step} ${nth}`, async (t) => {
                client = new AbortController();
                await interrupted(t, step, nth, (go) => {
                    client.abort(new Error('the client has gone'));
                    return go();
                });
            });
        }
    }
});
