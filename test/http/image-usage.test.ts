import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import t from 'tap';
import { VmapiDouble } from '../doubles/vmapi/vmapi-double.js';
import { USERS, type Fixture } from '../helpers/images.js';
import { expectError, notBoolean, notFound } from '../helpers/rows.js';
import { startDatacenter } from '../helpers/datacenter.js';
import { eventually } from '../helpers/server-process.js';
import { startServer } from '../helpers/start-server.js';

const ROOT = '10000000-0000-4000-8000-000000000001';
const CHILD = '10000000-0000-4000-8000-000000000002';
const OTHER = '10000000-0000-4000-8000-000000000003';
const BIG = '10000000-0000-4000-8000-000000000004';
const SERVER = '564d0000-0000-4000-8000-000000000001';

const UNAVAILABLE = { status: 503, code: 'ServiceUnavailableError', message: 'VMAPI is unavailable' };

function fixture(uuid: string, name: string, more: Partial<Fixture> = {}): Fixture {
    return {
        uuid,
        name,
        owner: USERS.vader,
        public: true,
        activated: true,
        published_at: '2020-01-01T00:00:00.000Z',
        file: Buffer.from(name),
        ...more,
    };
}

const FIXTURES = [
    fixture(ROOT, 'root'),
    fixture(CHILD, 'child', { more: { origin: ROOT } }),
    fixture(OTHER, 'other', { public: false, more: { origin: ROOT } }),
    fixture(BIG, 'big'),
];

function vm(image: string, owner: string, state = 'running', more = {}) {
    return {
        uuid: randomUUID(),
        image_uuid: image,
        owner_uuid: owner,
        state,
        alias: 'a vm',
        brand: 'joyent',
        server_uuid: SERVER,
        ...more,
    };
}

/** An instance as operators get it. */
function shown(one: ReturnType<typeof vm>): Record<string, unknown> {
    const { uuid, alias, owner_uuid, state, brand, server_uuid } = one;
    return { uuid, alias, owner_uuid, state, brand, server_uuid };
}

function without(object: Readonly<Record<string, unknown>>, ...keys: readonly string[]): object {
    return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));
}

void t.test('usage', async (t) => {
    const vmapi = await new VmapiDouble().start();
    t.teardown(() => vmapi.stop());
    const config = { vmapi: { url: `${vmapi.url}/` } };
    const { client, server } = await startDatacenter(t, { images: FIXTURES, config });
    const first = vm(ROOT, USERS.vader);
    const second = vm(ROOT, USERS.luke, 'stopped');
    vmapi.vms.push(
        first,
        second,
        vm(ROOT, USERS.luke, 'destroyed'),
        vm(ROOT, USERS.luke, 'failed'),
        vm(CHILD, USERS.luke),
        vm(OTHER, USERS.vader),
        vm(OTHER, USERS.vader),
    );
    const usage = `/images/${ROOT}/usage`;

    void t.test('what is asked and answered', async (t) => {
        vmapi.requests.length = 0;
        const answer = await client.get(usage, { headers: { 'x-request-id': 'the-id' } });
        t.equal(answer.status, 200);
        t.equal(
            answer.text,
            JSON.stringify(
                { image_uuid: ROOT, vm_count: 2, vms: [shown(first), shown(second)], dependent_count: 2 },
                null,
                2,
            ),
        );
        t.equal(answer.header('x-truncated'), undefined);
        t.equal(vmapi.requests.length, 1);
        const [asked] = vmapi.requests;
        t.equal(
            asked?.target,
            `/vms?image_uuid=${ROOT}&state=active&fields=${encodeURIComponent(
                'uuid,alias,owner_uuid,state,brand,server_uuid',
            )}&limit=1000&offset=0`,
        );
        t.equal(asked?.headers['x-request-id'], 'the-id');
        t.match(asked?.headers['user-agent'], /^IMGAPI\//);

        const counted = await client.get(`${usage}?dependents=true`);
        t.strictSame(counted.document['dependents'], [
            { image_uuid: CHILD, vm_count: 1 },
            { image_uuid: OTHER, vm_count: 2 },
        ]);
        t.strictSame((await client.get(`${usage}?dependents=false`)).json, answer.json);
        const head = await client.request('HEAD', usage);
        t.equal(head.status, 200);
        t.equal(head.header('content-length'), String(answer.body.length));
    });

    void t.test('for an account', async (t) => {
        vmapi.requests.length = 0;
        const answer = await client.get(`${usage}?account=${USERS.luke}&dependents=true`);
        t.strictSame(answer.json, {
            image_uuid: ROOT,
            vm_count: 1,
            vms: [without(shown(second), 'server_uuid')],
            dependent_count: 1,
            dependents: [{ image_uuid: CHILD, vm_count: 1 }],
        });
        t.ok(vmapi.requests.every(({ query }) => query.get('owner_uuid') === USERS.luke));
        const hidden = await client.get(`/images/${OTHER}/usage?account=${USERS.luke}`);
        expectError(t, hidden, notFound('image not found'), 'hidden');
        expectError(
            t,
            await client.get(`${usage}?dependents=yes`),
            notBoolean('dependents', 'yes'),
            'boolean',
        );
    });

    void t.test('values VMAPI does not know', async (t) => {
        const odd = vm(ROOT, USERS.vader, 'provisioning', { alias: null, server_uuid: null });
        vmapi.vms.push(odd);
        const { document } = await client.get(usage);
        t.equal(document['vm_count'], 3);
        t.strictSame(
            (document['vms'] as unknown[])[2],
            without(shown(odd), 'alias', 'server_uuid'),
            'are left out',
        );
        vmapi.vms.pop();
    });

    void t.test('more instances than are listed', async (t) => {
        const many = Array.from({ length: 2100 }, () => vm(BIG, USERS.vader));
        vmapi.vms.push(...many);
        const path = `/images/${BIG}/usage`;
        vmapi.requests.length = 0;
        const told = await client.get(path);
        const { document } = told;
        t.equal(document['vm_count'], 2100);
        t.strictSame(document['vms'], many.slice(0, 1000).map(shown));
        t.equal(document['truncated'], true);
        t.equal(told.header('x-truncated'), 'true');
        t.equal(vmapi.requests.length, 1, 'the total comes with the first page');

        vmapi.tellsTotal = false;
        vmapi.requests.length = 0;
        const counted = await client.get(path);
        t.strictSame(counted.json, told.json, 'counted page by page');
        t.strictSame(
            vmapi.requests.map(({ query }) => query.get('offset')),
            ['0', '1000', '2000'],
        );
        vmapi.tellsTotal = true;
    });

    void t.test('a VMAPI that fails', async (t) => {
        for (const fault of ['unavailable', 'hang-up', 'break-off', 'garbage', 'no-http'] as const) {
            vmapi.fault = fault;
            const answer = await client.get(usage);
            expectError(t, answer, UNAVAILABLE, fault);
            t.equal(answer.header('retry-after'), '5', fault);
            t.equal((await client.get(`/images/${ROOT}/dependents`)).status, 200, 'other queries work');
        }
        vmapi.fault = 'hang';
        vmapi.requests.length = 0;
        const socket = connect(server.port, '127.0.0.1');
        socket.write(`GET ${usage} HTTP/1.1\r\nHost: a\r\n\r\n`);
        await eventually('the question', 5000, () => vmapi.requests.length === 1);
        socket.destroy();
        await eventually(
            'the question to be given up with its client',
            10_000,
            () => vmapi.sockets.size === 0,
        );
        vmapi.fault = 'none';
        await vmapi.stop();
        expectError(t, await client.get(usage), UNAVAILABLE, 'stopped');
        await vmapi.start();
        t.equal((await client.get(usage)).status, 200, 'back again');
    });
});

void t.test('something else behind the URL', async (t) => {
    const vmapi = await new VmapiDouble().start();
    t.teardown(() => vmapi.stop());
    const url = `${vmapi.url}/elsewhere`;
    const { client } = await startDatacenter(t, { images: FIXTURES, config: { vmapi: { url } } });
    const answer = await client.get(`/images/${ROOT}/usage`);
    expectError(t, answer, UNAVAILABLE, 'a 404 is no list');
    t.equal(vmapi.requests[0]?.path, '/elsewhere/vms', 'the path of the URL is kept');
});

void t.test('a URL that is none', async (t) => {
    for (const url of ['vmapi', 'http://name.invalid']) {
        const { client } = await startDatacenter(t, { images: FIXTURES, config: { vmapi: { url } } });
        expectError(t, await client.get(`/images/${ROOT}/usage`), UNAVAILABLE, url);
    }
});

void t.test('anonymous callers of a public server', async (t) => {
    const vmapi = await new VmapiDouble().start();
    t.teardown(() => vmapi.stop());
    const config = { mode: 'public', authType: 'signature', vmapi: { url: vmapi.url } };
    const { client, guest } = await startServer(t, config, [fixture(ROOT, 'root')]);
    t.equal((await guest.get(`/images/${ROOT}/usage`)).status, 401);
    t.equal(vmapi.requests.length, 0);
    t.strictSame((await client.get(`/images/${ROOT}/usage`)).json, {
        image_uuid: ROOT,
        vm_count: 0,
        vms: [],
        dependent_count: 0,
    });
});
