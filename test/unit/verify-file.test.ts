// Comparing a file of an image with its record: digests, archives, failures (operations 2.3).
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { baseDirectories } from '#lib/base/directories.js';
import { digestsOf } from '#lib/base/digests/digests.js';
import { newUuid } from '#lib/base/uuid.js';
import {
    type ExpectedFile,
    verifyFile,
    type Verdict,
    type VerifyOptions,
} from '#lib/maintenance/verify-file.js';
import { LocalStorage } from '#lib/storage/local/local-storage.js';
import type { OpenedFile } from '#lib/storage/storage.js';
import { imageDirectory } from '../helpers/images.js';
import { recordingLog } from '../helpers/recording-log.js';

const signal = new AbortController().signal;
const LARGE = randomBytes(3_000_000);

type Compression = NonNullable<ExpectedFile['compression']>;

function expectedOf(bytes: Buffer, compression: Compression = 'none'): Required<ExpectedFile> {
    const { sha1, md5, sha256 } = digestsOf(bytes);
    return { size: bytes.length, sha1, contentMD5: md5, sha256, compression };
}

interface Place {
    readonly put: (bytes: Buffer) => string;
    readonly verify: (
        uuid: string,
        expected: ExpectedFile,
        options?: Partial<VerifyOptions>,
    ) => Promise<Verdict>;
}

function place(t: Test): Place {
    const base = t.testdir({});
    const storage = new LocalStorage({ directories: baseDirectories(base), log: recordingLog().log });
    return {
        put: (bytes) => {
            const uuid = newUuid();
            mkdirSync(imageDirectory(base, uuid), { recursive: true });
            writeFileSync(join(imageDirectory(base, uuid), 'file0'), bytes);
            return uuid;
        },
        verify: (uuid, expected, options) =>
            verifyFile(storage, uuid, 'file0', expected, { level: 'read', signal, ...options }),
    };
}

/** What a program of this machine makes of bytes; `undefined`: it is not here. */
function packed(program: 'bzip2' | 'xz', bytes: Buffer): Buffer | undefined {
    const { status, stdout } = spawnSync(program, ['-c'], { input: bytes, maxBuffer: 1 << 26 });
    return status === 0 ? stdout : undefined;
}

function flipped(bytes: Buffer, at: number): Buffer {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    return changed;
}

void t.test('size and digests', async (t) => {
    const { put, verify } = place(t);
    for (const bytes of [Buffer.alloc(0), randomBytes(1000), LARGE]) {
        const uuid = put(bytes);
        const expected = expectedOf(bytes);
        const { path, identity, ...seen } = await verify(uuid, expected).then((verdict) => {
            if (verdict.kind !== 'good') throw new Error(verdict.kind);
            return verdict.seen;
        });
        const { sha1, contentMD5: md5, sha256, size } = expected;
        t.same(seen, { size, digests: { sha1, md5, sha256 } });
        t.match(path, uuid);
        t.match(identity, { ino: Number, mtimeMs: Number });
        const wrong: [Partial<ExpectedFile>, string][] = [
            [{ size: size + 1 }, `invalid size (actual ${size} != manifest ${size + 1})`],
            [{ sha1: 'a'.repeat(40) }, `invalid sha1 (actual ${sha1} != manifest ${'a'.repeat(40)})`],
            [{ sha256: 'b'.repeat(64) }, `invalid sha256 (actual ${sha256} != manifest ${'b'.repeat(64)})`],
            [{ contentMD5: 'c' }, `invalid md5 (actual ${md5} != manifest c)`],
        ];
        for (const [change, reason] of wrong) {
            t.match(await verify(uuid, { ...expected, ...change }), { kind: 'bad', reason });
        }
        const bare = await verify(uuid, { size, sha1: sha1.toUpperCase() });
        t.match(bare, { kind: 'good' });
        t.same(Object.keys((bare.kind === 'good' && bare.seen.digests) || {}), ['sha1'], 'no idle work');
    }
    t.same(await verify(newUuid(), expectedOf(LARGE)), { kind: 'missing' });
});

void t.test('how much is read', async (t) => {
    const { put, verify } = place(t);
    const uuid = put(LARGE);
    const expected = expectedOf(LARGE);
    const wrongSize = { ...expected, size: 1 };
    let count = 0;
    const onBytes = (bytes: number): undefined => void (count += bytes);
    const read = async (given: ExpectedFile, options: Partial<VerifyOptions>): Promise<number> => {
        count = 0;
        await verify(uuid, given, { onBytes, ...options });
        return count;
    };
    t.equal(await read(expected, {}), LARGE.length);
    t.equal(await read(expected, { level: 'stat' }), 0);
    t.equal(await read(expected, { isKnown: () => true }), 0);
    t.equal(await read(expected, { isKnown: () => false }), LARGE.length);
    t.equal(await read(wrongSize, {}), 0);
    t.equal(await read(wrongSize, { readsWrong: true, isKnown: () => true }), LARGE.length);
    t.match(await verify(uuid, wrongSize, { readsWrong: true }), {
        kind: 'bad',
        reason: `invalid size (actual ${LARGE.length} != manifest 1)`,
        seen: { digests: { sha1: expected.sha1 } },
    });
    t.match(await verify(uuid, { ...expected, sha1: 'x' }, { level: 'stat' }), { kind: 'good' });
});

void t.test('archives', async (t) => {
    const { put, verify } = place(t);
    const tried = async (compression: Compression, bytes: Buffer): Promise<Verdict> =>
        verify(put(bytes), expectedOf(bytes, compression));
    const text = Buffer.from(LARGE.subarray(0, 300_000).toString('base64'));
    for (const plain of [Buffer.from('a few words'), text]) {
        const archives: [Compression, Buffer | undefined][] = [
            ['gzip', gzipSync(plain)],
            ['bzip2', packed('bzip2', plain)],
            ['xz', packed('xz', plain)],
        ];
        for (const [compression, bytes] of archives) {
            if (bytes === undefined) {
                t.pass(`no ${compression} here`, { skip: `no ${compression} here` });
                continue;
            }
            const bad = { kind: 'bad', reason: `invalid ${compression} archive` };
            t.match(await tried(compression, bytes), { kind: 'good' }, compression);
            t.match(await tried(compression, Buffer.concat([bytes, bytes])), { kind: 'good' }, 'two of them');
            t.match(await tried(compression, bytes.subarray(0, -5)), bad, 'cut');
            t.match(await tried(compression, flipped(bytes, bytes.length >> 1)), bad, 'a bit');
            t.match(
                await tried(compression, flipped(bytes, bytes.length - 9)),
                bad,
                'a bit of the check sum',
            );
            t.match(await tried(compression, plain), bad, 'none at all');
            t.match(await tried(compression, Buffer.alloc(0)), bad, 'empty');
            t.match(await tried('none', bytes), { kind: 'good' });
            const broken = plain;
            const expected = { ...expectedOf(broken, compression), sha1: 'x' };
            t.match(await verify(put(broken), expected), { kind: 'bad', reason: /invalid sha1/ });
            const untested = { testArchive: false };
            t.match(await verify(put(broken), expectedOf(broken, compression), untested), { kind: 'good' });
        }
    }
});

void t.test('no program to unpack with', async (t) => {
    const { put, verify } = place(t);
    const { PATH } = process.env;
    process.env['PATH'] = t.testdir({});
    t.teardown(() => (process.env['PATH'] = PATH));
    const uuid = put(LARGE);
    t.match(await verify(uuid, expectedOf(LARGE, 'xz')), {
        kind: 'untested',
        reason: 'no program "xz" to test the archive with',
    });
    const wrong = { ...expectedOf(LARGE, 'xz'), sha1: 'x' };
    t.match(await verify(uuid, wrong), { kind: 'bad', reason: /invalid sha1/ });
    t.match(await verify(put(gzipSync(LARGE)), expectedOf(gzipSync(LARGE), 'gzip')), { kind: 'good' });
});

void t.test('reads that fail', async (t) => {
    const from = (stream: Readable, options: Partial<VerifyOptions> = {}): Promise<Verdict> => {
        const opened: OpenedFile = { stream, size: LARGE.length, bytesRead: () => 0 };
        const storage = { open: () => Promise.resolve(opened), stat: () => Promise.resolve(undefined) };
        const expected = expectedOf(LARGE, 'xz');
        return verifyFile(storage, newUuid(), 'file0', expected, { level: 'read', signal, ...options });
    };
    const broken = new Readable({ read: () => broken.destroy(new Error('disk')) });
    await t.rejects(from(broken), { message: 'disk' });
    const short = Readable.from([LARGE.subarray(0, 1_000_000)], { objectMode: false });
    t.match(await from(short), { kind: 'bad', reason: /^invalid size \(actual 1000000 / });
    for (const first of [Buffer.alloc(0), LARGE]) {
        const abort = new AbortController();
        const endless = new Readable({
            read: () => {
                endless.push(first);
                setImmediate(() => abort.abort(new Error('enough')));
            },
        });
        await t.rejects(from(endless, { signal: abort.signal }), { message: 'enough' });
        t.ok(endless.destroyed);
    }
    await t.rejects(from(Readable.from([]), { signal: AbortSignal.abort(new Error('no')) }), {
        message: 'no',
    });
});
