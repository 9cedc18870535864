// AdminImportImage in mode dc (http-api 3.4, 3.6; operations 6.2: adminimportimage.dc), imgadm's calls
// (http-api 5.4), and how a datacenter's server is started and watched (operations 1.2, 1.8).
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ADMIN, DC_IMAGES, datacenterConfig, startDatacenter } from '../helpers/datacenter.js';
import { HttpClient, type Answer, type Document } from '../helpers/http-client.js';
import {
    BASE_181,
    FATHER,
    NODEJS,
    NOBODY,
    UNKNOWN,
    USERS,
    gzipFile,
    manifest,
    md5Base64,
    sha1Hex,
    type Fixture,
} from '../helpers/images.js';
import {
    expectError,
    invalidImage,
    invalidParameter,
    missing,
    notBoolean,
    notFound,
    OPERATOR_ONLY,
    uuidExists,
    type ExpectedError,
} from '../helpers/rows.js';
import { eventually, freePort, runToEnd, ServerProcess } from '../helpers/server-process.js';

const { vader, luke, sdc } = USERS;

const FAUXNODEJS = '1fc068b0-13b0-11e2-9f4e-2f3f6a96d9bc';
const FAUXUBUNTU = '583287ae-366b-11e2-aea4-bf6c552eb39b';
const CREATING = 'c0000000-0000-4000-8000-000000000003';
const FAILED = 'd0000000-0000-4000-8000-000000000004';
const ORIGIN = 'e0000000-0000-4000-8000-000000000005';
const PLATFORM = { '7.0': '20150101T000000Z' };
const BRANDED = { brand: 'lx', min_platform: PLATFORM };

const placeholder = {
    owner: luke,
    more: { type: 'null', os: 'null', expires_at: '2999-01-01T00:00:00.000Z' },
};
const PLACES: readonly Fixture[] = [
    { ...placeholder, uuid: CREATING, name: 'being-made', state: 'creating' },
    { ...placeholder, uuid: FAILED, name: 'not-made', state: 'failed' },
    {
        uuid: ORIGIN,
        name: 'lx-origin',
        owner: sdc,
        public: true,
        activated: true,
        published_at: '2015-01-01T00:00:00.000Z',
        file: gzipFile('lx origin'),
        more: { type: 'lx-dataset', os: 'linux', requirements: BRANDED },
    },
];

const dc = await startDatacenter(t, { images: [...DC_IMAGES, ...PLACES], processes: 2 });
const { client } = dc;

let count = 0;
const freshUuid = (): string => `f0000000-0000-4000-8000-${String(++count).padStart(12, '0')}`;

function importImage(body: Document, more = '', headers: Record<string, string> = {}): Promise<Answer> {
    return client.post(`/images/${String(body['uuid'])}?action=import${more}`, body, { headers });
}

function unknownOwner(owner: string): ExpectedError {
    return { status: 422, code: 'OwnerDoesNotExist', message: `owner "${owner}" does not exist` };
}

await t.test('an import that is refused', async (test) => {
    const uuid = freshUuid();
    const body = manifest({ uuid });
    expectError(test, await importImage(body, `&account=${vader}`), OPERATOR_ONLY, 'for an account');
    const other = await client.post(`/images/${UNKNOWN}?action=import`, body);
    const mismatch = `URL UUID, "${UNKNOWN}" and body UUID, "${uuid}" do not match`;
    expectError(test, other, invalidParameter(mismatch, ['uuid', 'Invalid']), 'another uuid in the body');
    const bogus = '/images/bogus?action=import';
    expectError(test, await client.post(bogus, body), notFound(`${bogus} does not exist`), 'no uuid');
    expectError(
        test,
        await importImage(body, '&skip_owner_check=x'),
        notBoolean('skip_owner_check', 'x'),
        'x',
    );
    for (const taken of [FATHER, NODEJS, FAILED]) {
        expectError(test, await importImage(manifest({ uuid: taken })), uuidExists(taken), `over ${taken}`);
    }
    const orphan = { ...body, origin: UNKNOWN };
    const message = `origin image "${UNKNOWN}" does not exist`;
    expectError(
        test,
        await importImage(orphan),
        { status: 422, code: 'OriginDoesNotExist', message },
        'without its origin',
    );
    expectError(test, await importImage({ ...body, owner: UNKNOWN }), unknownOwner(UNKNOWN), 'of nobody');
    const homeless = manifest({ uuid, owner: undefined });
    expectError(test, await importImage(homeless), invalidImage(missing('owner')), 'without an owner');
    const odd = { ...body, owner: 'x' };
    expectError(
        test,
        await importImage(odd),
        invalidImage(['owner', 'Invalid']),
        'with an owner that is none',
    );
    test.equal(await dc.record(uuid), undefined, 'nothing was stored');
});

await t.test('owners of imported images', async (test) => {
    const rows: readonly (readonly [owner: string, more: string, becomes: string])[] = [
        [vader, '', vader],
        [vader, '&skip_owner_check=false', vader],
        [NOBODY, '', ADMIN],
        [NOBODY, '&skip_owner_check=true', ADMIN],
        [UNKNOWN, '&skip_owner_check=true', UNKNOWN],
    ];
    for (const [owner, more, becomes] of rows) {
        const answer = await importImage(manifest({ uuid: freshUuid(), owner }), more);
        test.equal(answer.document['owner'], becomes, `${owner}${more}`);
    }
    test.notOk(
        dc.ufds.lookups.some((filter) => filter.includes(ADMIN)),
        'the operator is not looked up',
    );
});

await t.test('over a placeholder', async (test) => {
    const body = manifest({ uuid: CREATING, owner: luke, published_at: '2012-10-11T12:13:14.000Z' });
    const answer = await importImage(body);
    test.match(answer.document, { uuid: CREATING, owner: luke, state: 'unactivated', name: 'alderaan' });
    test.equal(answer.header('etag'), sha1Hex(JSON.stringify(answer.json)));
    const record = (await dc.record(CREATING)) ?? '';
    test.notMatch(record, /expires_at|being-made|"null"|creating/, 'nothing of it is kept');
    expectError(test, await importImage(body), uuidExists(CREATING), 'a second time');
    test.equal((await client.delete(`/images/${CREATING}?account=${luke}`)).status, 204);
});

const V2: Document = {
    v: 2,
    uuid: FAUXNODEJS,
    owner: NOBODY,
    name: 'fauxnodejs',
    version: '1.4.0',
    state: 'active',
    disabled: false,
    public: true,
    published_at: '2012-10-11T12:13:14.000Z',
    type: 'zone-dataset',
    os: 'smartos',
    files: [{ sha1: 'a'.repeat(40), size: 67, compression: 'gzip' }],
    icon: true,
    urn: 'sdc:sdc:fauxnodejs:1.4.0',
    requirements: { networks: [{ name: 'net0', description: 'public' }] },
    inherited_directories: ['/opt'],
    billing_tags: ['xl'],
};

const V1: Document = {
    uuid: FAUXNODEJS,
    name: 'fauxnodejs',
    version: '1.4.0',
    description: 'a v1 manifest',
    type: 'zone-dataset',
    os: 'smartos',
    published_at: '2012-10-11T12:13:14Z',
    created_at: '2011-01-01T00:00:00Z',
    creator_uuid: UNKNOWN,
    creator_name: 'sdc',
    vendor_uuid: UNKNOWN,
    cloud_name: 'sdc',
    platform_type: 'smartos',
    urn: 'sdc:sdc:fauxnodejs:1.4.0',
    files: [{ path: 'x', sha1: 'a'.repeat(40), size: 67, url: 'http://example.com/x' }],
    inherited_directories: ['/opt'],
    billing_tags: ['xl'],
};

const V1_ZVOL: Document = {
    uuid: FAUXUBUNTU,
    name: 'fauxubuntu',
    version: '12.4.2',
    type: 'zvol',
    os: 'linux',
    created_at: '2012-11-26T14:42Z',
    creator_uuid: sdc,
    restricted_to_uuid: luke,
    image_size: '10240',
    nic_driver: 'virtio',
    disk_driver: 'virtio',
    cpu_type: 'host',
    files: [{ path: 'x', sha1: 'b'.repeat(40), size: 67, url: 'http://example.com/x' }],
};

/** What imgadm's `publish` and the client tools do with a manifest (http-api 5.4). */
async function publish(test: Test, body: Document, more: string, expected: Document): Promise<void> {
    const uuid = String(body['uuid']);
    const imported = await importImage(body, more);
    test.match(imported.document, { uuid, state: 'unactivated', files: [], ...expected }, imported.text);
    for (const key of ['creator_uuid', 'created_at', 'vendor_uuid', 'icon'])
        test.notOk(key in imported.document);
    const file = gzipFile(`the file of ${uuid}`);
    const sha1 = sha1Hex(file);
    const uploaded = await client.put(`/images/${uuid}/file?compression=gzip&sha1=${sha1}`, file);
    test.match(uploaded.document['files'], [{ sha1, size: file.length }], 'compared by the publisher');
    const active = await client.post(`/images/${uuid}?action=activate`);
    test.match(active.document, { state: 'active', ...expected }, 'the date of publication is kept');
    test.equal((await client.get(`/images/${uuid}`)).text, active.text);
    const got = await client.get(`/images/${uuid}/file`);
    test.ok(got.body.equals(file));
    test.strictSame([got.header('content-md5'), got.header('etag')], [md5Base64(file), sha1]);
    test.equal((await client.delete(`/images/${uuid}`)).status, 204);
}

await t.test('from manifests of version 2 and 1', async (test) => {
    const common = { inherited_directories: ['/opt'], billing_tags: ['xl'], urn: V2['urn'] };
    const at = { published_at: V2['published_at'] };
    await publish(test, V2, '', { ...common, ...at, owner: ADMIN, public: true });
    const atOnce = { published_at: '2012-10-11T12:13:14Z' };
    await publish(test, V1, '&skip_owner_check=true', { ...common, ...atOnce, owner: UNKNOWN, public: true });
    expectError(test, await importImage(V1), unknownOwner(UNKNOWN), 'the creator is checked as an owner');
    await publish(test, V1_ZVOL, '', {
        owner: sdc,
        public: false,
        acl: [luke],
        published_at: '2012-11-26T14:42:00Z',
        image_size: 10_240,
        disk_driver: 'virtio',
    });
});

await t.test('what old imgadms make up', async (test) => {
    const lx = async (agent: string, changes: Document = {}): Promise<unknown> => {
        const data = {
            type: 'lx-dataset',
            os: 'linux',
            requirements: { ...BRANDED, min_ram: 5 },
            ...changes,
        };
        const body = manifest({ uuid: freshUuid(), ...data });
        return (await importImage(body, '', { 'user-agent': agent })).document['requirements'];
    };
    const given = { brand: 'lx', min_platform: PLATFORM, min_ram: 5 };
    const newer = { '7.0': '20190101T000000Z' };
    const sent = { requirements: { min_platform: newer } };
    test.strictSame(await lx('imgadm/3.7.3 (SunOS)'), { brand: 'lx', min_ram: 5 }, 'left out');
    test.strictSame(await lx('imgadm/2.6 (SunOS)', { requirements: { min_platform: newer } }), {});
    test.strictSame(
        await lx('imgadm/3.7.3 (SunOS)', { ...sent, origin: ORIGIN }),
        { min_platform: PLATFORM },
        'as the origin has it',
    );
    test.strictSame(
        await lx('imgadm/3.7.3 (SunOS)', { ...sent, origin: BASE_181 }),
        {},
        'the origin has none',
    );
    for (const agent of [
        'imgadm/3.7.4 (SunOS)',
        'imgadm/10.0.0 (SunOS)',
        'imgadm/3.7.3',
        'x imgadm/1.0 (x)',
    ]) {
        test.strictSame(await lx(agent), given, `${agent}: kept`);
    }
    const zone = await lx('imgadm/3.7.3 (SunOS)', {
        type: 'zone-dataset',
        requirements: { min_platform: newer },
    });
    test.strictSame(zone, { min_platform: newer }, 'another type of image');
});

await t.test('calls as imgadm makes them', async (test) => {
    const headers = { 'accept-version': '~2', 'user-agent': 'imgadm/3.10.0 (SunOS)' };
    const ping = await client.get('/ping', { headers });
    test.strictSame([ping.status, ping.values('content-type')], [200, ['application/json']]);
    test.equal(ping.document['imgapi'], true);
    const absent = await client.get(`/images/${UNKNOWN}`, { headers });
    expectError(test, absent, notFound(`image ${UNKNOWN} not found`), 'the next source is tried');
    const disabled = await client.get(`/images/${NODEJS}`, { headers });
    test.match(disabled.document, { state: 'disabled', disabled: true }, 'disabled ones are served');
    const file = await client.get(`/images/${NODEJS}/file`, { headers });
    test.match(disabled.document['files'], [{ size: file.body.length, sha1: sha1Hex(file.body) }]);
});

// ---- the process

await t.test('two processes on one base directory', async (test) => {
    const [, second] = dc.servers;
    const reader = new HttpClient(second!.port);
    test.equal((await client.get('/ping?role=writer')).status, 200);
    const refused = await reader.post('/images', manifest());
    const message = 'this process is a reader';
    expectError(test, refused, { status: 503, code: 'ServiceUnavailableError', message }, 'one writes');
    const uuid = String((await client.post('/images', manifest())).document['uuid']);
    await eventually(
        'the reader sees it',
        5_000,
        async () => (await reader.get(`/images/${uuid}`)).status === 200,
    );
    test.equal((await reader.get('/ping')).document['pid'], second?.pid);
});

await t.test('metrics', async (test) => {
    const scraper = new HttpClient(dc.metricsPort);
    await client.get('/ping', { headers: { 'user-agent': 'cmon/1.0 x' } });
    const answer = await scraper.get('/metrics');
    test.strictSame([answer.status, answer.header('content-type')], [200, 'text/plain; version=0.0.4']);
    const { instanceUuid, serverUuid } = datacenterConfig(dc.ufds.config);
    const labels = `datacenter="testdc",instance="${String(instanceUuid)}",server="${String(serverUuid)}",service="imgapi"`;
    const request = `route="ping",method="GET",user_agent="cmon/1.0",status_code="200",${labels}`;
    test.match(answer.text, `http_requests_completed{${request}} 1\n`);
    test.match(answer.text, `http_request_duration_seconds_count{${request}} 1\n`);
    test.equal((await scraper.get('/')).status, 404);
    test.equal((await client.get('/metrics')).status, 404, 'only on a listener of its own');

    const port = await freePort();
    const moved = await freePort();
    const config = { ...datacenterConfig(dc.ufds.config), port: port - 1, metrics: { port: moved - 1 } };
    const server = await ServerProcess.start({ config, args: ['--port', String(port)] });
    test.equal((await new HttpClient(moved).get('/metrics')).status, 200, 'it moves with --port');
    await server.stop();
    const busy = await ServerProcess.launch({ config: { ...config, metrics: { port: dc.metricsPort } } });
    test.equal((await busy.exited).code, 2, 'a port that is taken');
    test.ok(busy.log.some(({ msg }) => msg === 'error starting up'));
    await busy.kill();
    const silent = await ServerProcess.start({
        config,
        args: ['--port', String(port), '--metrics-port', '0'],
    });
    await test.rejects(new HttpClient(moved).get('/metrics'), { code: 'ECONNREFUSED' }, 'none');
    await silent.stop();
});

await t.test('what mode dc must be told', async (test) => {
    const path = join(dc.baseDir, 'etc', 'incomplete.json');
    const asked = async (config: object): Promise<string[]> => {
        writeFileSync(path, JSON.stringify(config));
        const { code, stdout } = await runToEnd(['--check', '-f', path], dc.baseDir);
        test.equal(code, 2);
        return stdout.split('\n').filter(Boolean);
    };
    test.strictSame(await asked({ mode: 'dc' }), [
        'config.datacenterName (string) is required',
        'config.ufds (object) is required',
        'config.moray (object) is required',
        'config.adminIp (string) is required',
        'config.adminUuid (string) is required',
        'config.serviceName (string) is required',
        'config.instanceUuid (string) is required',
        'config.serverUuid (string) is required',
    ]);
    const empty = { ...datacenterConfig(dc.ufds.config), ufds: {}, moray: {}, wfapi: {} };
    test.strictSame(await asked(empty), [
        'config.ufds.url (string) is required',
        'config.ufds.bindDN (string) is required',
        'config.ufds.bindPassword (string) is required',
        'config.moray.host (string) is required',
        'config.moray.port (finite) is required',
        'config.wfapi.url (string) is required',
        'config.wfapi.workflows ([string]) is required',
    ]);
    for (const key of ['datacenterName', 'ufds', 'moray', 'adminIp', 'adminUuid', 'serverUuid']) {
        const config = { ...datacenterConfig(dc.ufds.config), [key]: undefined };
        writeFileSync(path, JSON.stringify(config));
        const { code, stdout } = await runToEnd(['-f', path], dc.baseDir);
        const word = ['ufds', 'moray'].includes(key) ? 'object' : 'string';
        const message = `invalid IMGAPI config: config.${key} (${word}) is required`;
        test.equal(code, 2, `a start without ${key}`);
        test.match(stdout, JSON.stringify(message).slice(1, -1));
        test.match(stdout, 'error starting up');
    }
});
