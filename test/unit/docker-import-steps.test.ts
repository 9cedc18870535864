// A pull whose steps fail one after another, and whose client goes at each (jobs-and-imports 5.3).
import t, { type Test } from 'tap';
import type { Archive } from '#lib/archive/archive.js';
import { internalError } from '#lib/base/errors.js';
import type { Database } from '#lib/database/database.js';
import type { Storage, StorageWriter } from '#lib/storage/storage.js';
import { MemoryArchive } from '../helpers/image-bench.js';
import { replacing } from '../helpers/image-faults.js';
import { failureOf, pullBench, stagedFiles, type PullBench } from '../helpers/pull-bench.js';

/** Runs before the call that is looked at. */
type Instead = () => void;

/** Counts the calls of all services, and has one of them go another way. */
class Calls {
    /** Names of the calls made so far. */
    readonly made: string[] = [];
    #nth = 0;
    #instead: Instead = () => undefined;

    /** From now on. @param nth from 1; 0: none */
    arm(nth: number, instead: Instead): void {
        this.made.length = 0;
        this.#nth = nth;
        this.#instead = instead;
    }

    readonly database = (real: Database): Database =>
        replacing(real, {
            get: (...args) => this.#run('get', () => real.get(...args)),
            search: (...args) => this.#run('search', () => real.search(...args)),
            create: (...args) => this.#run('create', () => real.create(...args)),
            update: (...args) => this.#run('update', () => real.update(...args)),
            del: (...args) => this.#run('del', () => real.del(...args)),
        });

    readonly storage = (real: Storage): Storage => {
        const wrap = (writer: StorageWriter): StorageWriter =>
            replacing(writer, {
                write: (chunk) => this.#run('write', () => writer.write(chunk)),
                close: () => this.#run('close', () => writer.close()),
                commit: () => this.#run('commit', () => writer.commit()),
            });
        return replacing(real, {
            // So that there are more steps.
            adopt: () => Promise.resolve(undefined),
            stat: (...args) => this.#run('stat', () => real.stat(...args)),
            createWriter: (...args) =>
                this.#run('createWriter', async () => wrap(await real.createWriter(...args))),
        });
    };

    archive(real: Archive): Archive {
        return replacing(real, { write: (raw) => this.#run('archive', () => real.write(raw)) });
    }

    async #run<T>(name: string, go: () => Promise<T>): Promise<T> {
        this.made.push(name);
        if (this.made.length === this.#nth) this.#instead();
        return go();
    }
}

interface Place extends PullBench {
    readonly calls: Calls;
}

async function stepBench(t: Test): Promise<Place> {
    const calls = new Calls();
    const place = await pullBench(t, {
        backend: 'memory',
        wrapDatabase: calls.database,
        wrapStorage: calls.storage,
        archive: calls.archive(new MemoryArchive()),
        config: { databaseType: 'local' },
    });
    return { ...place, calls };
}

/** Every image is whole, and there is nothing else but what waits for the next pull. */
async function expectWhole(t: Test, { bench }: Place, uuids: readonly string[], what: string): Promise<void> {
    const active: string[] = [];
    for (const uuid of uuids) {
        if (await bench.exists(uuid)) {
            t.match(await bench.raw(uuid), { state: 'active', x_imgapi: undefined }, what);
            active.push(`${uuid} file0`);
        }
    }
    await bench.pendingDeletes();
    const files = (await bench.files()).filter(({ uuid }) => uuids.includes(uuid));
    t.same(files.map(({ uuid, name }) => `${uuid} ${name}`).sort(), active.sort(), what);
    const staged = stagedFiles(bench.base);
    t.same(
        staged.filter((name) => !/\.(data|json)$/.test(name)),
        [],
        what,
    );
}

/**
 * Pulls an image of two layers again and again, while another one of its calls goes another way each time.
 *
 * @returns how many calls a pull makes
 */
async function atEachCall(
    t: Test,
    run: (place: Place, nth: number, tag: string) => Promise<unknown>,
): Promise<number> {
    const place = await stepBench(t);
    const offer = (tag: string): ReturnType<Place['offer']> =>
        place.offer(
            {
                layers: [
                    { seed: `${tag} 1`, size: 100 },
                    { seed: `${tag} 2`, size: 100 },
                ],
            },
            tag,
        );
    await offer('clean');
    place.calls.arm(0, () => undefined);
    await place.pull('clean');
    const count = place.calls.made.length;
    for (let nth = 1; nth <= count; nth += 1) {
        const tag = `at-${nth}`;
        const { uuids } = await offer(tag);
        await run(place, nth, tag);
        const what = `${nth} ${place.calls.made[nth - 1] ?? ''}`;
        t.ok(place.calls.made.length >= nth, `${what} was made`);
        place.calls.arm(0, () => undefined);
        await expectWhole(t, place, uuids, what);
        const again = await place.pull(tag);
        t.match(again.at(-1), { payload: { status: /^Status: / } }, `${what}: the next pull has it`);
        for (const uuid of uuids) t.equal((await place.bench.raw(uuid)).state, 'active', what);
    }
    return count;
}

void t.test('any call may fail', async (t) => {
    const count = await atEachCall(t, async ({ calls, pull }, nth, tag) => {
        calls.arm(nth, () => {
            throw internalError('broken');
        });
        const failure = failureOf(await pull(tag));
        // What cannot be looked at again, e.g. the origin of what has been stored, ends nothing.
        if (failure !== undefined) t.match(failure, { code: 'InternalError', message: /./ });
    });
    t.ok(count > 20, `${count} calls`);
});

void t.test('the client may go at any call', async (t) => {
    await atEachCall(t, async ({ calls, pull }, nth, tag) => {
        const client = new AbortController();
        calls.arm(nth, () => client.abort(new Error('the client has gone')));
        await pull(tag, { signal: client.signal });
    });
});
