import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import type { StoredImage } from '#lib/database/database.js';
import type { RawImage } from '#lib/manifest/types.js';
import { record } from '../helpers/records.js';
import { openMoray, startMoray } from '../helpers/moray-databases.js';

const BUCKET = 'imgapi_images';
const unavailable = { code: 'ServiceUnavailableError', status: 503, message: 'service unavailable' };

function withAcl(raw: RawImage, account: string): RawImage {
    return { ...raw, acl: [...raw.acl, account] };
}

void t.test('calls of each operation', async (t) => {
    const moray = await startMoray(t);
    const { database } = await openMoray(t, moray.port);
    const count = async <T>(what: string, calls: object, work: () => Promise<T>): Promise<T> => {
        moray.resetRpcCounts();
        const result = await work();
        const { total, ...counts } = moray.rpcCounts;
        t.same(counts, calls, `${what}: ${total}`);
        return result;
    };
    const raw = record();
    const rename = (name: string) => (old: RawImage) => ({ ...old, name });
    await count('create', { putObject: 1 }, () => database.create(raw));
    let seen = await count('get', { getObject: 1 }, () => database.get(raw.uuid));
    await count('update of what was seen', { putObject: 1 }, () =>
        database.update(raw.uuid, rename('a'), seen),
    );
    await count('update of what is outdated by this process', { getObject: 1, putObject: 1 }, () =>
        database.update(raw.uuid, rename('b')),
    );
    const read = await database.get(raw.uuid);
    await database.update(raw.uuid, rename('c'));
    await count('its own write is newer than what was seen', { putObject: 1 }, () =>
        database.update(raw.uuid, rename('d'), read),
    );
    t.equal((await database.get(raw.uuid)).raw.name, 'd');
    seen = await database.get(raw.uuid);
    const to = randomUUID();
    await count('move', { batch: 1 }, () =>
        database.move(raw.uuid, to, (old) => ({ ...old, uuid: to }), seen),
    );
    seen = await database.get(to);
    await count('no change', {}, () => database.update(to, () => undefined, seen));
    await count('delete', { delObject: 1 }, () => database.del(to, { seen }));
    await count('ping', { ping: 1 }, () => database.ping());
    t.equal(moray.cachedReads, 0, 'never content with an old copy');
});

void t.test('two processes: neither loses nor misses what the other writes', async (t) => {
    const moray = await startMoray(t);
    const { database: one } = await openMoray(t, moray.port);
    const { database: two } = await openMoray(t, moray.port);
    const { raw } = await one.create(record());
    const seen = await two.get(raw.uuid);
    await one.update(raw.uuid, (old) => ({ ...old, name: 'one' }));
    t.equal((await two.get(raw.uuid)).raw.name, 'one', 'at once');
    t.equal((await two.search({ anyOf: [{ name: 'one' }], order: 'asc' })).length, 1);
    const changed = await two.update(raw.uuid, (old) => ({ ...old, version: '2' }), seen);
    t.match(changed.raw, { name: 'one', version: '2' }, 'what the other wrote is kept');
    t.same((await one.get(raw.uuid)).raw, changed.raw);

    const judged: string[] = [];
    const kept = new Error('kept');
    // A process of its own, for one that was too slow a moment ago looks again first.
    const { database: three } = await openMoray(t, moray.port);
    const before = await three.get(raw.uuid);
    await one.update(raw.uuid, (old) => ({ ...old, name: 'keep' }));
    const check = ({ raw: { name } }: StoredImage): void => {
        judged.push(name);
        if (name === 'keep') {
            throw kept;
        }
    };
    await t.rejects(three.del(raw.uuid, { seen: before, check }), kept);
    t.same(judged, ['one', 'keep'], 'judged again on the newer one');

    const created = await Promise.allSettled(
        [1, 2, 3, 4].map((n) =>
            (n % 2 ? one : two).create({ ...raw, uuid: '4a9d2c9b-8e8b-4c1b-9f7e-6a4ff0a1b2c3' }),
        ),
    );
    t.equal(created.filter(({ status }) => status === 'fulfilled').length, 1, 'one of four creates wins');
    for (const result of created) {
        if (result.status === 'rejected') {
            t.match(result.reason, { code: 'ImageUuidAlreadyExists', status: 409 });
        }
    }
    await one.del(raw.uuid);
    const gone = { code: 'ResourceNotFound', status: 404, message: `image ${raw.uuid} not found` };
    await t.rejects(
        three.update(raw.uuid, (old) => ({ ...old, name: 'x' }), before),
        gone,
    );
    await t.rejects(three.del(raw.uuid, { seen: before }), gone);
});

void t.test('two processes, 50 queued changes each of one image: all are done', async (t) => {
    const moray = await startMoray(t);
    const databases = [await openMoray(t, moray.port), await openMoray(t, moray.port)];
    for (const order of ['queued by the database', 'queued by the caller']) {
        const { raw } = await databases[0]!.database.create(record());
        const accounts: string[] = [];
        await Promise.all(
            databases.map(async ({ database }) => {
                let last: Promise<unknown> = Promise.resolve();
                const all = Array.from({ length: 50 }, async () => {
                    const account = randomUUID();
                    accounts.push(account);
                    const change = async (old: RawImage): Promise<RawImage> => {
                        await delay(3);
                        return withAcl(old, account);
                    };
                    const seen = await database.get(raw.uuid);
                    const update = () => database.update(raw.uuid, change, seen);
                    last = order === 'queued by the caller' ? last.then(update) : update();
                    await last;
                });
                await Promise.all(all);
            }),
        );
        t.same([...(await databases[0]!.database.get(raw.uuid)).raw.acl].sort(), accounts.sort(), order);
    }
});

void t.test('others that are faster every time', async (t) => {
    const moray = await startMoray(t);
    const { database } = await openMoray(t, moray.port);
    const { raw } = await database.create(record());
    let tries = 0;
    await t.rejects(
        database.update(raw.uuid, async (old) => {
            tries += 1;
            await moray.putRaw(BUCKET, raw.uuid, { ...old, name: `n${tries}` });
            return { ...old, version: 'x' };
        }),
        { ...unavailable, headers: { 'Retry-After': '5' } },
    );
    t.equal(tries, 8);
    t.match((await database.get(raw.uuid)).raw, { name: 'n8', version: raw.version });
});

void t.test('writes whose answers are lost', async (t) => {
    const moray = await startMoray(t);
    const { database } = await openMoray(t, moray.port);
    for (const when of ['before', 'after'] as const) {
        const raw = record();
        moray.breakOff('putObject', 1, when);
        t.equal((await database.create(raw)).raw.uuid, raw.uuid, `create, broken off ${when}`);

        let tries = 0;
        const account = randomUUID();
        moray.breakOff('putObject', 1, when);
        const updated = await database.update(raw.uuid, (old) => {
            tries += 1;
            return withAcl(old, account);
        });
        t.same(updated.raw.acl, [account], 'done once');
        t.equal(tries, when === 'before' ? 2 : 1);
        t.equal((await database.get(raw.uuid)).raw, updated.raw);

        const to = randomUUID();
        moray.breakOff('batch', 1, when);
        t.equal((await database.move(raw.uuid, to, (old) => ({ ...old, uuid: to }))).raw.uuid, to);
        await t.rejects(database.get(raw.uuid), { code: 'ResourceNotFound' });

        moray.breakOff('delObject', 1, when);
        await database.del(to);
        await t.rejects(database.get(to), { code: 'ResourceNotFound' });
    }
});

void t.test(
    'a lost write that somebody else has overwritten is not told of as done or refused',
    async (t) => {
        const moray = await startMoray(t);
        const { database } = await openMoray(t, moray.port);
        const raw = record();
        const lose = async (
            method: string,
            work: Promise<unknown>,
            after: () => Promise<unknown>,
        ): Promise<void> => {
            const rejected = t.rejects(work, unavailable, method);
            const gate = moray.pauseMethod('getObject');
            await gate.arrived();
            await after();
            gate.resume();
            await rejected;
        };
        moray.breakOff('putObject', 1, 'after');
        await lose('create', database.create(raw), () =>
            moray.putRaw(BUCKET, raw.uuid, { ...raw, name: 'other' }),
        );
        const seen = await database.get(raw.uuid);
        moray.breakOff('putObject', 1, 'after');
        await lose(
            'update',
            database.update(raw.uuid, (old) => ({ ...old, name: 'mine' }), seen),
            () => moray.putRaw(BUCKET, raw.uuid, { ...raw, name: 'another' }),
        );
        t.equal((await database.get(raw.uuid)).raw.name, 'another');
    },
);

void t.test('what index columns cannot hold', async (t) => {
    const moray = await startMoray(t);
    const { database } = await openMoray(t, moray.port);
    const refused = {
        code: 'ValidationFailed',
        status: 422,
        errors: [
            { field: 'billing_tags', code: 'Invalid', message: 'invalid image "billing_tags" entry : ' },
        ],
    };
    await t.rejects(database.create(record({ billing_tags: ['x', ''] })), refused);
    const { raw } = await database.create(record({ urn: 'sdc:one:two:1.0.0' }));
    await t.rejects(
        database.update(raw.uuid, (old) => ({ ...old, billing_tags: [''] })),
        refused,
    );
    const other = record({ urn: 'sdc:one:two:1.0.0' });
    await t.rejects(database.create(other), { status: 500, message: `error saving image ${other.uuid}` });
    const to = randomUUID();
    const moved = await database.move(raw.uuid, to, (old) => ({ ...old, uuid: to }));
    t.equal(moved.raw.urn, 'sdc:one:two:1.0.0', 'a unique field moves with its record');
});
