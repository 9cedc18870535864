// Owners are looked up in the user database of a datacenter, and only where the interface says so.
import t, { type Test } from 'tap';
import { UfdsDouble } from '../doubles/ufds/ufds-double.js';
import { ADMIN, startDatacenter } from '../helpers/datacenter.js';
import type { Answer, Document, HttpClient } from '../helpers/http-client.js';
import {
    createImage,
    gzipFile,
    manifest,
    NOBODY,
    publishImage,
    UNKNOWN,
    uploadFile,
    USERS,
} from '../helpers/images.js';
import { eventually, type ServerProcess } from '../helpers/server-process.js';

const RECOVERY_LIMIT_MS = 60_000;
/** Uuids for imports, one each. */
const IMPORTED = [1, 2, 3, 4, 5, 6, 7, 8].map((i) => `0a0a0a0a-0000-4000-8000-00000000000${i}`);

/** A datacenter without images, and its user database. */
async function start(test: Test): Promise<{ ufds: UfdsDouble; client: HttpClient; server: ServerProcess }> {
    const ufds = await UfdsDouble.start();
    test.teardown(() => ufds.stop());
    const { client, server } = await startDatacenter(test, { images: [], config: { ufds: ufds.config } });
    return { ufds, client, server };
}

function importImage(
    client: HttpClient,
    uuid: string,
    changes: Readonly<Record<string, unknown>>,
    query = '',
): Promise<Answer> {
    return client.post(`/images/${uuid}?action=import${query}`, manifest({ uuid, ...changes }));
}

function refusesOwner(test: Test, answer: Answer, owner: string): void {
    test.equal(answer.status, 422);
    test.strictSame(answer.error, {
        code: 'OwnerDoesNotExist',
        message: `owner "${owner}" does not exist`,
    });
}

function refusesForNow(test: Test, answer: Answer, what: string): void {
    test.equal(answer.status, 503, what);
    test.strictSame(answer.error, {
        code: 'ServiceUnavailableError',
        message: 'user database is unavailable',
    });
    test.equal(answer.header('retry-after'), '5');
}

function ufdsCheck(health: Answer): Document {
    const checks = health.document['checks'] as Readonly<Record<string, Document>>;
    return checks['ufds'] ?? {};
}

await t.test('who may own images', async (t) => {
    const { client, server, ufds } = await start(t);
    await server.waitForLog(({ msg }) => msg === 'user database answers');
    t.equal(ufds.binds, 1, 'looked for at the start');

    await t.test('CreateImage', async (t) => {
        const asked = ufds.lookups.length;
        t.equal((await client.post('/images', manifest({ owner: USERS.vader }))).status, 200);
        t.equal((await client.post('/images', manifest({ owner: USERS.vader }))).status, 200);
        t.equal(ufds.lookups.length, asked + 1, 'asked once');
        refusesOwner(t, await client.post('/images', manifest({ owner: UNKNOWN })), UNKNOWN);
        refusesOwner(t, await client.post('/images', manifest({ owner: NOBODY })), NOBODY);
        refusesOwner(t, await client.post('/images', manifest({ owner: UNKNOWN, origin: NOBODY })), UNKNOWN);
        const before = ufds.lookups.length;
        for (const owner of [undefined, 'vader', 7, null]) {
            const answer = await client.post('/images', manifest({ owner }));
            t.equal(answer.status, 422);
            t.match(answer.error, { code: 'ValidationFailed', errors: [{ field: 'owner' }] });
        }
        t.equal(ufds.lookups.length, before, 'what is no uuid is not asked for');
        refusesOwner(t, await client.post('/images', manifest({ owner: [UNKNOWN] })), UNKNOWN);
    });

    await t.test('a call for an account', async (t) => {
        const query = `?account=${USERS.luke}`;
        const created = await client.post(`/images${query}`, manifest({ owner: undefined }));
        t.equal(created.status, 200);
        t.equal(created.document['owner'], USERS.luke);
        refusesOwner(
            t,
            await client.post(`/images?account=${UNKNOWN}`, manifest({ owner: undefined })),
            UNKNOWN,
        );
        const other = await client.post(`/images${query}`, manifest({ owner: UNKNOWN }));
        t.match(other.error, { code: 'InvalidParameter' }, 'judged before anybody is looked up');
        const asked = ufds.lookups.length;
        t.equal((await client.get(`/images?account=${UNKNOWN}`)).status, 200, 'reads do not look it up');
        t.equal((await client.get(`/images?owner=${UNKNOWN}`)).status, 200);
        t.equal(ufds.lookups.length, asked);
    });

    await t.test('AdminImportImage', async (t) => {
        const [first = '', second = '', third = '', fourth = ''] = IMPORTED;
        const owned = await importImage(client, first, { owner: USERS.emperor });
        t.equal(owned.status, 200);
        t.equal(owned.document['owner'], USERS.emperor);
        refusesOwner(t, await importImage(client, second, { owner: UNKNOWN }), UNKNOWN);
        refusesOwner(
            t,
            await importImage(client, second, { owner: UNKNOWN }, '&skip_owner_check=false'),
            UNKNOWN,
        );
        t.equal((await client.get(`/images/${second}`)).status, 404);

        ufds.users.delete(ADMIN);
        const asked = ufds.lookups.length;
        const skipped = await importImage(client, second, { owner: UNKNOWN }, '&skip_owner_check=true');
        t.equal(skipped.status, 200);
        t.equal(skipped.document['owner'], UNKNOWN);
        const unset = await importImage(client, third, { owner: NOBODY });
        t.equal(unset.status, 200);
        t.equal(unset.document['owner'], ADMIN, 'the owner of nothing becomes the operator');
        const both = await importImage(client, fourth, { owner: NOBODY }, '&skip_owner_check=true');
        t.equal(both.document['owner'], ADMIN);
        t.equal(ufds.lookups.length, asked, 'without a look');
    });

    await t.test('UpdateImage', async (t) => {
        const uuid = await createImage(client, { owner: USERS.vader });
        const update = (changes: object): Promise<Answer> =>
            client.post(`/images/${uuid}?action=update`, changes);
        refusesOwner(t, await update({ owner: UNKNOWN }), UNKNOWN);
        t.equal((await client.get(`/images/${uuid}`)).document['owner'], USERS.vader);
        t.equal((await update({ owner: USERS.luke })).document['owner'], USERS.luke);
        const [, orphan = ''] = IMPORTED;
        refusesOwner(
            t,
            await client.post(`/images/${orphan}?action=update`, { description: 'whose?' }),
            UNKNOWN,
        );
        t.equal(
            (await client.post(`/images/${orphan}?action=update`, { owner: USERS.luke })).status,
            200,
            'can be given to somebody',
        );
    });
});

await t.test('an outage of the user database', async (t) => {
    const { client, server, ufds } = await start(t);
    const uuid = await createImage(client, { owner: USERS.vader });
    const active = await publishImage(client, { owner: USERS.vader });
    await ufds.stop();

    const [first = '', second = '', third = ''] = IMPORTED;
    const needy: readonly (readonly [string, () => Promise<Answer>])[] = [
        ['CreateImage', () => client.post('/images', manifest({ owner: USERS.luke }))],
        ['CreateImage, unknown owner', () => client.post('/images', manifest({ owner: UNKNOWN }))],
        [
            'for an account',
            () => client.post(`/images?account=${USERS.luke}`, manifest({ owner: undefined })),
        ],
        ['AdminImportImage', () => importImage(client, first, { owner: USERS.luke })],
        ['UpdateImage', () => client.post(`/images/${uuid}?action=update`, { owner: USERS.luke })],
    ];
    for (const [what, call] of needy) refusesForNow(t, await call(), what);
    t.equal((await client.get(`/images/${uuid}`)).document['owner'], USERS.vader, 'nothing has changed');
    t.equal((await client.get(`/images/${first}`)).status, 404);

    await t.test('everything else goes on', async (t) => {
        for (const path of ['/ping', '/images', `/images/${active}`, `/images/${active}/file`, '/state']) {
            t.equal((await client.get(path)).status, 200, path);
        }
        t.equal((await client.get(`/images?account=${USERS.luke}`)).status, 200);
        t.equal(
            (await importImage(client, second, { owner: UNKNOWN }, '&skip_owner_check=true')).status,
            200,
        );
        t.equal((await importImage(client, third, { owner: NOBODY })).document['owner'], ADMIN);
        t.equal((await uploadFile(client, uuid, gzipFile('bytes'))).status, 200);
        for (const action of ['activate', 'disable', 'enable']) {
            t.equal((await client.post(`/images/${uuid}?action=${action}`)).status, 200, action);
        }
        t.equal((await client.post(`/images/${uuid}/acl`, [USERS.luke])).status, 200);
        t.equal((await client.post('/images', manifest({ owner: USERS.vader }))).status, 200, 'remembered');
        t.equal((await client.delete(`/images/${uuid}`)).status, 204);
        const health = await eventually('the check', RECOVERY_LIMIT_MS, async () => {
            const answer = await client.get('/health');
            return ufdsCheck(answer)['ok'] === false && answer;
        });
        t.equal(health.status, 200);
        t.equal(health.document['status'], 'degraded');
    });

    await ufds.start();
    const created = await eventually('recovery', RECOVERY_LIMIT_MS, async () => {
        const answer = await client.post('/images', manifest({ owner: USERS.emperor }));
        if (answer.status !== 200) refusesForNow(t, answer, 'until then');
        return answer.status === 200 && answer;
    });
    t.equal(created.document['owner'], USERS.emperor);
    refusesOwner(t, await client.post('/images', manifest({ owner: UNKNOWN })), UNKNOWN);
    const lines = server.log.filter((record) => record['ufdsClient'] === true);
    t.strictSame(
        lines.map(({ level, msg }) => ({ level, msg })),
        [
            { level: 30, msg: 'user database answers' },
            { level: 50, msg: 'user database is unavailable' },
            { level: 30, msg: 'user database answers' },
        ],
    );
    t.notMatch(JSON.stringify(server.log), ufds.bindPassword, 'the password is nowhere in the log');
});

await t.test('a restart of the user database between two requests costs none', async (t) => {
    const { client, ufds } = await start(t);
    await createImage(client, { owner: USERS.vader });
    await ufds.stop();
    await ufds.start();
    const answer = await client.post('/images', manifest({ owner: USERS.luke }));
    t.equal(answer.status, 200);
    t.equal(ufds.binds, 2);
});

await t.test('a start without the user database', async (t) => {
    const ufds = await UfdsDouble.start();
    t.teardown(() => ufds.stop());
    await ufds.stop();
    const { client } = await startDatacenter(t, { images: [], config: { ufds: ufds.config } });
    t.equal((await client.get('/images')).status, 200);
    refusesForNow(t, await client.post('/images', manifest()), 'a write that needs it');
    await ufds.start();
    await eventually('recovery', RECOVERY_LIMIT_MS, async () => {
        const { status } = await client.post('/images', manifest());
        return status === 200;
    });
});

await t.test('a start with refused credentials', async (t) => {
    const ufds = await UfdsDouble.start();
    t.teardown(() => ufds.stop());
    const wrong = { ...ufds.config, bindPassword: 'not the password' };
    const { client, server } = await startDatacenter(t, { images: [], config: { ufds: wrong } });
    const complaint = await server.waitForLog(({ level }) => level === 50);
    t.match(complaint, {
        msg: 'user database refuses ufds.bindDN and ufds.bindPassword',
        component: 'accounts',
        ufdsClient: true,
    });
    t.equal((await client.get('/images')).status, 200);
    refusesForNow(t, await client.post('/images', manifest()), 'a write that needs it');
    const health = await client.get('/health');
    t.equal(health.document['status'], 'degraded');
    t.match(ufdsCheck(health), { ok: false, error: /invalid credentials/i });
    ufds.bindPassword = 'not the password';
    await eventually('recovery', RECOVERY_LIMIT_MS, async () => {
        const { status } = await client.post('/images', manifest());
        return status === 200;
    });
    t.notMatch(JSON.stringify(server.log), 'not the password');
    const complaints = server.log.filter(({ level, ufdsClient }) => level === 50 && ufdsClient === true);
    t.equal(complaints.length, 1, 'complained of once');
});
