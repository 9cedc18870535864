// Corners of http-api and its README that no other file reaches: repeated and empty parameters,
// lists with duplicates, records that cannot be used, old forms of dates.
import t from 'tap';
import { checkPreconditions } from '#lib/http/conditions.js';
import { USERS, createImage, manifest, publishImage } from '../helpers/images.js';
import { badAccount, expectError, notFound, repeated } from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';

const { vader, luke, emperor } = USERS;
/** A stored record whose owner is no uuid. */
const UNUSABLE = 'aaaaaaaa-1111-4222-8333-444444444444';

const { client, guest } = await startServer(t, {}, [{ uuid: UNUSABLE, name: 'odd', owner: 'nobody' }]);

await t.test('a tag can be asked for once only, several tags together (1.2, D7)', async (test) => {
    const uuid = await publishImage(client, { tags: { role: 'db', size: 'xl' } });
    for (const query of ['tag.role=db&tag.role=db', 'tag.role=&limit=1&tag.role=web']) {
        expectError(test, await client.get(`/images?${query}`), repeated('tag.role'), query);
    }
    test.strictSame((await client.get('/images?tag.role=db&tag.size=xl')).uuids, [uuid]);
});

await t.test('an empty billing_tag is none (1.2)', async (test) => {
    const name = 'billed';
    const uuid = await publishImage(client, { name, billing_tags: ['gold'] });
    for (const query of ['billing_tag=', 'billing_tag=gold&billing_tag=', 'billing_tag']) {
        test.strictSame((await client.get(`/images?name=${name}&${query}`)).uuids, [uuid], query);
    }
    test.strictSame((await client.get(`/images?name=${name}&billing_tag=lead&billing_tag=`)).uuids, []);
});

await t.test('a malformed account (README, table B)', async (test) => {
    expectError(test, await client.get('/health?account=foo'), badAccount('foo'), 'health');
    test.equal((await client.get(`/health?account=${luke}`)).status, 200);
    test.equal((await client.get('/health?account=')).status, 200);
});

await t.test('an ACL with duplicates takes new accounts, whatever their number (3.17)', async (test) => {
    const path = `/images/${await createImage(client, { acl: [luke, luke] })}/acl`;
    const acl = async (query: string, ...accounts: string[]) =>
        (await client.post(`${path}${query}`, accounts)).document['acl'];
    test.strictSame(await acl('', emperor), [luke, luke, emperor], 'one more');
    test.strictSame(await acl('?action=add', vader, luke, vader), [luke, luke, emperor, vader]);
    test.strictSame(await acl('?action=remove', luke), [emperor, vader], 'all of an account go');
});

await t.test('a record that is there but invalid (1.12 LOAD 2)', async (test) => {
    for (const path of [`/images/${UNUSABLE}`, `/images/${UNUSABLE}/file`, `/images?marker=${UNUSABLE}`]) {
        expectError(test, await guest.get(path), notFound('not found'), path);
    }
    const answer = await client.post(
        `/images/${UNUSABLE}?action=import`,
        manifest({ uuid: UNUSABLE, name: 'sound' }),
    );
    test.equal(answer.status, 200, 'its uuid can be imported');
    test.equal((await guest.get(`/images/${UNUSABLE}`)).document['name'], 'sound');
});

await t.test('a channel named twice is one channel (3.20, D38)', async (test) => {
    const channels = [
        { name: 'dev', description: 'all', default: true },
        { name: 'release', description: 'good' },
    ];
    const { client: operator } = await startServer(test, { channels });
    const v2 = { headers: { 'accept-version': '~2' } };
    const uuid = await publishImage(operator);
    const setChannels = (names: readonly string[]) =>
        operator.post(`/images/${uuid}?action=update`, { channels: names }, v2);

    test.strictSame((await setChannels(['dev', 'dev', 'release'])).document['channels'], [
        'dev',
        'dev',
        'release',
    ]);
    test.equal((await operator.delete(`/images/${uuid}`)).status, 204);
    const left = await operator.get(`/images/${uuid}?channel=release`, v2);
    test.strictSame(left.document['channels'], ['release'], 'taken out of dev only');

    await operator.post(`/images/${uuid}?action=channel-add&channel=release`, { channel: 'dev' });
    await setChannels(['dev', 'dev']);
    test.equal((await operator.delete(`/images/${uuid}`)).status, 204);
    expectError(
        test,
        await operator.get(`/images/${uuid}?channel=*`),
        notFound(`image ${uuid} not found`),
        'deleted, not left in no channel',
    );
});

await t.test('every form of an HTTP date means GMT (1.7)', (test) => {
    const zone = process.env['TZ'];
    process.env['TZ'] = 'America/New_York';
    test.teardown(() => {
        if (zone === undefined) {
            delete process.env['TZ'];
        } else {
            process.env['TZ'] = zone;
        }
    });
    test.not(new Date(0).getTimezoneOffset(), 0, 'this process is elsewhere');
    const lastModified = Date.UTC(1994, 10, 6, 8, 49, 37);
    const entity = { etag: 'tag', lastModified };
    const outcome = (date: string) => checkPreconditions({ 'if-modified-since': date }, entity, 'GET');
    for (const [same, before] of [
        ['Sun, 06 Nov 1994 08:49:37 GMT', 'Sun, 06 Nov 1994 08:49:36 GMT'],
        ['Sunday, 06-Nov-94 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:36 GMT'],
        ['Sun Nov  6 08:49:37 1994', 'Sun Nov  6 08:49:36 1994'],
        ['Sun, 06 Nov 1994 08:49:37 +0000', 'Sun, 06 Nov 1994 08:49:36 +0000'],
    ] as const) {
        test.equal(outcome(same), 'not-modified', same);
        test.equal(outcome(before), 'proceed', before);
    }
    test.end();
});
