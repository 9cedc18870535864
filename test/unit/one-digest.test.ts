import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import { digestPool } from '#lib/base/digests/digest-pool.js';
import { startDigest } from '#lib/base/digests/one-digest.js';

const SIZE = 1_048_576;
const FORMS = [
    ['md5', 'base64'],
    ['sha256', 'hex'],
] as const;

t.teardown(() => digestPool.stop());

void t.test('is that of all bytes, few or many', async (t) => {
    for (const size of [0, 1000, SIZE + 17]) {
        const bytes = randomBytes(size);
        for (const [name, encoding] of FORMS) {
            const check = startDigest(name, size);
            for (let start = 0; start < size; start += 65_536) {
                await check.push(bytes.subarray(start, start + 65_536));
            }
            const expected = createHash(name).update(bytes).digest(encoding);
            t.equal(await check.end(), expected, `${name} of ${size} bytes`);
        }
    }
});

void t.test('gives its memory back once, also when it is cancelled at its end', async (t) => {
    const check = startDigest('md5', SIZE);
    await check.push(Buffer.alloc(SIZE));
    const ended = check.end().catch(() => undefined);
    check.cancel();
    await ended;
    check.cancel();
    const runs = [digestPool.start(), digestPool.start(), digestPool.start()];
    t.equal(new Set(runs.map(({ ring }) => ring.id)).size, runs.length, 'no two files share a ring');
    for (const run of runs) {
        run.cancel();
        run.release();
    }
});

void t.test('touches no memory that it has given back', async (t) => {
    const check = startDigest('md5', SIZE);
    await check.push(Buffer.alloc(1000, 1));
    check.cancel();
    // What gives the memory back has nothing to wait for.
    await new Promise((resolve) => setImmediate(resolve));
    const runs = [digestPool.start(), digestPool.start(), digestPool.start()];
    // What was in it before says nothing.
    runs.forEach(({ ring }) => ring.slots.forEach((slot) => slot.fill(0)));
    await check.push(Buffer.alloc(2000, 2));
    for (const run of runs) {
        t.notOk(
            run.ring.slots.some((slot) => slot.includes(2)),
            'nothing comes after a cancel',
        );
        run.cancel();
        run.release();
    }
});
