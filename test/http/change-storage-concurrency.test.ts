// AdminChangeImageStor while others read, change and delete the image (http-api 3.18, backends W3, W11).
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import t, { type Test } from 'tap';
import type { HoldPoint } from '../doubles/call-rules.js';
import type { CallKind } from '../doubles/manta/faults.js';
import { PNG, sha1Hex } from '../helpers/images.js';
import { imageCalls, TwoStorages, WAYS } from '../helpers/two-storages.js';

t.setTimeout(300_000);

const MIB = 1_048_576;
const OLD = { file0: randomBytes(2 * MIB), icon: PNG };
const NEW = randomBytes(MIB);

const place = await TwoStorages.start(t);
const { double } = place;

async function remove(uuid: string): Promise<void> {
    const { status } = await place.client.delete(`/images/${uuid}`);
    if (status !== 204) throw new Error(`not deleted: ${status}`);
}

/** The calls to Manta at which a move can be stopped, in each direction. */
const STOPS: Readonly<Record<string, readonly (readonly [CallKind, string, HoldPoint])[]>> = {
    manta: [
        ['put', 'file0', 'before'],
        ['put', 'icon', 'after'],
        ['link', 'file0', 'after'],
        ['head', 'icon', 'after'],
    ],
    local: [
        ['get', 'file0', 'before'],
        ['get', 'icon', 'after'],
        ['delete', 'file0$', 'before'],
        ['delete', 'icon$', 'after'],
    ],
};

/** Does something while a move is stopped at each of its calls; `then` looks at what has become of it. */
async function atEachStop(
    test: Test,
    meanwhile: (uuid: string, to: 'local' | 'manta') => Promise<unknown>,
    then: (test: Test, uuid: string, status: number, done: unknown) => Promise<void>,
): Promise<void> {
    for (const [from, to] of WAYS) {
        for (const [kind, name, when] of STOPS[to] ?? []) {
            await test.test(`${when} ${kind} of ${name}, to ${to}`, async (inner) => {
                const uuid = await place.image(from, OLD);
                const hold = double.hold({ ...imageCalls({ kind }, `${uuid}/${name}`), times: 1 }, when);
                const moving = place.move(uuid, to);
                await hold.arrived();
                // What waits for the image's turn is answered only when the move goes on.
                const other = meanwhile(uuid, to);
                await Promise.race([other, new Promise((resolve) => setTimeout(resolve, 300))]);
                hold.resume();
                const { status } = await moving;
                await then(inner, uuid, status, await other);
                await place.settled([uuid]);
                inner.same(place.damage(uuid), []);
            });
        }
    }
}

await t.test('an upload of the file', async (test) => {
    for (const stor of ['local', 'manta'] as const) {
        await atEachStop(
            test,
            async (uuid) => (await place.upload(uuid, 'file0', NEW, stor)).status,
            async (inner, uuid, status, done) => {
                inner.equal(done, 200, 'the upload is never refused');
                inner.ok(status === 200 || status === 500, `the move: ${status}`);
                await place.expectContents(inner, uuid, { ...OLD, file0: NEW }, undefined);
                await remove(uuid);
            },
        );
    }
});

await t.test('a deletion', async (test) => {
    await atEachStop(
        test,
        async (uuid) => (await place.client.delete(`/images/${uuid}`)).status,
        async (inner, uuid, status, done) => {
            inner.equal(done, 204);
            inner.ok(status === 200 || status === 404, `the move: ${status}`);
            inner.equal((await place.client.get(`/images/${uuid}`)).status, 404);
        },
    );
});

await t.test('another move, to the same storage or back', async (test) => {
    await atEachStop(
        test,
        async (uuid, to) => {
            const back = to === 'manta' ? 'local' : 'manta';
            const answers = [place.move(uuid, to), place.move(uuid, back), place.move(uuid, to)];
            return (await Promise.all(answers)).map(({ status }) => status);
        },
        async (inner, uuid, status, done) => {
            for (const one of [status, ...(done as number[])]) {
                inner.ok(one === 200 || one === 500, `${one}`);
            }
            await place.expectContents(inner, uuid, OLD, undefined);
            await remove(uuid);
        },
    );
});

async function rest(download: IncomingMessage): Promise<Buffer> {
    return Buffer.concat((await download.toArray()) as Buffer[]);
}

await t.test('downloads that began before keep their bytes', async (test) => {
    const contents = { file0: randomBytes(30 * MIB) };
    const uuid = await place.image('local', contents);
    for (const to of ['manta', 'local'] as const) {
        const downloads = await Promise.all(
            [1, 2, 3].map(() => place.client.download(`/images/${uuid}/file`)),
        );
        test.equal((await place.move(uuid, to)).status, 200);
        for (const download of downloads) test.equal(sha1Hex(await rest(download)), sha1Hex(contents.file0));
        await place.settled([uuid]);
    }
    await remove(uuid);
});

await t.test('downloads while it is moved to and fro never fail', async (test) => {
    const contents = { file0: randomBytes(300_000), icon: PNG };
    const uuid = await place.image('local', contents);
    let isOver = false;
    let downloads = 0;
    const read = async (path: string, bytes: Buffer): Promise<string[]> => {
        const wrong: string[] = [];
        const client = place.client;
        while (!isOver) {
            const { status, body } = await client.get(`/images/${uuid}/${path}`);
            downloads += 1;
            if (status !== 200 || !body.equals(bytes)) wrong.push(`${status}: ${body.length} bytes`);
        }
        return wrong;
    };
    const readers = [1, 2, 3, 4].map((nth) =>
        nth % 2 === 0 ? read('icon', contents.icon) : read('file', contents.file0),
    );
    for (let round = 0; round < 30; round += 1) {
        const { status } = await place.move(uuid, round % 2 === 0 ? 'manta' : 'local');
        test.equal(status, 200);
    }
    isOver = true;
    test.same((await Promise.all(readers)).flat(), []);
    test.ok(downloads > 100, `${downloads} downloads`);
    await place.settled([uuid]);
    await remove(uuid);
});

await t.test('a download whose record was read before a move', async (test) => {
    const uuid = await place.image('manta', OLD);
    const hold = double.hold({ ...imageCalls({ kind: 'get' }, `${uuid}/file0`), times: 1 });
    const reading = place.client.get(`/images/${uuid}/file`);
    await hold.arrived();
    test.equal((await place.move(uuid, 'local')).status, 200);
    hold.resume();
    const { status, body } = await reading;
    test.equal(status, 200, 'finds the bytes where they are now');
    test.equal(sha1Hex(body), sha1Hex(OLD.file0));
    await remove(uuid);
});
