// Downloads while the world changes, and connections as clients use them (http-api 3.11, 4.4 D52).
import { existsSync, readdirSync, truncateSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { rawExchange, type Answer } from '../helpers/http-client.js';
import { createImage, gzipFile, imageDirectory, manifest, sha1Hex, uploadFile } from '../helpers/images.js';
import { eventually } from '../helpers/server-process.js';
import { startServer } from '../helpers/start-server.js';

const { server, client, guest } = await startServer(t);

/** Far more than the sockets between us and the server hold. */
const BIG = Buffer.alloc(32 * 1024 * 1024);
for (let i = 0; i < BIG.length; i += 4) BIG.writeUInt32LE((i * 2_654_435_761) % 4_294_967_296, i);

/** An image with {@link BIG} as its file, and a download of it that has begun and waits. */
async function slowDownload(): Promise<{
    uuid: string;
    message: IncomingMessage;
    rest: () => Promise<Buffer>;
}> {
    const uuid = await createImage(client);
    await uploadFile(client, uuid, BIG);
    const message = await guest.download(`/images/${uuid}/file`);
    const rest = async (): Promise<Buffer> => {
        const parts: Buffer[] = [];
        for await (const part of message) parts.push(part as Buffer);
        return Buffer.concat(parts);
    };
    return { uuid, message, rest };
}

await t.test('a file that is replaced during its download', async (test) => {
    const { uuid, message, rest } = await slowDownload();
    const other = gzipFile('another file');
    await uploadFile(client, uuid, other);
    test.ok((await rest()).equals(BIG), 'the old bytes, whole');
    test.equal(message.headers.etag, sha1Hex(BIG), 'and announced as these');
    test.ok((await guest.get(`/images/${uuid}/file`)).body.equals(other), 'then the new ones');
});

await t.test('an image that is deleted during the download of its file', async (test) => {
    const { uuid, rest } = await slowDownload();
    test.equal((await client.delete(`/images/${uuid}`)).status, 204);
    test.ok((await rest()).equals(BIG), 'the download is whole');
    test.equal((await guest.get(`/images/${uuid}/file`)).status, 404);
});

await t.test('a file that shrinks on disk during its download', async (test) => {
    const { uuid, message, rest } = await slowDownload();
    truncateSync(join(imageDirectory(server.baseDir, uuid), 'file0'), 28 * 1024 * 1024);
    await test.rejects(rest(), 'the connection is cut, not ended as if all were well');
    test.equal(message.complete, false);
    const again = await guest.get(`/images/${uuid}/file`);
    test.strictSame([again.status, again.error.code], [500, 'InternalError']);
});

await t.test('a client that stops reading and goes away', async (test) => {
    const downloads = await Promise.all(Array.from({ length: 4 }, slowDownload));
    for (const { message } of downloads) message.destroy();
    const ended = (): boolean => {
        const done = server.log.filter((record) => record['route'] === 'getimagefile');
        return downloads.every(({ uuid }) => done.some((record) => JSON.stringify(record).includes(uuid)));
    };
    await eventually('each request ends on the server, too', 10_000, ended);
    test.equal((await guest.get('/ping')).status, 200);
});

/** Statuses of requests that are sent at once, sorted. */
async function statuses(requests: readonly Promise<Answer>[]): Promise<number[]> {
    return (await Promise.all(requests)).map((answer) => answer.status).sort();
}

await t.test('requests that compete for one uuid', async (test) => {
    const uuid = 'a9000000-0000-4000-8000-000000000001';
    const target = 'a9000000-0000-4000-8000-000000000002';
    const times = <T>(action: () => Promise<T>): Promise<T>[] => [1, 2, 3].map(action);
    const path = `/images/${uuid}`;
    const imports = times(() => client.post(`${path}?action=import`, manifest({ uuid })));
    test.strictSame(await statuses(imports), [200, 409, 409], 'one import');
    test.strictSame(await statuses(times(() => client.delete(path))), [204, 404, 404], 'one deletion');
    const rivals = await Promise.all(times(() => createImage(client)));
    const moves = rivals.map((rival) => client.post(`/images/${rival}?action=update`, { uuid: target }));
    test.strictSame(await statuses(moves), [200, 409, 409], 'one change of uuid');

    const moving = await createImage(client);
    const upload = client.open('PUT', `/images/${moving}/file?compression=gzip`);
    upload.request.write(Buffer.alloc(100_000));
    const directory = imageDirectory(server.baseDir, moving);
    await eventually('the upload has begun', 5_000, () => existsSync(directory));
    const other = 'a9000000-0000-4000-8000-000000000003';
    test.equal((await client.post(`/images/${moving}?action=update`, { uuid: other })).status, 200);
    upload.request.end();
    const lost = await upload.answer;
    test.strictSame(
        [lost.status, lost.error.code],
        [404, 'ResourceNotFound'],
        'an upload to a uuid that is gone',
    );
    await eventually(
        'its bytes go',
        5_000,
        () => !existsSync(directory) || readdirSync(directory).length === 0,
    );
    test.strictSame((await guest.get(`/images/${other}`)).document['files'], [], 'and reach no other image');

    for (let i = 0; i < 10; i++) {
        const origin = await createImage(client);
        const [child, deletion] = await Promise.all([
            client.post('/images', manifest({ origin })),
            client.delete(`/images/${origin}`),
        ]);
        const outcome = [child.status, deletion.status].join();
        test.ok(['200,422', '422,204'].includes(outcome), `no child without its origin: ${outcome}`);
    }
});

const GET_PING = 'GET /ping HTTP/1.1\r\nHost: x\r\n';

await t.test('connections', async (test) => {
    const old = await rawExchange(server.port, 'GET /ping HTTP/1.0\r\n\r\n');
    test.match(old, /^HTTP\/1\.\d 200 /, 'HTTP/1.0 without Host');
    const pipelined = await rawExchange(
        server.port,
        `${GET_PING}\r\nGET /nope HTTP/1.1\r\nHost: x\r\n\r\n${GET_PING}Connection: close\r\n\r\n`,
    );
    const codes = [...pipelined.matchAll(/HTTP\/1\.1 (\d+) /g)].map((match) => match[1]);
    test.strictSame(codes, ['200', '404', '200'], 'several requests at once are answered in order');
    const withBody = await rawExchange(
        server.port,
        `${GET_PING}Content-Length: 5\r\n\r\nhello${GET_PING}Connection: close\r\n\r\n`,
    );
    test.equal([...withBody.matchAll(/HTTP\/1\.1 200 /g)].length, 2, 'the body of a GET is skipped');
    const answers = await Promise.all(Array.from({ length: 200 }, () => guest.get('/images')));
    test.ok(
        answers.every((answer) => answer.status === 200),
        'many connections at once',
    );
});

await t.test('small requests while big uploads run', async (test) => {
    const uuids = await Promise.all([1, 2, 3, 4].map(() => createImage(client)));
    const uploads = uuids.map((uuid) => uploadFile(client, uuid, BIG, `&sha1=${sha1Hex(BIG)}`));
    let running = true;
    const all = Promise.all(uploads).finally(() => (running = false));
    let pings = 0;
    while (running && pings < 10_000) {
        test.equal((await guest.get('/ping')).status, 200);
        pings += 1;
    }
    await all;
    test.ok(pings > 3, `answered ${pings} times meanwhile`);
});
