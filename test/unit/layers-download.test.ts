// Layers of Docker images on their way into the staging area (jobs-and-imports 5.3, 9.9).
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { MAX_IMAGE_SIZE } from '#lib/base/constants.js';
import { digestPool } from '#lib/base/digests/digest-pool.js';
import { unpackedDigest } from '#lib/transfers/layers/unpacked-digest.js';
import { md5Base64, sha1Hex } from '../helpers/images.js';
import { type BlobAnswer, digestOf, LayerPlace, ScriptedBlob } from '../helpers/layer-place.js';

const MIB = 1_048_576;
const COMPLETE = 'Download complete';
const PULLING = 'Pulling fs layer';

t.teardown(() => digestPool.stop());

/** What went wrong with a layer; nothing of it may be left. */
async function failure(t: Test, blob: ScriptedBlob, place = new LayerPlace(t)): Promise<unknown> {
    const error: unknown = await place.fetch(blob.wanted).held.then(
        () => t.fail('it did not fail'),
        (reason: unknown) => reason,
    );
    t.same(place.names(), [], 'nothing is left');
    t.equal(blob.open, 0, 'no body is open');
    return error;
}

void t.test('a layer lies there with all that is known of it', async (t) => {
    const place = new LayerPlace(t);
    const bytes = randomBytes(3 * MIB);
    const blob = new ScriptedBlob(bytes, [], { compression: 'xz' });
    const { held, heard } = place.fetch(blob.wanted);
    const { layer } = await held;
    const { uuid, digest, uncompressedDigest } = blob.wanted;
    const facts = {
        uuid,
        digest,
        uncompressedDigest,
        size: bytes.length,
        sha1: sha1Hex(bytes),
        contentMD5: md5Base64(bytes),
        compression: 'xz',
        at: new Date(place.clock.time).toISOString(),
    };
    t.strictSame(layer, { ...facts, path: join(place.directory, `${uuid}.data`) });
    t.same(place.names(), place.pair(uuid));
    const written = place.json(uuid) as object;
    t.strictSame(written, facts);
    t.same(Object.keys(written), Object.keys(facts), 'keys in order');
    t.ok(readFileSync(layer.path).equals(bytes));
    const [first, ...others] = heard;
    t.strictSame(first, { status: PULLING });
    t.strictSame(others.pop(), { status: COMPLETE });
    let last = 0;
    for (const { status, progressDetail } of others) {
        t.equal(status, 'Downloading');
        const { current = 0, total, start = 0 } = progressDetail ?? {};
        t.ok(current - last > 524_288 && current - last <= 524_288 + 65_536, `${current} after ${last}`);
        t.equal(total, bytes.length);
        t.ok(Number.isInteger(start) && Math.abs(start - Date.now() / 1000) < 60);
        last = current;
    }
    t.equal(others.length, 5);
});

void t.test('one that an earlier pull has left is not fetched again', async (t) => {
    const place = new LayerPlace(t);
    const blob = new ScriptedBlob(randomBytes(1000));
    (await place.fetch(blob.wanted).held).release();
    const later = place.fetch(blob.wanted, place.other());
    const { layer } = await later.held;
    t.equal(layer.size, 1000);
    t.same(later.heard, [{ status: 'Download complete (cached)' }]);
    t.equal(blob.asked.length, 1);
});

void t.test('what breaks off goes on where it was', async (t) => {
    const place = new LayerPlace(t);
    const answers: BlobAnswer[] = [
        { status: 503 },
        { cut: MIB, announced: 3 * MIB },
        { status: 429 },
        { cut: 2 * MIB },
    ];
    const blob = new ScriptedBlob(randomBytes(3 * MIB), answers);
    const { held, statuses } = place.fetch(blob.wanted);
    t.equal((await held).layer.size, 3 * MIB);
    t.same(blob.asked, [undefined, undefined, MIB, MIB, 2 * MIB]);
    t.equal(statuses().filter((status) => status === PULLING).length, 1, 'it begins once');
    t.equal(blob.open, 0);
});

void t.test('where a registry gives all or nothing, it starts over', async (t) => {
    const place = new LayerPlace(t);
    const blob = new ScriptedBlob(randomBytes(2 * MIB), [{ cut: MIB }, { whole: true }]);
    const { held, statuses } = place.fetch(blob.wanted);
    t.equal((await held).layer.size, 2 * MIB);
    t.same(blob.asked, [undefined, MIB, undefined]);
    t.equal(statuses().filter((status) => status === PULLING).length, 2);
});

void t.test('silence is broken off', async (t) => {
    const place = new LayerPlace(t, { stallMs: 30 });
    const blob = new ScriptedBlob(randomBytes(MIB), [{ silentFrom: 100_000 }]);
    const { held, statuses } = place.fetch(blob.wanted);
    t.equal((await held).layer.size, MIB);
    t.ok(statuses().includes('Connection timed out'));
    t.same(blob.asked, [undefined, 100_000]);

    const silent = new ScriptedBlob(randomBytes(MIB), new Array<BlobAnswer>(9).fill({ silentFrom: 100_000 }));
    const message = 'Download error: connection timed out';
    t.match(await failure(t, silent, new LayerPlace(t, { stallMs: 10 })), { code: 'Download', message });
    t.equal(silent.asked.length, 5);
});

void t.test('other bytes than those of the digest are fetched anew, five times at most', async (t) => {
    const place = new LayerPlace(t);
    const bytes = randomBytes(600_000);
    const other = randomBytes(600_000);
    const wrong = { instead: other };
    const blob = new ScriptedBlob(bytes, [wrong, wrong, wrong, wrong]);
    const { held, statuses } = place.fetch(blob.wanted);
    t.ok(readFileSync((await held).layer.path).equals(bytes));
    t.same(blob.asked, new Array(5).fill(undefined), 'from zero');
    t.equal(statuses().filter((status) => status === PULLING).length, 5);

    const bad = new ScriptedBlob(bytes, [wrong, wrong, wrong, wrong, wrong]);
    const message = `layer digest does not match, got ${digestOf(other)}, expected ${digestOf(bytes)}`;
    t.match(await failure(t, bad), { code: 'Download', message });
    t.equal(bad.asked.length, 5);
});

void t.test('another length than the one announced', async (t) => {
    const bytes = randomBytes(600_000);
    const short = new ScriptedBlob(bytes, new Array<BlobAnswer>(9).fill({ announced: 700_000 }));
    t.match(await failure(t, short), {
        code: 'Download',
        message: 'Download error: "Content-Length" header, 700000, does not match downloaded size, 600000',
    });
    const long = new ScriptedBlob(bytes, new Array<BlobAnswer>(9).fill({ announced: 500_000 }));
    t.match(await failure(t, long), {
        code: 'Download',
        message: 'Download error: "Content-Length" header, 500000, does not match downloaded size, 600000',
    });
    t.equal(long.asked.length, 5);
    const place = new LayerPlace(t);
    const unknown = new ScriptedBlob(bytes, [{ announced: null }]);
    const { held, heard } = place.fetch(unknown.wanted);
    t.equal((await held).layer.size, 600_000);
    t.match(heard[1], { progressDetail: { total: -1 } });
});

void t.test('a layer that is too big is not read', async (t) => {
    const blob = new ScriptedBlob(randomBytes(100), [{ announced: MAX_IMAGE_SIZE + 1 }]);
    const message = 'Image file size, 21474836481, exceeds the maximum allowed file size, 20 GiB';
    t.match(await failure(t, blob), { code: 'ImageFileTooBig', message });
    t.equal(blob.asked.length, 1);
});

void t.test('what a registry refuses is told as it is', async (t) => {
    const missing = new ScriptedBlob(randomBytes(100), [{ status: 404 }]);
    t.match(await failure(t, missing), { kind: 'status', status: 404 });
    const down = new ScriptedBlob(randomBytes(100), new Array<BlobAnswer>(9).fill({ status: 503 }));
    t.match(await failure(t, down), { kind: 'status', status: 503 });
    t.equal(down.asked.length, 5);
});

void t.test('the first bytes tell the compression, if nothing else does', async (t) => {
    const place = new LayerPlace(t);
    for (const [compression, head] of [
        ['gzip', '1f8b0800'],
        ['bzip2', '425a6839'],
        ['xz', 'fd377a585a00'],
        ['none', '75737461'],
    ] as const) {
        const blob = new ScriptedBlob(Buffer.concat([Buffer.from(head, 'hex'), randomBytes(500)]));
        const { layer } = await place.fetch(blob.wanted).held;
        t.equal(layer.compression, compression);
    }
    const tiny = new ScriptedBlob(Buffer.from('1f8b', 'hex'));
    t.equal((await place.fetch(tiny.wanted).held).layer.compression, 'none');
});

void t.test('zstd is refused before the rest is waited for', async (t) => {
    const bytes = Buffer.concat([Buffer.from('28b52ffd', 'hex'), randomBytes(MIB)]);
    const blob = new ScriptedBlob(bytes, [{ silentFrom: 100_000 }]);
    const message = 'zstd-compressed layers are not supported';
    t.match(await failure(t, blob), { code: 'NotImplemented', message });
    t.equal(blob.asked.length, 1);
});

void t.test('what a layer is unpacked', async (t) => {
    const place = new LayerPlace(t);
    const without = (blob: ScriptedBlob): ScriptedBlob => {
        delete (blob.wanted as { uncompressedDigest?: string }).uncompressedDigest;
        return blob;
    };
    const tar = randomBytes(MIB);
    const plain = without(new ScriptedBlob(tar));
    t.equal((await place.fetch(plain.wanted).held).layer.uncompressedDigest, digestOf(tar));
    const members = Buffer.concat([gzipSync(tar.subarray(0, 1000)), gzipSync(tar.subarray(1000))]);
    const packed = without(new ScriptedBlob(members));
    const { held, statuses } = place.fetch(packed.wanted);
    t.equal((await held).layer.uncompressedDigest, digestOf(tar), 'all members of a file count');
    t.same(statuses().slice(-3), ['Uncompressing layer', 'Uncompression completed', COMPLETE]);
    const xz = without(new ScriptedBlob(randomBytes(100), [], { compression: 'xz' }));
    t.match(await failure(t, xz), { code: 'InternalError', message: 'Unsupported layer compression: xz' });
    const broken = without(new ScriptedBlob(members.subarray(0, -9)));
    t.match(await failure(t, broken), {
        code: 'Download',
        message: /^Download error: layer is no gzip file: unexpected end of file$/,
    });
});

void t.test('unpacking has a bound, and an end', async (t) => {
    const path = join(t.testdir(), 'layer');
    const bomb = gzipSync(Buffer.alloc(8 * MIB));
    writeFileSync(path, bomb);
    const never = new AbortController().signal;
    t.equal(
        `sha256:${await unpackedDigest(path, bomb.length, never, 8 * MIB)}`,
        digestOf(Buffer.alloc(8 * MIB)),
    );
    await t.rejects(unpackedDigest(path, bomb.length, never, 8 * MIB - 1), { code: 'ImageFileTooBig' });
    const stop = new AbortController();
    const unpacking = unpackedDigest(path, bomb.length, stop.signal);
    stop.abort(new Error('gone'));
    await t.rejects(unpacking, { message: 'gone' });
    await t.rejects(unpackedDigest(`${path}.x`, 1, never), { code: 'InternalError' });
});
