// Several processes on one base directory: a writer and its readers (operations 4.7, backends 14).
import { existsSync, rmSync } from 'node:fs';
import t, { type Test } from 'tap';
import { HttpClient, type Answer } from '../helpers/http-client.js';
import {
    FATHER,
    UNKNOWN,
    USERS,
    createImage,
    gzipFile,
    imageDirectory,
    manifest,
    publishImage,
    uploadFile,
    writeFixtures,
    type Fixture,
} from '../helpers/images.js';
import {
    UNAUTHORIZED,
    expectError,
    missing,
    notFound,
    validationFailed,
    type ExpectedError,
} from '../helpers/rows.js';
import { LIMIT_MS, ServerProcess, eventually, temporaryDirectory } from '../helpers/server-process.js';
import { createKey } from '../helpers/signing.js';

t.setTimeout(LIMIT_MS);

const PUBLISHED: Fixture = {
    uuid: FATHER,
    name: 'father',
    owner: USERS.vader,
    activated: true,
    published_at: '2012-01-01T00:00:00.000Z',
    file: gzipFile('father'),
};

const unavailable = (message: string): ExpectedError => ({
    status: 503,
    code: 'ServiceUnavailableError',
    message,
});
const READER = 'this process is a reader';

function expectRefusedByReader(test: Test, answer: Answer, name: string): void {
    expectError(test, answer, unavailable(READER), name);
    test.equal(answer.header('retry-after'), '1');
}

await t.test('several processes started at once: exactly one writes', async (test) => {
    const baseDir = temporaryDirectory();
    const config = { authType: 'none' };
    const servers = await Promise.all([1, 2, 3].map(() => ServerProcess.start({ baseDir, config })));
    const clients = servers.map((server) => new HttpClient(server.port));
    const statuses = await Promise.all(
        clients.map(async (client) => (await client.post('/images', manifest())).status),
    );
    test.strictSame(statuses.sort(), [200, 503, 503]);
    const exits = await Promise.all(servers.map((server) => server.stop()));
    test.strictSame(
        exits.map((exit) => exit.code),
        [0, 0, 0],
    );
    rmSync(baseDir, { recursive: true, force: true });
});

await t.test('a writer and a reader on one base directory', async (test) => {
    const baseDir = temporaryDirectory();
    const key = createKey('operator');
    const config = { authKeys: { operator: [key.publicLine] } };
    writeFixtures(baseDir, [PUBLISHED]);
    let writer = await ServerProcess.start({ baseDir, config });
    let reader = await ServerProcess.start({ baseDir, config });
    let write = new HttpClient(writer.port, key);
    let read = new HttpClient(reader.port, key);

    await test.test('what a reader refuses', async (inner) => {
        for (const [method, path] of [
            ['POST', '/images'],
            ['POST', '/images/foo'],
            ['POST', `/images/${UNKNOWN}?action=import`],
            ['POST', `/images/${FATHER}?action=activate`],
            ['POST', `/images/${FATHER}/acl`],
            ['PUT', `/images/${FATHER}/file`],
            ['PUT', `/images/${UNKNOWN}/icon`],
            ['DELETE', `/images/${FATHER}`],
            ['DELETE', `/images/${FATHER}/icon`],
        ] as const) {
            const body = { headers: { 'content-type': 'application/json' }, body: '{' };
            expectRefusedByReader(inner, await read.request(method, path, body), `${method} ${path}`);
            const anonymous = await read.request(method, path, { ...body, sign: false });
            expectError(inner, anonymous, UNAUTHORIZED, 'authentication comes first');
        }
        const waiting = read.open('PUT', `/images/${FATHER}/file?compression=gzip`, {
            headers: { expect: '100-continue', 'content-length': '5' },
        });
        waiting.request.flushHeaders();
        inner.equal(await waiting.continued, false, 'no byte of a body is asked for');
        expectRefusedByReader(inner, await waiting.answer, 'with Expect');
        waiting.request.destroy();
        inner.equal((await read.get('/images')).status, 200, 'reading goes on');
        inner.equal((await read.get(`/images/${FATHER}/file`)).status, 200);
        inner.equal((await read.post('/state?action=dropcaches')).status, 202);
        inner.equal((await read.post('/authkeys/reload')).status, 200);
        expectError(
            inner,
            await read.post(`/images/${FATHER}?action=export`),
            validationFailed("missing 'manta_path' prefix parameter", missing('manta_path')),
            'an export changes nothing',
        );
        const twice = `/images/${FATHER}?action=export&action=update`;
        expectRefusedByReader(inner, await read.post(twice), 'not an export');
    });

    for (const [client, status] of [
        [write, 200],
        [read, 503],
    ] as const) {
        for (const role of ['writer', 'jobs']) {
            const answer = await client.get(`/ping?role=${role}`, { sign: false });
            test.equal(answer.status, status, `${role}: ${status}`);
        }
    }
    expectRefusedByReader(test, await read.get('/ping?role=writer'), 'ping for the writer');
    expectError(
        test,
        await read.get('/ping?role=jobs'),
        unavailable('this process does not run jobs'),
        'ping for jobs',
    );
    test.equal((await read.get('/ping?role=other')).status, 200);

    const file = gzipFile('written by the writer');
    const uuid = await publishImage(write, { name: 'coherent' }, file);
    test.equal((await read.get(`/images/${uuid}`)).status, 200, 'a new image is found by its uuid at once');
    await eventually('the reader lists the new image', 2_000, async () =>
        (await read.get('/images?name=coherent')).uuids.includes(uuid),
    );
    await eventually(
        'in its last state',
        2_000,
        async () => (await read.get(`/images/${uuid}`)).document['state'] === 'active',
    );
    test.ok((await read.get(`/images/${uuid}/file`)).body.equals(file), 'with its file');
    await write.post(`/images/${uuid}?action=update`, { name: 'renamed' });
    await eventually('the reader sees the change', 2_000, async () =>
        (await read.get('/images?name=renamed')).uuids.includes(uuid),
    );
    test.strictSame((await write.get('/images?name=renamed')).uuids, [uuid], 'the writer saw it at once');
    const doomed = await createImage(write);
    await eventually('it arrives', 2_000, async () =>
        (await read.get('/images?state=all')).uuids.includes(doomed),
    );
    await write.delete(`/images/${doomed}`);
    await eventually(
        'the reader sees that it goes',
        2_000,
        async () => (await read.get(`/images/${doomed}`)).status === 404,
    );

    await test.test('kill -9 of the writer', async (inner) => {
        const last = await createImage(write, { name: 'last-words' });
        const hanging = write.open('PUT', `/images/${last}/file?compression=gzip`);
        hanging.request.write(Buffer.alloc(100_000));
        await eventually('an upload has begun', 5_000, () => existsSync(imageDirectory(baseDir, last)));
        await writer.kill();
        const begin = Date.now();
        await eventually(
            'the reader takes over',
            5_000,
            async () => (await read.get('/ping?role=writer')).status === 200,
        );
        inner.ok(Date.now() - begin < 3_500, `within some 2 s: ${Date.now() - begin} ms`);
        const image = await read.get(`/images/${last}`);
        inner.strictSame(
            [image.status, image.document['files']],
            [200, []],
            'what was acknowledged is there, no more',
        );
        inner.equal((await read.post(`/images/${last}?action=update`, { description: 'x' })).status, 200);
        await uploadFile(read, last, gzipFile('the second try'));
        inner.equal((await read.post(`/images/${last}?action=activate`)).status, 200);
    });

    writer = reader;
    write = read;
    reader = await ServerProcess.start({ baseDir, config });
    read = new HttpClient(reader.port, key);
    expectRefusedByReader(test, await read.post('/images', manifest()), 'the next process is a reader again');
    const { code } = await writer.stop();
    test.equal(code, 0);
    await eventually(
        'a release is noticed',
        4_000,
        async () => (await read.get('/ping?role=writer')).status === 200,
    );
    const created = await read.post('/images', manifest());
    test.equal(created.status, 200, 'the reader has become the writer');
    expectError(
        test,
        await read.get(`/images/${UNKNOWN}`),
        notFound(`image ${UNKNOWN} not found`),
        'as ever',
    );
    test.equal((await reader.stop()).code, 0);
    rmSync(baseDir, { recursive: true, force: true });
});
