// Layers of Docker images on disks that are full, read-only or out of order (jobs-and-imports 9.9, 11).
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { digestPool } from '#lib/base/digests/digest-pool.js';
import { noMounting, SmallDisk } from '../helpers/injected-faults.js';
import { temporaryDirectory } from '../helpers/server-process.js';
import { LayerPlace, ScriptedBlob } from '../helpers/layer-place.js';

const MIB = 1_048_576;
const DOWN = { code: 'StorageIsDown', message: 'storage is down at the moment' };

t.teardown(() => digestPool.stop());

function smallDisk(t: Test, kilobytes: number): { readonly place: LayerPlace; readonly disk: SmallDisk } {
    const base = temporaryDirectory();
    const disk = new SmallDisk(base, kilobytes);
    t.teardown(() => {
        disk.unmount();
        rmSync(base, { recursive: true });
    });
    const place = new LayerPlace(t, {}, base);
    return { place, disk };
}

const skip = noMounting();

void t.test('a full disk', { skip }, async (t) => {
    const { place } = smallDisk(t, 2048);
    for (const size of [3 * MIB, 20 * MIB]) {
        const blob = new ScriptedBlob(randomBytes(size));
        await t.rejects(place.fetch(blob.wanted).held, DOWN);
        t.same(place.names(), []);
        t.equal(blob.open, 0);
        t.equal(blob.asked.length, 1, 'it is not tried again');
    }
    const small = new ScriptedBlob(randomBytes(MIB));
    const held = await place.fetch(small.wanted).held;
    t.equal(held.layer.size, MIB, 'what fits is fetched');
    const filler = join(place.base, 'filler');
    t.throws(() => writeFileSync(filler, Buffer.alloc(2 * MIB)), { code: 'ENOSPC' });
    const late = new ScriptedBlob(randomBytes(1));
    await t.rejects(place.fetch(late.wanted).held, DOWN);
    t.same(place.names(), place.pair(small.wanted.uuid));
    await held.discard();
    t.same(place.names(), []);
});

void t.test('a read-only disk', { skip }, async (t) => {
    const { place, disk } = smallDisk(t, 8192);
    const blob = new ScriptedBlob(randomBytes(MIB));
    const held = await place.fetch(blob.wanted).held;
    disk.setReadOnly(true);
    const other = new ScriptedBlob(randomBytes(100));
    await t.rejects(place.fetch(other.wanted).held, DOWN);
    await t.rejects(place.fetch(blob.wanted).held, DOWN, 'one that is there cannot be marked as used');
    await held.discard();
    t.ok(place.records.some(({ msg }) => msg === 'staged layer could not be removed'));
    disk.setReadOnly(false);
    const again = await place.fetch(blob.wanted).held;
    t.equal(blob.asked.length, 1, 'it is still good');
    await again.discard();
    t.same(place.names(), []);
});

void t.test('something else in the way', async (t) => {
    const place = new LayerPlace(t);
    const blob = new ScriptedBlob(randomBytes(1000));
    mkdirSync(join(place.base, 'staging'));
    writeFileSync(place.directory, '');
    await t.rejects(place.fetch(blob.wanted).held, {
        code: 'InternalError',
        message: /^error storing layer: /,
    });
});
