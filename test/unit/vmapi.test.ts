import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import { VmapiDirectory } from '#lib/remotes/vmapi/vmapi.js';
import { sendJson, type ServiceHandler } from '../doubles/http-service.js';
import { VmapiDouble } from '../doubles/vmapi/vmapi-double.js';
import { refusal, refused } from '../helpers/image-bench.js';
import { USERS } from '../helpers/images.js';
import { makeClient, serve } from '../helpers/outgoing.js';
import { eventually } from '../helpers/server-process.js';

const IMAGE = '10000000-0000-4000-8000-000000000001';
const UNAVAILABLE = refused(503, 'ServiceUnavailableError', 'VMAPI is unavailable');

function ask(t: Test, url: string, limit = 1000, signal: AbortSignal = new AbortController().signal) {
    const { client: http } = makeClient(t, {}, { timeouts: { headersMs: 100, stallMs: 100 } });
    const directory = new VmapiDirectory({ http: async () => http, url });
    return directory.activeInstancesOf({ imageUuid: IMAGE, limit, requestId: 'id', signal });
}

async function startDouble(t: Test): Promise<VmapiDouble> {
    const vmapi = await new VmapiDouble().start();
    t.teardown(() => vmapi.stop());
    return vmapi;
}

void t.test('pages', async (t) => {
    const vmapi = await startDouble(t);
    const vm = () => ({ uuid: randomUUID(), image_uuid: IMAGE, owner_uuid: USERS.vader, state: 'running' });
    t.strictSame(await ask(t, vmapi.url), { count: 0, instances: [] });
    vmapi.vms.push(...Array.from({ length: 2000 }, vm));
    const all = await ask(t, vmapi.url, 5000);
    t.equal(all.count, 2000);
    t.strictSame(
        all.instances.map(({ uuid }) => uuid),
        vmapi.vms.map(({ uuid }) => uuid),
    );
    vmapi.requests.length = 0;
    t.strictSame(await ask(t, vmapi.url, 0), { count: 2000, instances: [] });
    t.equal(vmapi.requests.length, 1);
    t.equal(vmapi.requests[0]?.query.get('fields'), 'uuid', 'what is only counted is not described');
    vmapi.tellsTotal = false;
    t.strictSame(await ask(t, vmapi.url, 0), { count: 2000, instances: [] });
    t.equal(vmapi.requests.length, 4, 'a full page may have a page behind it');
});

void t.test('a list that changes or never ends', async (t) => {
    const instances = Array.from({ length: 1000 }, () => ({ uuid: randomUUID() }));
    const endless: ServiceHandler = (_, response) => sendJson(response, 200, instances);
    const service = await serve(t, endless);
    const found = await ask(t, service.url, 1500);
    t.equal(service.requests.length, 100, 'so many pages at most');
    t.equal(found.count, 1000, 'an instance on several pages counts once');
    t.equal(found.instances.length, 1000);

    const empty = await serve(t, (_, response) =>
        sendJson(response, 200, [], { 'x-joyent-resource-count': '5' }),
    );
    t.strictSame(await ask(t, empty.url), { count: 5, instances: [] });
    t.equal(empty.requests.length, 1, 'an empty page is the last one, whatever the total');
    const odd = await serve(t, (_, response) =>
        sendJson(response, 200, [{ uuid: 'a', alias: 5, brand: 'lx', secret: 'x' }], {
            'x-joyent-resource-count': 'many',
        }),
    );
    t.strictSame(await ask(t, odd.url), { count: 1, instances: [{ uuid: 'a', brand: 'lx' }] });
});

void t.test('failures', async (t) => {
    const vmapi = await startDouble(t);
    for (const fault of ['unavailable', 'hang', 'hang-body', 'hang-up', 'break-off', 'garbage'] as const) {
        vmapi.fault = fault;
        t.strictSame(await refusal(ask(t, vmapi.url)), UNAVAILABLE, fault);
    }
    for (const body of [{}, null, 'vms', [null], ['vm'], [{ uuid: 5 }], [{}]]) {
        const service = await serve(t, (_, response) => sendJson(response, 200, body));
        t.strictSame(await refusal(ask(t, service.url)), UNAVAILABLE, JSON.stringify(body));
    }
    const refusing = await serve(t, (_, response) =>
        sendJson(response, 409, { code: 'ValidationFailed', message: 'Invalid Parameters' }),
    );
    t.strictSame(await refusal(ask(t, refusing.url)), UNAVAILABLE, 'a refusal');
    const service = await serve(t, (_, response) => sendJson(response, 200, 'x'.repeat(9_000_000)));
    t.strictSame(await refusal(ask(t, service.url)), UNAVAILABLE, 'an endless answer');

    vmapi.fault = 'hang';
    vmapi.requests.length = 0;
    const gone = new AbortController();
    const asked = ask(t, vmapi.url, 1000, gone.signal);
    await eventually('the request', 5000, () => vmapi.requests.length === 1);
    gone.abort(new Error('the client has gone'));
    await t.rejects(asked, new Error('the client has gone'));
});

void t.test('one instance', async (t) => {
    const vmapi = await startDouble(t);
    const { client } = makeClient(t, {}, { timeouts: { headersMs: 100, stallMs: 100 } });
    const directory = new VmapiDirectory({ http: async () => client, url: `${vmapi.url}/` });
    const { signal } = new AbortController();
    const ask = (uuid: string, owner?: string) =>
        directory.instance({ uuid, ...(owner === undefined ? {} : { owner }), requestId: 'id', signal });
    const plain = { uuid: randomUUID(), image_uuid: IMAGE, owner_uuid: USERS.vader, state: 'running' };
    const full = {
        ...plain,
        uuid: randomUUID(),
        brand: 'lx',
        kernel_version: '4.3',
        server_uuid: IMAGE,
        docker: true,
        disks: [{ size: 5 }, { image_uuid: '' }, null, { image_uuid: 'a' }, { image_uuid: 'b' }],
    };
    const odd = { ...plain, uuid: randomUUID(), image_uuid: null, disks: 5, brand: 5, docker: 'yes' };
    vmapi.vms.push(plain, full, odd as never);
    t.strictSame(await ask(plain.uuid), {
        uuid: plain.uuid,
        imageUuid: IMAGE,
        diskImages: [],
        isDocker: false,
    });
    t.strictSame(await ask(full.uuid, USERS.vader), {
        uuid: full.uuid,
        imageUuid: IMAGE,
        diskImages: ['a', 'b'],
        isDocker: true,
        brand: 'lx',
        kernelVersion: '4.3',
        serverUuid: IMAGE,
    });
    t.strictSame(await ask(odd.uuid), { uuid: odd.uuid, diskImages: [], isDocker: true });
    t.strictSame(
        vmapi.requests.map(({ target, headers }) => [target, headers['x-request-id']]),
        [
            [`/vms/${plain.uuid}`, 'id'],
            [`/vms/${full.uuid}?owner_uuid=${USERS.vader}`, 'id'],
            [`/vms/${odd.uuid}`, 'id'],
        ],
    );
    t.equal(await ask(plain.uuid, USERS.luke), undefined, 'of another account');
    t.equal(await ask(randomUUID()), undefined, 'unknown');
    t.equal(await ask(plain.uuid, 'x'), undefined, 'refused');
    for (const fault of ['unavailable', 'hang', 'hang-body', 'hang-up', 'break-off', 'garbage'] as const) {
        vmapi.fault = fault;
        t.strictSame(await refusal(ask(plain.uuid)), UNAVAILABLE, fault);
    }
});

void t.test('the double is as strict as VMAPI', async (t) => {
    const vmapi = await startDouble(t);
    const { get, failure } = makeClient(t);
    const vm = { uuid: randomUUID(), image_uuid: IMAGE, owner_uuid: USERS.vader, state: 'running' };
    vmapi.vms.push(vm);
    for (const query of [
        'image_uuid=x',
        'limit=1001',
        'limit=0',
        'offset=-1',
        'fields=name',
        'odd=1',
        'state=on',
    ]) {
        const error = await failure(`${vmapi.url}/vms?${query}`);
        t.match(
            error,
            { status: 409, body: { code: 'ValidationFailed', message: 'Invalid Parameters' } },
            query,
        );
    }
    t.strictSame(await get(`${vmapi.url}/vms/${vm.uuid}?owner_uuid=${USERS.vader}`), vm);
    for (const path of [`${vm.uuid}?owner_uuid=${USERS.luke}`, randomUUID()]) {
        const error = await failure(`${vmapi.url}/vms/${path}`);
        t.strictSame(
            [error.status, error.body],
            [404, { code: 'ResourceNotFound', message: 'VM not found' }],
        );
    }
});
