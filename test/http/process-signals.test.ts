// Signals: drain, limits of a drain, reload (operations 1.4).
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { HttpClient } from '../helpers/http-client.js';
import {
    FATHER,
    USERS,
    createImage,
    gzipFile,
    imageDirectory,
    sha1Hex,
    writeFixtures,
    type Fixture,
} from '../helpers/images.js';
import { expectError, type ExpectedError } from '../helpers/rows.js';
import { LIMIT_MS, ServerProcess, eventually, temporaryDirectory } from '../helpers/server-process.js';

t.setTimeout(LIMIT_MS);

const OPEN = { authType: 'none' } as const;
const unavailable = (message: string): ExpectedError => ({
    status: 503,
    code: 'ServiceUnavailableError',
    message,
});
const BIG = Buffer.alloc(24 * 1024 * 1024, 'all work and no play makes jack a dull boy. ');
const PUBLISHED: Fixture = {
    uuid: FATHER,
    name: 'father',
    owner: USERS.vader,
    activated: true,
    published_at: '2012-01-01T00:00:00.000Z',
    file: BIG,
};

await t.test('SIGTERM lets a slow upload and a slow download end', async (test) => {
    const baseDir = temporaryDirectory();
    writeFixtures(baseDir, [PUBLISHED]);
    const server = await ServerProcess.start({ baseDir, config: { ...OPEN, drainDelaySec: 1 } });
    const client = new HttpClient(server.port);
    const uuid = await createImage(client);
    const file = gzipFile('uploaded slowly');
    const upload = client.open('PUT', `/images/${uuid}/file?compression=gzip&sha1=${sha1Hex(file)}`);
    upload.request.write(file.subarray(0, 10));
    const download = await client.download(`/images/${FATHER}/file`);
    download.pause();
    await eventually('the upload has begun', 5_000, () => existsSync(imageDirectory(baseDir, uuid)));

    server.signal('SIGTERM');
    const draining = await eventually('ping says so', 3_000, async () => {
        const answer = await new HttpClient(server.port).get('/ping');
        return answer.status === 503 ? answer : undefined;
    });
    expectError(test, draining, unavailable('server is shutting down'), 'ping while draining');
    test.equal(draining.header('connection'), 'close');
    const health = await new HttpClient(server.port).get('/health');
    test.equal(health.status, 503, 'health while draining');
    await eventually('new connections are refused', 5_000, () =>
        new HttpClient(server.port).get('/ping').then(
            () => false,
            (error: unknown) => (error as NodeJS.ErrnoException).code === 'ECONNREFUSED',
        ),
    );
    test.ok(server.alive, 'the process waits for the two');

    upload.request.end(file.subarray(10));
    const answer = await upload.answer;
    test.equal(answer.status, 200, answer.text);
    const parts: Buffer[] = [];
    for await (const part of download) parts.push(part as Buffer);
    test.ok(Buffer.concat(parts).equals(BIG), 'the download is whole');
    const exit = await server.exited;
    test.strictSame([exit.code, exit.signal], [0, null], 'exit 0');
    test.notOk(existsSync(join(baseDir, 'run', 'imgapi.lock')), 'the lock is released');

    const next = await ServerProcess.start({ baseDir, config: OPEN });
    const stored = await new HttpClient(next.port).get(`/images/${uuid}/file`);
    test.ok(stored.body.equals(file), 'the uploaded file is there after a new start');
    test.equal((await next.stop()).code, 0);
    rmSync(baseDir, { recursive: true, force: true });
});

/** A server with an upload that has begun and never ends. */
async function withHangingUpload(config: object): Promise<{ server: ServerProcess; uuid: string }> {
    const server = await ServerProcess.start({ config: { ...OPEN, ...config } });
    const client = new HttpClient(server.port);
    const uuid = await createImage(client);
    const upload = client.open('PUT', `/images/${uuid}/file?compression=gzip`);
    upload.request.write(Buffer.alloc(100_000));
    await eventually('the upload has begun', 5_000, () => existsSync(imageDirectory(server.baseDir, uuid)));
    return { server, uuid };
}

await t.test('the limit of a drain, and a second signal', async (test) => {
    const { server, uuid } = await withHangingUpload({ shutdownTimeoutSec: 1 });
    const images = imageDirectory(server.baseDir, uuid);
    const begin = Date.now();
    server.signal('SIGTERM');
    await eventually(
        'the unfinished upload is removed',
        6_000,
        () => !existsSync(images) || readdirSync(images).length === 0,
    );
    const exit = await server.exited;
    test.ok(Date.now() - begin < 8_000, 'at the limit the rest is cut off');
    test.ok(exit.code !== null, 'and the process ends by itself');
    rmSync(server.baseDir, { recursive: true, force: true });

    const second = await withHangingUpload({ shutdownTimeoutSec: 60 });
    second.server.signal('SIGTERM');
    await second.server.waitForLog((record) => /shut/i.test(record.msg));
    const cut = await second.server.stop('SIGTERM');
    test.strictSame([cut.code, cut.signal], [143, null], 'a second SIGTERM ends it at once');
    test.ok(
        second.server.log.some(({ msg }) => msg.startsWith('told twice to stop')),
        'and the log says why',
    );
});

await t.test('SIGHUP', async (test) => {
    const server = await ServerProcess.start({ config: OPEN });
    const client = new HttpClient(server.port);
    const name = async (): Promise<string | undefined> => (await client.get('/ping')).header('server');
    server.writeConfig({
        serverName: 'Changed/1',
        channels: [{ name: 'dev', description: '', default: true }],
    });
    server.signal('SIGHUP');
    await eventually('the new name is used', 5_000, async () => (await name()) === 'Changed/1');
    test.equal((await client.get('/channels')).status, 200, 'channels came with it');
    test.equal((await client.get('/images')).text, '[]');

    writeFileSync(server.configPath, '{ this is no JSON');
    const errors = server.log.filter((record) => record.level === 50).length;
    server.signal('SIGHUP');
    await eventually(
        'the error is logged',
        5_000,
        () => server.log.filter((r) => r.level === 50).length > errors,
    );
    test.equal(await name(), 'Changed/1', 'the old configuration stays');
    server.writeConfig({ serverName: 'Changed/2', mode: 'secret' });
    server.signal('SIGHUP');
    await eventually('again', 5_000, () => server.log.filter((r) => r.level === 50).length > errors + 1);
    test.equal(await name(), 'Changed/1');

    server.writeConfig({ serverName: 'Changed/3' });
    test.equal((await client.post('/state?action=reload')).status, 202, 'the same by request');
    await eventually('the third name is used', 5_000, async () => (await name()) === 'Changed/3');

    server.writeConfig({ mode: 'public' });
    server.signal('SIGHUP');
    const exit = await server.exited;
    test.strictSame([exit.code, exit.signal], [0, null], 'another key: drain and exit 0 to be started again');
    rmSync(server.baseDir, { recursive: true, force: true });
});

await t.test('signals before the start is complete', async (test) => {
    const isBegun = ({ msg }: { readonly msg: string }): boolean => msg === 'loaded config';
    const server = await ServerProcess.launch({ config: OPEN });
    await server.waitForLog(isBegun, LIMIT_MS);
    server.writeConfig({ serverName: 'Early/1' });
    server.signal('SIGUSR2');
    server.signal('SIGHUP');
    await server.waitForLog(({ msg }) => msg === 'state');
    const client = new HttpClient(server.port);
    await eventually('the new name is used', 5_000, async () => {
        return (await client.get('/ping')).header('server') === 'Early/1';
    });
    test.equal((await server.stop()).code, 0);

    for (const [signal, code] of [
        ['SIGTERM', 0],
        ['SIGINT', 1],
    ] as const) {
        const other = await ServerProcess.launch({ config: OPEN });
        await other.waitForLog(isBegun, LIMIT_MS);
        const exit = await other.stop(signal);
        test.strictSame([exit.code, exit.signal], [code, null], signal);
    }
});
