// CloneImage over HTTP (http-api 3.21, operations 6.2 image-clone.dc, jobs-and-imports 4, 8.6).
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import t from 'tap';
import { datacenterConfig, DC_IMAGES, startDatacenter } from '../helpers/datacenter.js';
import { type Document, HttpClient } from '../helpers/http-client.js';
import {
    BASE_181,
    DARK_SIDE,
    FATHER,
    gzipFile,
    imageDirectory,
    UNKNOWN,
    USERS,
    writeFixtures,
    type Fixture,
} from '../helpers/images.js';
import { expectError, type ExpectedError } from '../helpers/rows.js';
import { eventually, LIMIT_MS, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { startServer } from '../helpers/start-server.js';

t.setTimeout(LIMIT_MS);

const { vader, luke, emperor } = USERS;
const FILE = gzipFile('what is cloned');

/** Chains of vader's images, each on the one before; the last is shared with luke. */
function chainOf(length: number, digit: string): readonly Fixture[] {
    const uuid = (index: number) => `${digit}0000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
    return Array.from({ length }, (_, index) => ({
        uuid: uuid(index),
        name: `chain-${index}`,
        owner: vader,
        activated: true,
        published_at: '2013-01-01T00:00:00.000Z',
        file: FILE,
        more: {
            ...(index === 0 ? {} : { origin: uuid(index - 1) }),
            ...(index === length - 1 ? { acl: [luke] } : {}),
        },
    }));
}

const CHAIN = chainOf(3, 'e');
const TOP = CHAIN.at(-1)?.uuid ?? '';

const dc = await startDatacenter(t, { images: [...DC_IMAGES, ...CHAIN] });
const { client } = dc;

const notFound = (message: string): ExpectedError => ({ status: 404, code: 'ResourceNotFound', message });
const notShared = (uuid: string, account: string): ExpectedError => ({
    status: 422,
    code: 'ImageNotShared',
    message: `Image ${uuid} is not shared with account ${account}`,
});
const notAUuid = (value: string): ExpectedError => ({
    status: 422,
    code: 'InvalidParameter',
    message: `invalid "account": not a UUID: "${value}"`,
    errors: [['account', 'Invalid']],
});

await t.test('what is refused', async (t) => {
    const rows: readonly (readonly [name: string, path: string, expected: ExpectedError])[] = [
        ['without an account', `${FATHER}/clone`, notAUuid('undefined')],
        ['with an empty account', `${FATHER}/clone?account=`, notAUuid('undefined')],
        ['with a malformed account', `${FATHER}/clone?account=luke`, notAUuid('luke')],
        [
            'a malformed uuid',
            `nope/clone?account=${luke}`,
            notFound(`/images/nope/clone?account=${luke} does not exist`),
        ],
        ['an unknown image', `${UNKNOWN}/clone?account=${luke}`, notFound(`image ${UNKNOWN} not found`)],
        ['a private image, as a stranger', `${FATHER}/clone?account=${emperor}`, notFound('image not found')],
        ["the operator's public image", `${BASE_181}/clone?account=${luke}`, notShared(BASE_181, luke)],
        ['the own image', `${FATHER}/clone?account=${vader}`, notShared(FATHER, vader)],
        [
            'a disabled image',
            `${DARK_SIDE}/clone?account=${luke}`,
            {
                status: 422,
                code: 'ValidationFailed',
                message: 'image is not active',
                errors: [['active', 'Invalid']],
            },
        ],
        [
            'a bad unshare',
            `${FATHER}/clone?account=${luke}&unshare=yes`,
            {
                status: 422,
                code: 'InvalidParameter',
                message: 'invalid value for "unshare" param: "yes" is not a boolean',
                errors: [['unshare', 'Invalid']],
            },
        ],
    ];
    for (const [name, path, expected] of rows) {
        expectError(t, await client.post(`/images/${path}`), expected, name);
    }
    const wrong = await client.get(`/images/${FATHER}/clone?account=${luke}`);
    t.strictSame([wrong.status, wrong.header('allow')], [405, 'POST']);
});

await t.test('a shared image', async (t) => {
    const answer = await client.post(`/images/${FATHER}/clone?account=${luke}`);
    t.equal(answer.status, 200);
    t.equal(answer.header('etag'), undefined);
    t.equal(answer.header('content-type'), 'application/json');
    const made = answer.document;
    const uuid = String(made['uuid']);
    const { published_at: publishedAt, ...rest } = made;
    const source = (await client.get(`/images/${FATHER}`)).document;
    t.strictSame(rest, {
        v: 2,
        uuid,
        owner: luke,
        name: source['name'],
        version: source['version'],
        state: 'active',
        disabled: false,
        public: false,
        type: source['type'],
        os: source['os'],
        files: source['files'],
    });
    t.not(uuid, FATHER);
    t.match(publishedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    t.not(publishedAt, source['published_at']);
    const [bytes, original] = await Promise.all(
        [uuid, FATHER].map((one) => client.get(`/images/${one}/file`)),
    );
    t.same(bytes?.body, original?.body);
    t.same((await client.get(`/images/${FATHER}`)).document, source, 'the source is as it was');

    const record = JSON.parse((await dc.record(uuid)) ?? '{}') as Document;
    t.match(record['x_imgapi'], { provenance: { kind: 'clone', source_image: FATHER, source_owner: vader } });

    const again = await client.post(`/images/${FATHER}/clone?account=${luke}`, undefined, {
        body: '{"not": looked at',
        headers: { 'content-type': 'application/json' },
    });
    t.equal(again.status, 200, 'again, with a body nobody looks at');
    t.not(again.document['uuid'], uuid);
    const refused = await client.post(`/images/${uuid}/clone?account=${luke}`);
    expectError(t, refused, notShared(uuid, luke), 'a clone, by its owner');
    for (const one of [uuid, again.document['uuid']]) {
        const path = `/images/${String(one)}?account=`;
        t.equal((await client.delete(path + vader)).status, 404, 'the old owner does not see it');
        t.equal((await client.delete(path + luke)).status, 204, 'the new owner deletes it');
    }
});

await t.test('the client library of the field', async (t) => {
    type Callback = (error: Error | null, image: Document) => void;
    interface Library {
        createClient(options: object): {
            cloneImage(uuid: string, account: string, callback: Callback): void;
            close(): void;
        };
    }
    const library = createRequire(import.meta.url)('sdc-clients/lib/imgapi') as Library;
    const imgapi = library.createClient({ url: dc.server.url, agent: false });
    t.teardown(() => imgapi.close());
    const image = await new Promise<Document>((resolve, reject) => {
        imgapi.cloneImage(FATHER, luke, (error, made) => (error === null ? resolve(made) : reject(error)));
    });
    t.match(image, { owner: luke, name: 'i-am-your-father', state: 'active' });
    const failure = await new Promise<Error | null>((resolve) => {
        imgapi.cloneImage(String(image['uuid']), luke, (error) => resolve(error));
    });
    t.match(failure, { statusCode: 422, body: { code: 'ImageNotShared' } });
});

await t.test('unshare', async (t) => {
    const uuid = FATHER;
    t.equal((await client.post(`/images/${uuid}/acl?action=add`, [emperor])).status, 200);
    const made = await client.post(`/images/${uuid}/clone?account=${emperor}&unshare=true`);
    t.match(made.document, { owner: emperor, state: 'active' });
    t.strictSame((await client.get(`/images/${uuid}`)).document['acl'], [luke]);
    const again = await client.post(`/images/${uuid}/clone?account=${emperor}`);
    expectError(t, again, notFound('image not found'), 'it is not shared any more');
});

await t.test('a chain', async (t) => {
    const answer = await client.post(`/images/${TOP}/clone?account=${luke}`, undefined, {
        headers: { 'accept-version': '~2.1' },
    });
    const made = answer.document;
    t.match(
        made['provenance'],
        { kind: 'clone', source_image: TOP, source_owner: vader },
        'in the form asked for',
    );
    const parent = (await client.get(`/images/${String(made['origin'])}?account=${luke}`)).document;
    const oldest = (await client.get(`/images/${String(parent['origin'])}?account=${luke}`)).document;
    t.match(
        [made, parent, oldest],
        [
            { name: 'chain-2', state: 'active', disabled: false, owner: luke },
            { name: 'chain-1', state: 'disabled', disabled: true, owner: luke },
            { name: 'chain-0', state: 'disabled', disabled: true, owner: luke },
        ],
    );
    t.equal(oldest['origin'], undefined);
    t.strictSame(readdirSync(join(dc.baseDir, 'run', 'clones')), [], 'nothing is left to be done');
    for (const { uuid } of [made, parent, oldest]) {
        t.equal((await client.delete(`/images/${String(uuid)}?account=${luke}`)).status, 204);
    }
});

await t.test('the server killed in mid-clone', async (t) => {
    const baseDir = temporaryDirectory();
    const chain = chainOf(60, 'd');
    writeFixtures(baseDir, chain);
    const uuids = chain.map(({ uuid }) => uuid);
    const count = (directory: string) => readdirSync(join(baseDir, directory)).length;
    const config = datacenterConfig(dc.ufds.config, { config: { metrics: { port: 0 } } });
    const first = await ServerProcess.start({ baseDir, config });
    const cloning = new HttpClient(first.port).post(`/images/${uuids.at(-1) ?? ''}/clone?account=${luke}`);
    const answered = cloning.then(
        () => true,
        () => false,
    );
    await eventually('some clones to be there', 10_000, () => count('manifests') > chain.length + 5);
    await first.kill();
    t.equal(await answered, false, 'it was not done yet');
    t.equal(count('run/clones'), 1);
    t.ok(count('manifests') > chain.length, 'some clones are there');

    const second = await ServerProcess.start({ baseDir, config });
    await second.waitForLog(({ msg }) => msg === 'interrupted clone settled', 20_000);
    const list = await new HttpClient(second.port).get('/images?state=all');
    t.strictSame([...list.uuids].sort(), [...uuids].sort(), 'all clones are gone');
    t.equal(count('run/clones'), 0);
    t.ok(uuids.every((uuid) => existsSync(join(imageDirectory(baseDir, uuid), 'file0'))));
    const directories = readdirSync(join(baseDir, 'images')).flatMap((prefix) =>
        readdirSync(join(baseDir, 'images', prefix)),
    );
    const others = directories.filter((uuid) => !uuids.includes(uuid));
    t.equal(directories.length - others.length, uuids.length);
    // The kill may have hit the one that was just being linked; the sweep removes that.
    t.ok(others.length <= 1, 'so are their bytes');
    for (const uuid of others) {
        const left = readdirSync(imageDirectory(baseDir, uuid));
        t.ok(
            left.every((name) => /^file0\.[0-9a-f-]{36}$/.test(name)),
            'but for a temporary name',
        );
    }
    t.equal((await second.stop()).code, 0);
    rmSync(baseDir, { recursive: true, force: true });
});

await t.test('other modes do not have the path', async (t) => {
    const { client: signed } = await startServer(t);
    for (const method of ['POST', 'GET', 'OPTIONS']) {
        const answer = await signed.request(method, `/images/${FATHER}/clone?account=${luke}`);
        expectError(t, answer, notFound(`/images/${FATHER}/clone does not exist`), method);
    }
});
