import t from 'tap';
import { createImage } from '#lib/images/create-image.js';
import { deleteImage } from '#lib/images/delete-image.js';
import type { Database } from '#lib/database/database.js';
import type { JsonValue, RawImage } from '#lib/manifest/types.js';
import { type Bench, CHANNELS, makeBench, onEveryBackend, refusal, refused } from '../helpers/image-bench.js';
import { replacing } from '../helpers/image-faults.js';
import { USERS } from '../helpers/images.js';
import { FIRST, imageBody, plantImage } from '../helpers/planted-images.js';

const { vader, luke } = USERS;

function create(bench: Bench, body: JsonValue | undefined, context = {}) {
    return createImage(bench.services, bench.context(context), body);
}

void t.test('DeleteImage', (t) => {
    const remove = (bench: Bench, uuid: string, context = {}, force = false) =>
        deleteImage(bench.services, bench.context(context), uuid, force);

    onEveryBackend(t, 'record and bytes', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plantImage(bench, { active: true });
        await bench.plantFile(uuid, 'icon', FIRST);
        t.equal((await refusal(remove(bench, uuid, { account: luke }))).status, 404);
        await remove(bench, uuid, { account: vader });
        t.notOk(await bench.exists(uuid));
        t.same(await bench.files(), [], 'also bytes without an entry');
        t.equal(await bench.pendingDeletes(), 0);
        t.equal((await refusal(remove(bench, uuid))).status, 404);
    });

    onEveryBackend(t, 'dependents', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const origin = await plantImage(bench, { active: true });
        const dependents: string[] = [];
        for (let count = 0; count < 3; count += 1) {
            dependents.push((await create(bench, { ...imageBody(), origin })).raw.uuid);
        }
        const list = [...dependents].sort().join(', ');
        t.same(
            await refusal(remove(bench, origin)),
            refused(
                422,
                'ImageHasDependentImages',
                `image "${origin}" has 3 dependent incremental image(s): ${list}`,
            ),
        );
        t.same(await bench.bytes(origin, 'file0'), FIRST);
        for (const dependent of dependents) await remove(bench, dependent);
        await remove(bench, origin);
        t.notOk(await bench.exists(origin));
    });

    onEveryBackend(t, 'an origin does not vanish under a new dependent', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        for (let round = 0; round < 10; round += 1) {
            const origin = await plantImage(bench, { active: true });
            const [made, gone] = await Promise.allSettled([
                create(bench, { ...imageBody(), origin }),
                remove(bench, origin),
            ]);
            t.not(made.status, gone.status, 'exactly one of the two happens');
            t.equal(await bench.exists(origin), made.status === 'fulfilled');
        }
    });

    onEveryBackend(t, 'channels', async (t, backend) => {
        const bench = await makeBench(t, { backend, config: { channels: CHANNELS } });
        const origin = await plantImage(bench, {
            active: true,
            more: { channels: ['dev', 'release', 'experimental'] },
        });
        const dependent = await plantImage(bench, { more: { channels: ['release'], origin } });
        t.equal(
            (await refusal(remove(bench, origin, { channel: 'release' }))).code,
            'ImageHasDependentImages',
        );
        await remove(bench, origin, { channel: 'dev' });
        t.same((await bench.raw(origin)).channels, ['release', 'experimental']);
        t.equal((await refusal(remove(bench, origin, { channel: 'dev' }))).status, 404);
        t.equal(
            (await refusal(remove(bench, origin, { channel: 'experimental' }, true))).code,
            'ImageHasDependentImages',
            'really deleting looks in every channel',
        );
        await remove(bench, dependent, { channel: 'release' });
        t.notOk(await bench.exists(dependent), 'in one channel only: deleted');
        await remove(bench, origin, { channel: 'experimental' }, true);
        t.notOk(await bench.exists(origin));
        t.same(await bench.files(), []);
    });

    void t.test('a dependent made meanwhile, of which the client does not hear any more', async (t) => {
        const dependents: RawImage[] = [];
        const wrapDatabase = (real: Database) =>
            replacing(real, {
                del: async (uuid: string, options) => {
                    await real.del(uuid, options);
                    for (const dependent of dependents) await real.create(dependent);
                    client.abort(new Error('the client has gone'));
                },
            });
        const client = new AbortController();
        const bench = await makeBench(t, { wrapDatabase });
        const origin = await plantImage(bench, { active: true });
        const made = await plantImage(bench, { more: { origin } });
        dependents.push(await bench.raw(made));
        await bench.memory().database.del(made);
        const gone = remove(bench, origin, { signal: client.signal });
        t.equal((await refusal(gone)).code, 'ImageHasDependentImages');
        t.ok(await bench.exists(origin), 'it is back');
        t.same(await bench.bytes(origin, 'file0'), FIRST);
    });

    void t.test('an image leaves its last two channels at once', async (t) => {
        // What another process does between the reading and the writing here.
        let other = (): Promise<unknown> => Promise.resolve();
        const wrapDatabase = (real: Database) =>
            replacing(real, {
                update: async (uuid: string, change) => {
                    await other();
                    return real.update(uuid, change);
                },
            });
        const bench = await makeBench(t, { wrapDatabase, config: { channels: CHANNELS } });
        const uuid = await plantImage(bench, { active: true, more: { channels: ['dev', 'release'] } });
        other = () => bench.memory().database.update(uuid, (raw) => ({ ...raw, channels: ['dev'] }));
        const { status, code, message } = await refusal(remove(bench, uuid, { channel: 'dev' }));
        t.same([status, code, message], [503, 'ServiceUnavailableError', 'service unavailable']);
        t.same((await bench.raw(uuid)).channels, ['dev'], 'it is never in none');
        await remove(bench, uuid, { channel: 'dev' });
        t.notOk(await bench.exists(uuid), 'the next try deletes it');
    });
    t.end();
});
