// AdminChangeImageStor between local storage and a Manta on the wire (http-api 3.18, jobs-and-imports 7.2).
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { imageDirectory, md5Base64, PNG, sha1Hex, writeFixtures } from '../helpers/images.js';
import { imageCalls, TwoStorages, WAYS } from '../helpers/two-storages.js';

t.setTimeout(300_000);

const MIB = 1_048_576;
const FILE = { file0: randomBytes(3 * MIB) };
const BOTH = { file0: randomBytes(MIB), icon: PNG };

/** An image with two files and an icon, which only an import could make. */
const CONTAINER = newUuid();
const SECOND_FILE = randomBytes(300_000);

function prepare(baseDir: string): void {
    const first = BOTH.file0;
    const facts = (bytes: Buffer) => ({
        sha1: sha1Hex(bytes),
        size: bytes.length,
        contentMD5: md5Base64(bytes),
        stor: 'local',
        compression: 'none',
    });
    const more = { type: 'lxd', os: 'linux', files: [facts(first), facts(SECOND_FILE)] };
    const published_at = '2020-01-02T03:04:05.006Z';
    const known = { uuid: CONTAINER, name: 'container', activated: true, published_at };
    writeFixtures(baseDir, [{ ...known, file: first, icon: PNG, more }]);
    writeFileSync(join(imageDirectory(baseDir, CONTAINER), 'file1'), SECOND_FILE);
}

const place = await TwoStorages.start(t, { prepare });
const { double } = place;

const inGoodOrder = (uuid: string): Promise<void> => place.settled([uuid]);
const remove = async (uuid: string): Promise<void> => {
    const { status, text } = await place.client.delete(`/images/${uuid}`);
    if (status !== 204) throw new Error(text);
};

await t.test('files of many sizes, there and back', async (test) => {
    for (const size of [1, 100_000, 262_144, 262_145, MIB, 5 * MIB + 1, 30 * MIB]) {
        const contents = { file0: randomBytes(size) };
        const uuid = await place.image('local', contents);
        for (const to of ['manta', 'local'] as const) {
            double.clearRequests();
            const answer = await place.move(uuid, to, '');
            test.equal(answer.status, 200, `${size} bytes to ${to}`);
            test.match(answer.document['files'], [{ stor: to, sha1: sha1Hex(contents.file0), size }]);
            test.equal(answer.header('etag'), undefined);
            await place.expectContents(test, uuid, contents, to);
            await inGoodOrder(uuid);
        }
        await remove(uuid);
    }
});

await t.test('what is asked of Manta', async (test) => {
    const uuid = await place.image('local', BOTH);
    double.clearRequests();
    test.equal((await place.move(uuid, 'manta')).status, 200);
    const puts = double.requests(imageCalls({ kind: 'put' }));
    test.strictSame(
        puts.map(({ headers }) => headers['content-length']),
        [String(BOTH.file0.length), String(PNG.length)],
        'with their sizes',
    );
    test.ok(
        puts.every(({ path }) => /\.[0-9a-f-]{36}$/.test(path)),
        'under temporary names',
    );
    test.strictSame(
        double
            .requests(imageCalls({ kind: ['link', 'head'] }))
            .map(({ kind, path }) => [kind, path.split('/').at(-1)]),
        [
            ['link', 'file0'],
            ['head', 'file0'],
            ['link', 'icon'],
            ['head', 'icon'],
        ],
        'each is looked at under its final name',
    );
    double.clearRequests();
    test.equal((await place.move(uuid, 'manta')).status, 200, 'once more');
    test.strictSame(double.requests(imageCalls()), [], 'asks nothing');
    test.equal((await place.move(uuid, 'local')).status, 200);
    const names = double
        .requests(imageCalls({ kind: ['get', 'delete'] }))
        .map(({ kind, path }) => [kind, path]);
    test.strictSame(
        names.map(([kind, path]) => [kind, path?.split('/').at(-1)]),
        [
            ['get', 'file0'],
            ['get', 'icon'],
            ['delete', 'file0'],
            ['delete', uuid],
            ['delete', 'icon'],
            ['delete', uuid],
        ],
        'nothing is deleted before everything has been read',
    );
    await inGoodOrder(uuid);
    await remove(uuid);
});

await t.test('two files and an icon', async (test) => {
    const contents = { ...BOTH, file1: SECOND_FILE };
    test.equal((await place.move(CONTAINER, 'manta', '')).error.code, 'NotImplemented');
    for (const to of ['manta', 'local', 'manta'] as const) {
        const answer = await place.move(CONTAINER, to);
        test.equal(answer.status, 200);
        test.match(answer.document['files'], [{ stor: to }, { stor: to }]);
        await place.expectContents(test, CONTAINER, contents, to);
        await inGoodOrder(CONTAINER);
    }
    test.equal((await place.move(CONTAINER, 'local', '&all=yes')).error.code, 'InvalidParameter');
    test.equal((await place.move(CONTAINER, 'local', '&all=false')).error.code, 'NotImplemented');
});

await t.test('Manta gives, or has got, other bytes', async (test) => {
    const cases = [
        ['manta', { corrupt: 'bytes' }, { kind: 'get' }],
        ['manta', { corrupt: 'md5' }, { kind: 'get' }],
        ['manta', { cutAfter: MIB }, { kind: 'get' }],
        ['local', { wrongMd5: true }, { kind: 'put' }],
        ['local', { corrupt: 'md5' }, { kind: 'head' }],
        ['local', { cutAfter: MIB }, { kind: 'put' }],
        ['local', { refuse: { status: 404, code: 'ResourceNotFound', message: 'no' } }, { kind: 'head' }],
    ] as const;
    const uuids: string[] = [];
    for (const [from, fault, match] of cases) {
        const what = JSON.stringify(fault);
        const uuid = await place.image(from, FILE);
        const end = double.inject(fault, imageCalls(match));
        const { status, error } = await place.move(uuid, from === 'local' ? 'manta' : 'local', '');
        end();
        test.ok(status === 500 || status === 503, `${what}: ${status} ${error.message}`);
        if (status === 500) test.match(error.message, /^error moving image file: /, what);
        test.notMatch(error.message, /\/admin\/|127\.0\.0\.1/, 'and tells nothing of places');
        await place.expectContents(test, uuid, FILE, from);
        test.equal(
            (await place.move(uuid, from === 'local' ? 'manta' : 'local', '')).status,
            200,
            `${what}: later`,
        );
        uuids.push(uuid);
    }
    // What could not be removed while Manta was away is left to the next pass.
    await place.restart();
    await place.settled(uuids, { afterPass: true });
    await Promise.all(uuids.map((uuid) => remove(uuid)));
});

await t.test('Manta refuses, or breaks off, at each call', async (test) => {
    const faults = [{ refuse: 503 }, { cutAnswer: 'not-made' }, { cutAnswer: 'made' }] as const;
    const left: string[] = [];
    for (const [from, to] of WAYS) {
        const rehearsal = await place.image(from, BOTH);
        double.clearRequests();
        await place.move(rehearsal, to);
        const calls = double.requests(imageCalls()).length;
        await remove(rehearsal);
        test.ok(calls > 5);
        for (const fault of faults) {
            for (let nth = 0; nth < calls; nth += 1) {
                const uuid = await place.image(from, BOTH);
                // What is tried again at once fails again.
                const end = double.inject(fault, { ...imageCalls({}, uuid), skip: nth, times: 4 });
                const { status } = await place.move(uuid, to);
                end();
                const what = `${JSON.stringify(fault)} from call ${nth + 1} on, to ${to}: ${status}`;
                test.ok([200, 500, 503].includes(status), what);
                await place.expectContents(test, uuid, BOTH, status === 200 ? to : from);
                left.push(uuid);
            }
        }
    }
    await place.restart();
    await place.settled(left, { afterPass: true });
    for (const uuid of left) test.same(place.damage(uuid), []);
    await Promise.all(left.map((uuid) => remove(uuid)));
});

await t.test('Manta says nothing, and the caller goes', async (test) => {
    const uuids = await Promise.all(
        ['put', 'get', 'mkdir'].map(async (kind) => {
            const from = kind === 'get' ? 'manta' : 'local';
            const uuid = await place.image(from, FILE);
            const path = `/images/${uuid}?action=change-stor&stor=${from === 'local' ? 'manta' : 'local'}`;
            const end = double.inject({ hang: true }, imageCalls({ kind: kind as 'put' }, uuid));
            const caller = place.client.open('POST', path);
            caller.request.end();
            await double.waitFor(imageCalls({ kind: kind as 'put' }, uuid));
            caller.request.destroy();
            await test.rejects(caller.answer);
            end();
            await place.expectContents(test, uuid, FILE, from);
            return uuid;
        }),
    );
    await place.restart();
    await place.settled(uuids, { afterPass: true });
    await Promise.all(uuids.map((uuid) => remove(uuid)));
});
