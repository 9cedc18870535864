import t, { type Test } from 'tap';
import type { HttpClient } from '../helpers/http-client.js';
import { lineageFacts, UNKNOWN, USERS, type Fixture } from '../helpers/images.js';
import {
    badAccount,
    expectError,
    invalidParameter,
    notFound,
    repeated,
    UNAUTHORIZED,
    validationFailed,
} from '../helpers/rows.js';
import { startDatacenter } from '../helpers/datacenter.js';
import { startServer } from '../helpers/start-server.js';

const ROOT = '10000000-0000-4000-8000-000000000001';
const CHILD = '10000000-0000-4000-8000-000000000002';
const OFF = '10000000-0000-4000-8000-000000000003';
const LEAF = '10000000-0000-4000-8000-000000000004';
const CLONE = '10000000-0000-4000-8000-000000000005';
const AT = '2024-05-06T07:08:09.010Z';

const ROUTES = ['ancestors', 'dependents', 'clones', 'usage'] as const;

/** A small family; what a server of mode public stores differs from one of mode dc. */
function family(isPublic: boolean, more: Readonly<Record<string, unknown>> = {}): Fixture[] {
    const member = (uuid: string, name: string, day: number, own: Partial<Fixture> = {}): Fixture => ({
        uuid,
        name,
        owner: USERS.vader,
        public: isPublic,
        activated: true,
        published_at: `2020-01-0${day}T00:00:00.000Z`,
        file: Buffer.from(name),
        ...own,
        more: { ...more, ...own.more },
    });
    const provenance = { kind: 'clone', source_image: ROOT, source_owner: USERS.vader, at: AT };
    return [
        member(ROOT, 'root', 1),
        member(CHILD, 'child', 2, { more: { origin: ROOT } }),
        member(OFF, 'off', 3, { disabled: true, more: { origin: ROOT } }),
        member(LEAF, 'leaf', 4, { more: { origin: CHILD } }),
        member(CLONE, 'clone', 5, { owner: USERS.luke, more: { x_imgapi: { provenance } } }),
    ];
}

function facts(uuid: string, name: string, depth: number, changes = {}): Record<string, unknown> {
    return { uuid, depth, ...lineageFacts(name, changes) };
}

const child = facts(CHILD, 'child', 1, { origin: ROOT });
const off = facts(OFF, 'off', 1, { state: 'disabled', disabled: true, origin: ROOT });
const leaf = facts(LEAF, 'leaf', 2, { origin: CHILD });
const clone = {
    uuid: CLONE,
    name: 'clone',
    version: '1.0.0',
    owner: USERS.luke,
    type: 'zone-dataset',
    os: 'smartos',
    state: 'active',
    disabled: false,
    at: AT,
};

async function expectList(t: Test, client: HttpClient, path: string, expected: unknown): Promise<void> {
    const answer = await client.get(path);
    t.equal(answer.status, 200, path);
    t.strictSame(answer.json, expected, path);
    t.equal(answer.header('content-type'), 'application/json');
    t.equal(answer.header('x-truncated'), undefined);
    t.equal(answer.text, JSON.stringify(expected, null, 2), 'two-space indent, keys in order');
}

void t.test('mode private with signatures', async (t) => {
    const { client, guest, server } = await startServer(
        t,
        { mode: 'private', authType: 'signature' },
        family(false),
    );

    void t.test('lists', async (t) => {
        const ancestors = [facts(CHILD, 'child', 1), facts(ROOT, 'root', 2)];
        for (const caller of [client, guest]) {
            await expectList(t, caller, `/images/${LEAF}/ancestors`, ancestors);
            await expectList(t, caller, `/images/${LEAF}/ancestors?depth=1`, ancestors.slice(0, 1));
            await expectList(t, caller, `/images/${ROOT}/ancestors`, []);
        }
        await expectList(t, client, `/images/${ROOT}/dependents`, [child, off]);
        await expectList(t, client, `/images/${ROOT}/dependents?depth=`, [child, off]);
        await expectList(t, client, `/images/${ROOT}/dependents?depth=2`, [child, off, leaf]);
        await expectList(t, client, `/images/${ROOT}/dependents?depth=100`, [child, off, leaf]);
        await expectList(t, guest, `/images/${ROOT}/dependents?depth=100`, [child, leaf]);
        await expectList(t, client, `/images/${ROOT}/clones`, [clone]);
        await expectList(t, client, `/images/${CHILD}/clones`, []);
    });

    void t.test('anonymous callers', async (t) => {
        for (const route of ['clones', 'usage']) {
            for (const uuid of [ROOT, UNKNOWN, 'x']) {
                const answer = await guest.get(`/images/${uuid}/${route}`);
                expectError(t, answer, UNAUTHORIZED, `${route} of ${uuid}`);
            }
        }
        const bad = { headers: { authorization: 'Signature keyId="/nobody/keys/x"' } };
        for (const route of ['ancestors', 'dependents']) {
            const answer = await guest.get(`/images/${ROOT}/${route}`, bad);
            t.equal(answer.status, 401, `${route} with a bad signature`);
        }
    });

    void t.test('refusals', async (t) => {
        for (const route of ROUTES) {
            const path = (uuid: string, query = ''): string => `/images/${uuid}/${route}${query}`;
            const refuse = async (at: string, error: Parameters<typeof expectError>[2]) =>
                expectError(t, await client.get(at), error, at);
            await refuse(path(UNKNOWN), notFound(`image ${UNKNOWN} not found`));
            await refuse(path('x'), notFound(`${path('x')} does not exist`));
            await refuse(path(ROOT, '?account=x'), badAccount('x'));
            await refuse(path(ROOT, '?account=x&account=y'), repeated('account'));
            await refuse(path(ROOT, `?account=${USERS.luke}&depth=x`), notFound('image not found'));
            const options = await client.request('OPTIONS', path(ROOT));
            t.equal(options.header('allow'), 'GET, HEAD', `${route}: OPTIONS`);
            const posted = await client.post(path(ROOT));
            t.equal(posted.status, 405, `${route}: POST`);
        }
        for (const route of ['ancestors', 'dependents']) {
            for (const depth of ['0', '101', '-1', '1.5', '01', '1e1', 'x', '%20', '1000']) {
                const at = `/images/${ROOT}/${route}?depth=${depth}`;
                const shown = decodeURIComponent(depth);
                const error = invalidParameter(`invalid depth: "${shown}"`, ['depth', 'Invalid']);
                expectError(t, await client.get(at), error, at);
            }
            const twice = await client.get(`/images/${ROOT}/${route}?depth=1&depth=2`);
            expectError(t, twice, repeated('depth'), `${route}: depth twice`);
        }
        const used = await client.get(`/images/${ROOT}/usage`);
        expectError(
            t,
            used,
            { status: 501, code: 'NotAvailable', message: 'image usage is not available' },
            'no VMAPI is configured',
        );
    });

    void t.test('HEAD, audit', async (t) => {
        for (const route of ['ancestors', 'dependents', 'clones']) {
            const path = `/images/${ROOT}/${route}`;
            const [head, full] = [await client.request('HEAD', path), await client.get(path)];
            t.equal(head.status, 200);
            t.equal(head.body.length, 0);
            t.equal(head.header('content-length'), String(full.body.length), path);
        }
        const names = ['listimageancestors', 'listimagedependents', 'listimageclones', 'getimageusage'];
        for (const name of names) {
            await server.waitForLog((record) => record['route'] === name);
        }
        t.pass('every route is audited under its name');
    });
});

void t.test('mode public without authentication', async (t) => {
    const { guest } = await startServer(t, { mode: 'public', authType: 'none' }, family(true));
    await expectList(t, guest, `/images/${ROOT}/dependents?depth=2`, [child, leaf]);
    await expectList(t, guest, `/images/${CHILD}/ancestors`, [facts(ROOT, 'root', 1)]);
    for (const route of ['clones', 'usage']) {
        expectError(t, await guest.get(`/images/${ROOT}/${route}`), UNAUTHORIZED, route);
    }
});

void t.test('mode dc with channels', async (t) => {
    const channels = [
        { name: 'dev', description: 'dev', default: true },
        { name: 'release', description: 'release' },
    ];
    const many = Array.from({ length: 999 }, (_, i) => ({
        uuid: `20000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
        name: 'many',
        owner: USERS.luke,
        activated: true,
        published_at: '2021-01-01T00:00:00.000Z',
        more: {
            origin: ROOT,
            channels: ['release'],
            files: [{ sha1: 'a'.repeat(40), size: 1, compression: 'none' }],
        },
    }));
    const images = [...family(false, { channels: ['dev'] }), ...many];
    const { client } = await startDatacenter(t, { images, config: { channels } });

    const answer = await client.get(`/images/${ROOT}/dependents`);
    t.equal(answer.status, 200);
    t.equal(answer.header('x-truncated'), 'true', '1001 dependents, whatever their channel');
    t.equal(answer.list.length, 1000);
    t.strictSame(answer.list.slice(0, 2), [child, off], 'an operator sees all states');
    const head = await client.request('HEAD', `/images/${ROOT}/dependents`);
    t.equal(head.header('x-truncated'), 'true');

    await expectList(t, client, `/images/${ROOT}/dependents?account=${USERS.vader}&depth=2`, [
        child,
        off,
        leaf,
    ]);
    await expectList(t, client, `/images/${ROOT}/clones?account=${USERS.vader}`, []);
    await expectList(t, client, `/images/${ROOT}/clones?channel=*`, [clone]);
    for (const route of ROUTES) {
        const path = `/images/${ROOT}/${route}`;
        expectError(t, await client.get(`${path}?channel=release`), notFound('image not found'), route);
        expectError(
            t,
            await client.get(`${path}?channel=odd`),
            validationFailed('unknown channel: odd', ['channel', 'Invalid']),
            route,
        );
        expectError(t, await client.get(`${path}?account=${USERS.luke}`), notFound('image not found'), route);
    }
    const hidden = await client.get(
        `/images/${many[0]?.uuid}/ancestors?account=${USERS.luke}&channel=release`,
    );
    t.strictSame(hidden.json, [{ uuid: ROOT, depth: 1, hidden: true }]);
});
