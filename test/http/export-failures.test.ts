// ExportImage cut off at every point: no manifest stays without its file (jobs-and-imports 7.1).
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { HoldPoint } from '../doubles/call-rules.js';
import type { CallMatch } from '../doubles/manta/faults.js';
import { HttpClient, type Answer, type OpenUpload } from '../helpers/http-client.js';
import { createImage, gzipFile, uploadFile } from '../helpers/images.js';
import { mantaClient, startManta, startMantaProcess } from '../helpers/manta-place.js';
import { expectError } from '../helpers/rows.js';
import { LIMIT_MS, ServerProcess, eventually, temporaryDirectory } from '../helpers/server-process.js';
import { expectCleanEnd } from '../helpers/start-server.js';

t.setTimeout(LIMIT_MS);

const PATH = '/admin/stor/exported';
const MANIFEST = `${PATH}.imgmanifest`;
const IMAGE = `${PATH}.zfs.gz`;

type Config = Readonly<Record<string, unknown>>;

function configFor(manta: object): Config {
    return { authType: 'none', storageTypes: ['local', 'manta'], manta };
}

/** A base directory that goes with the test. */
function baseFor(test: Test): string {
    const baseDir = temporaryDirectory();
    test.teardown(() => rmSync(baseDir, { recursive: true, force: true }));
    return baseDir;
}

async function storedImage(client: HttpClient, bytes: Buffer): Promise<string> {
    const uuid = await createImage(client);
    await uploadFile(client, uuid, bytes, '&storage=manta');
    return uuid;
}

function start(client: HttpClient, uuid: string): OpenUpload {
    const upload = client.open('POST', `/images/${uuid}?action=export&manta_path=${PATH}`);
    upload.request.end();
    return upload;
}

function exportTo(client: HttpClient, uuid: string): Promise<Answer> {
    return start(client, uuid).answer;
}

function intents(baseDir: string): readonly string[] {
    return readdirSync(join(baseDir, 'run', 'exports'));
}

await t.test('by a Manta without links', async (test) => {
    const manta = await startManta(test, { snaplinks: false });
    const baseDir = baseFor(test);
    const server = await ServerProcess.start({ baseDir, config: configFor(manta.config) });
    test.teardown(() => expectCleanEnd(server));
    const client = new HttpClient(server.port);
    const area = mantaClient(test, manta.config);
    const first = gzipFile('first');
    const one = await storedImage(client, first);
    const refused = { refuse: { status: 500, code: 'InternalError', message: 'no /path' } } as const;

    await test.test('the file cannot be stored', async (inner) => {
        for (const fault of [refused, { cutAfter: 10 }, { cutAnswer: 'not-made' }] as const) {
            const end = manta.double.inject(fault, { kind: 'put', path: IMAGE });
            inner.ok([500, 503].includes((await exportTo(client, one)).status), JSON.stringify(fault));
            end();
            inner.strictSame(
                manta.double.objects('/admin/stor').filter((path) => path.startsWith(PATH)),
                [],
            );
            inner.strictSame(intents(baseDir), []);
        }
    });

    await test.test('the file can be read no more', async (inner) => {
        for (const fault of [{ cutAfter: 10 }, { corrupt: 'bytes' }] as const) {
            const end = manta.double.inject(fault, { kind: 'get', path: /file0$/ });
            inner.ok([500, 503].includes((await exportTo(client, one)).status), JSON.stringify(fault));
            end();
            inner.equal(manta.double.entry(MANIFEST), undefined);
            inner.equal(manta.double.entry(IMAGE), undefined);
        }
    });

    await test.test('the client goes', async (inner) => {
        const hold = manta.double.hold({ kind: 'put', path: IMAGE, times: 1 });
        const upload = start(client, one);
        await hold.arrived();
        inner.ok(manta.double.entry(MANIFEST), 'the manifest is there');
        inner.equal(intents(baseDir).length, 1, 'and noted');
        upload.request.destroy();
        await eventually('the manifest is gone', 10_000, () => manta.double.entry(MANIFEST) === undefined);
        await eventually('it is settled', 10_000, () => intents(baseDir).length === 0);
        hold.drop();
        inner.equal(manta.double.entry(IMAGE), undefined);
    });

    await test.test('an answer that is lost: all is there', async (inner) => {
        const end = manta.double.inject({ cutAnswer: 'made' }, { kind: 'put', path: IMAGE, times: 1 });
        const answer = await exportTo(client, one);
        end();
        inner.equal(answer.status, 503);
        inner.ok((await area.read(IMAGE)).equals(first));
        inner.equal((JSON.parse((await area.read(MANIFEST)).toString()) as { uuid: string }).uuid, one);
    });

    await test.test('an earlier export stays as it was', async (inner) => {
        inner.equal((await exportTo(client, one)).status, 200);
        const manifest = await area.read(MANIFEST);
        const other = await storedImage(client, gzipFile('second'));
        const end = manta.double.inject(refused, { kind: 'put', path: IMAGE });
        expectError(
            inner,
            await exportTo(client, other),
            { status: 500, code: 'InternalError', message: 'error exporting image file: InternalError' },
            'the second',
        );
        end();
        inner.ok((await area.read(MANIFEST)).equals(manifest), 'the manifest');
        inner.ok((await area.read(IMAGE)).equals(first), 'the file');

        const hold = manta.double.hold({ kind: 'put', path: IMAGE, times: 1 });
        const slow = start(client, other);
        await hold.arrived();
        inner.equal((await exportTo(client, one)).status, 200, 'somebody else exports there meanwhile');
        hold.drop();
        inner.not((await slow.answer).status, 200);
        inner.ok((await area.read(MANIFEST)).equals(manifest), 'whose manifest stays');
    });
});

await t.test('killed between manifest and file', async (test) => {
    const manta = await startManta(test);
    const baseDir = baseFor(test);
    const area = mantaClient(test, manta.config);
    const options = { baseDir, config: configFor(manta.config) };
    let server = await ServerProcess.start(options);
    test.teardown(() => expectCleanEnd(server));
    const bytes = gzipFile('killed');
    const uuid = await storedImage(new HttpClient(server.port), bytes);
    const restarted = async (): Promise<void> => {
        await server.kill();
        server = await ServerProcess.start(options);
        await eventually('the restart settles it', 10_000, () => intents(baseDir).length === 0);
    };
    const cut = async (what: CallMatch, when: HoldPoint, image = uuid): Promise<void> => {
        const hold = manta.double.hold({ ...what, times: 1 }, when);
        const { answer } = start(new HttpClient(server.port), image);
        await hold.arrived();
        test.equal(intents(baseDir).length, 1, 'noted');
        await restarted();
        hold.drop();
        await test.rejects(answer);
    };
    const putManifest = { kind: 'put', path: MANIFEST } as const;
    const linkFile = { kind: 'link', path: IMAGE } as const;

    await cut(putManifest, 'before');
    test.equal(manta.double.entry(MANIFEST), undefined, 'before the manifest');
    await cut(putManifest, 'after');
    test.equal(manta.double.entry(MANIFEST), undefined, 'before the answer to the manifest');
    await cut(linkFile, 'before');
    test.equal(manta.double.entry(MANIFEST), undefined, 'before the file');
    await cut(linkFile, 'after');
    test.ok(manta.double.entry(MANIFEST), 'after the file: all is there');
    test.ok((await area.read(IMAGE)).equals(bytes));

    const earlier = await area.read(MANIFEST);
    const other = await storedImage(new HttpClient(server.port), gzipFile('other'));
    await cut(linkFile, 'before', other);
    test.ok((await area.read(MANIFEST)).equals(earlier), 'put back');
});

await t.test('Manta dies between manifest and file, and comes back', async (test) => {
    const manta = await startMantaProcess(test);
    const baseDir = baseFor(test);
    const config = configFor(manta.config);
    const holder = await ServerProcess.start({ baseDir, config });
    const reader = await ServerProcess.start({ baseDir, config });
    test.teardown(async () => {
        await expectCleanEnd(reader);
    });
    const uuid = await storedImage(new HttpClient(holder.port), gzipFile('dies'));
    const hold = await manta.double.hold({ kind: 'link', path: IMAGE, times: 1 });
    const { answer } = start(new HttpClient(reader.port), uuid);
    await hold.arrived();
    await manta.double.kill();
    expectError(
        test,
        await answer,
        { status: 503, code: 'StorageIsDown', message: 'storage is down at the moment' },
        'the export',
    );
    test.equal(intents(baseDir).length, 1, 'left for later');
    const again = await manta.again();
    test.ok((await again.objects('/admin/stor')).includes(MANIFEST), 'the manifest was safe');
    await expectCleanEnd(holder);
    await eventually('the next holder settles it', 20_000, () => intents(baseDir).length === 0);
    test.notOk((await again.objects('/admin/stor')).includes(MANIFEST), 'and is gone');
});
