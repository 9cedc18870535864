// A public server with channels: the 66 cases of operations 6.2, the API versions, and the rest of
// backends 13 and http-api 3.15, 3.16, 3.20 that concerns channels.
import t, { type Test } from 'tap';
import type { Answer } from '../helpers/http-client.js';
import {
    BASE_181,
    NOBODY,
    PNG,
    UNKNOWN,
    USERS,
    createImage,
    gzipFile,
    manifest,
    sha1Hex,
    type Fixture,
} from '../helpers/images.js';
import {
    UNAUTHORIZED,
    expectError,
    notFound,
    repeated,
    runErrorRows,
    validationFailed,
    type ErrorRow,
    type ExpectedError,
} from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';

const INNOCHAN = BASE_181;
const INDEVCHAN = '8ba6d20f-6013-f944-9d69-929ebdef45a2';
const INSTAGINGCHAN = '3e6ebb8c-bb37-9245-ba5d-43d172461be6';
const INMULTICHAN = '4e6ebb8c-bb37-9245-ba5d-43d172461be6';
const FORMER = '5e6ebb8c-bb37-9245-ba5d-43d172461be6';
const CHANNELS = [
    { name: 'dev', description: 'all commits', default: true },
    { name: 'staging', description: 'release candidates' },
    { name: 'release', description: 'the releases', default: false },
];
const NAMES: Readonly<Record<string, string>> = {
    [INNOCHAN]: 'innochan',
    [INDEVCHAN]: 'indevchan',
    [INSTAGINGCHAN]: 'instagingchan',
    [INMULTICHAN]: 'inmultichan',
};

function fixture(uuid: string, channels: readonly string[] | undefined): Fixture {
    const name = NAMES[uuid] ?? 'former';
    return {
        uuid,
        name,
        public: true,
        activated: true,
        published_at: '2014-01-01T00:00:00.000Z',
        file: gzipFile(name),
        icon: PNG,
        more: channels === undefined ? {} : { channels },
    };
}

const { client, guest } = await startServer(t, { mode: 'public', channels: CHANNELS }, [
    fixture(INNOCHAN, undefined),
    fixture(INDEVCHAN, ['dev']),
    fixture(INSTAGINGCHAN, ['staging']),
    fixture(INMULTICHAN, ['dev', 'staging', 'release']),
    fixture(FORMER, ['gone', 'release']),
]);

const V2 = { headers: { 'accept-version': '~2' } };
const IMPLIED = '';
const channelQuery = (channel: string): string => (channel === IMPLIED ? '' : `?channel=${channel}`);
const unknownChannel = (name: string): ExpectedError =>
    validationFailed(`unknown channel: ${name}`, ['channel', 'Invalid']);
const elsewhere = notFound('image not found');

/** Whether an image can be reached through a channel. */
type Reach = readonly [channel: string, uuid: string, reached: boolean];

await t.test('1: ListChannels', async (test) => {
    const answer = await guest.get('/channels');
    test.equal(answer.text, JSON.stringify(CHANNELS, null, 2), 'as configured, in that order');
});

const LISTED: readonly Reach[] = [
    [IMPLIED, INDEVCHAN, true],
    [IMPLIED, INNOCHAN, false],
    [IMPLIED, INSTAGINGCHAN, false],
    ['dev', INDEVCHAN, true],
    ['dev', INNOCHAN, false],
    ['dev', INSTAGINGCHAN, false],
    ['staging', INDEVCHAN, false],
    ['staging', INSTAGINGCHAN, true],
    ['*', INNOCHAN, false],
    ['*', INDEVCHAN, true],
    ['*', INSTAGINGCHAN, true],
];

await t.test('2-12: ListImages', async (test) => {
    for (const [channel, uuid, reached] of LISTED) {
        const answer = await guest.get(`/images${channelQuery(channel)}`);
        test.equal(
            answer.uuids.includes(uuid),
            reached,
            `${channel || 'implied'} ${NAMES[uuid]}: ${reached}`,
        );
    }
    expectError(test, await guest.get('/images?channel=bogus'), unknownChannel('bogus'), 'bogus');
});

const CHANNEL_MEMBERS: readonly Reach[] = [IMPLIED, 'dev', 'staging'].flatMap((channel) =>
    [INNOCHAN, INDEVCHAN, INSTAGINGCHAN].map((uuid): Reach => [
        channel,
        uuid,
        uuid === (channel === 'staging' ? INSTAGINGCHAN : INDEVCHAN),
    ]),
);

async function expectReach(
    test: Test,
    suffix: string,
    rows: readonly Reach[],
    check: (answer: Answer, uuid: string) => void,
): Promise<void> {
    for (const [channel, uuid, reached] of rows) {
        const answer = await guest.get(`/images/${uuid}${suffix}${channelQuery(channel)}`);
        const name = `${channel || 'implied'} ${NAMES[uuid]}: ${reached}`;
        if (!reached) {
            const expected = uuid === INNOCHAN ? notFound('not found') : elsewhere;
            expectError(test, answer, expected, name);
            continue;
        }
        test.equal(answer.status, 200, name);
        check(answer, uuid);
    }
    const bogus = await guest.get(`/images/${INDEVCHAN}${suffix}?channel=bogus`);
    expectError(test, bogus, unknownChannel('bogus'), 'bogus');
}

await t.test('13-22: GetImage', (test) =>
    expectReach(test, '', CHANNEL_MEMBERS, (answer, uuid) => test.equal(answer.document['uuid'], uuid)),
);

await t.test('23-35: GetImageFile', async (test) => {
    await expectReach(test, '/file', CHANNEL_MEMBERS, (answer, uuid) =>
        test.ok(answer.body.equals(gzipFile(NAMES[uuid] ?? '')), 'its bytes'),
    );
    for (const uuid of [INNOCHAN, INDEVCHAN, INSTAGINGCHAN]) {
        const stream = await guest.download(`/images/${uuid}/file?channel=staging`);
        test.equal(stream.statusCode, uuid === INSTAGINGCHAN ? 200 : 404, `stream staging ${NAMES[uuid]}`);
        const parts: Buffer[] = [];
        for await (const part of stream) parts.push(part as Buffer);
        const whole = sha1Hex(Buffer.concat(parts)) === sha1Hex(gzipFile(NAMES[uuid] ?? ''));
        test.equal(whole, uuid === INSTAGINGCHAN, 'and its bytes');
    }
});

await t.test('36-43: GetImageIcon', async (test) => {
    const rows = CHANNEL_MEMBERS.filter(([, uuid]) => uuid !== INNOCHAN);
    await expectReach(test, '/icon', rows, (answer) => test.ok(answer.body.equals(PNG)));
    for (const uuid of [INNOCHAN, INDEVCHAN, INSTAGINGCHAN]) {
        const stream = await guest.download(`/images/${uuid}/icon?channel=staging`);
        test.equal(stream.statusCode, uuid === INSTAGINGCHAN ? 200 : 404, `stream staging ${NAMES[uuid]}`);
        stream.resume();
    }
});

await t.test('44-51: changes through the staging channel', async (test) => {
    const changes: readonly (readonly [method: string, suffix: string, json: unknown])[] = [
        ['POST', '?action=update&channel=staging', { description: 'changed' }],
        ['POST', '/acl?action=add&channel=staging', [USERS.luke]],
        ['POST', '/acl?action=remove&channel=staging', [USERS.luke]],
        ['DELETE', '/icon?channel=staging', undefined],
    ];
    for (const [method, suffix, json] of changes) {
        const options = json === undefined ? {} : { json };
        const good = await client.request(method, `/images/${INSTAGINGCHAN}${suffix}`, options);
        test.equal(good.status, 200, `${suffix} in its channel`);
        const bad = await client.request(method, `/images/${INDEVCHAN}${suffix}`, options);
        expectError(test, bad, elsewhere, `${suffix} in another channel`);
    }
});

await t.test('52-53: CreateImage', async (test) => {
    for (const [channel, name] of [
        [IMPLIED, 'dev'],
        ['release', 'release'],
    ] as const) {
        const answer = await client.post(
            `/images${channelQuery(channel)}`,
            manifest({ public: true, channels: ['staging'] }),
            V2,
        );
        test.strictSame(
            [answer.document['channels'], answer.document['state']],
            [[name], 'unactivated'],
            name,
        );
        test.equal(
            (await client.delete(`/images/${String(answer.document['uuid'])}?channel=${name}`)).status,
            204,
        );
    }
});

await t.test('54-58: ChannelAddImage', async (test) => {
    const path = (uuid: string, channel: string): string =>
        `/images/${uuid}?action=channel-add&channel=${channel}`;
    const bogus = await client.post(path(INSTAGINGCHAN, 'staging'), { channel: 'bogus' });
    expectError(test, bogus, unknownChannel('bogus'), 'a channel that is not there');
    const unknown = await client.post(path(UNKNOWN, 'staging'), { channel: 'release' });
    expectError(test, unknown, notFound(`image ${UNKNOWN} not found`), 'an image that is not there');
    const hidden = await client.post(path(INSTAGINGCHAN, 'dev'), { channel: 'release' });
    expectError(test, hidden, elsewhere, 'an image that is not in the querying channel');
    for (const word of ['added', 'added again']) {
        const added = await client.post(path(INSTAGINGCHAN, 'staging'), { channel: 'release' }, V2);
        test.strictSame([added.status, added.document['channels']], [200, ['staging', 'release']], word);
        test.equal(added.header('etag'), sha1Hex(JSON.stringify(added.json)));
    }
    test.ok((await guest.get('/images?channel=release')).uuids.includes(INSTAGINGCHAN), 'listed there');
    const undefinedChannel = unknownChannel('undefined');
    await runErrorRows(test, client, [
        { ...undefinedChannel, name: 'missing', method: 'POST', path: path(INDEVCHAN, 'dev'), json: {} },
        {
            ...unknownChannel('constructor'),
            name: 'inherited',
            method: 'POST',
            path: path(INDEVCHAN, 'dev'),
            json: { channel: 'constructor' },
        },
        {
            ...validationFailed('missing request body', ['body', 'MissingParameter']),
            name: 'no body',
            method: 'POST',
            path: path(INDEVCHAN, 'dev'),
        },
        {
            ...validationFailed('invalid request body: not a JSON object', ['body', 'Invalid']),
            name: 'array',
            method: 'POST',
            path: path(INDEVCHAN, 'dev'),
            json: ['release'],
        },
    ]);
    const concurrent = await createImage(client, { public: true });
    await Promise.all(
        ['staging', 'release'].map((name) => client.post(path(concurrent, 'dev'), { channel: name })),
    );
    const channels = (await guest.get(`/images/${concurrent}`, V2)).document['channels'] as string[];
    test.strictSame([...channels].sort(), ['dev', 'release', 'staging'], 'no channel is lost');
    test.equal((await client.delete(`/images/${concurrent}?force_all_channels=true`)).status, 204);
});

await t.test('59-61: DeleteImage removes from one channel of several', async (test) => {
    const deleted = await client.delete(`/images/${INSTAGINGCHAN}?channel=release`);
    test.strictSame([deleted.status, deleted.text], [204, '']);
    test.notOk((await guest.get('/images?channel=release')).uuids.includes(INSTAGINGCHAN), 'gone there');
    const rest = await guest.get(`/images/${INSTAGINGCHAN}?channel=staging`, V2);
    test.strictSame(rest.document['channels'], ['staging'], 'still in the other');
});

await t.test('62-66: DeleteImage', async (test) => {
    const wrong = await client.delete(`/images/${INDEVCHAN}?channel=staging`);
    expectError(test, wrong, elsewhere, 'through a channel it is not in');
    test.equal(
        (await client.delete(`/images/${INSTAGINGCHAN}?channel=staging`)).status,
        204,
        'its last channel',
    );
    test.notOk((await guest.get('/images?channel=*')).uuids.includes(INSTAGINGCHAN), 'really gone');
    const forced = await client.delete(`/images/${INMULTICHAN}?channel=dev&force_all_channels=true`);
    test.equal(forced.status, 204, 'from all channels');
    test.notOk((await guest.get('/images?channel=*')).uuids.includes(INMULTICHAN), 'really gone');
});

await t.test('API versions', async (test) => {
    const versions: readonly (readonly [range: string | undefined, channels: boolean])[] = [
        [undefined, false],
        ['~1', false],
        ['1.x', false],
        ['<2', false],
        ['1.0.0', false],
        ['*', true],
        ['', true],
        ['~2', true],
        ['2', true],
        ['>=1', true],
        ['~1 || ~2', true],
        ['x', true],
        ['~2.1', true],
    ];
    const tags = new Set<string>();
    for (const [range, shown] of versions) {
        const headers: Record<string, string> = range === undefined ? {} : { 'accept-version': range };
        const answer = await guest.get(`/images/${INDEVCHAN}`, { headers });
        test.strictSame(
            answer.document['channels'],
            shown ? ['dev'] : undefined,
            `GetImage ${range ?? 'none'}`,
        );
        test.equal(answer.header('etag'), sha1Hex(JSON.stringify(answer.json)), 'the tag of this form');
        tags.add(answer.header('etag') ?? '');
        const list = await guest.get('/images', { headers });
        test.equal('channels' in (list.list[0] ?? {}), shown, `ListImages ${range ?? 'none'}`);
        const same = await guest.get(`/images/${INDEVCHAN}`, {
            headers: { ...headers, 'if-none-match': answer.header('etag') ?? '' },
        });
        test.equal(same.status, 304, 'and the tag that is compared');
    }
    test.equal(tags.size, 2, 'two forms, two tags');
    const bad = await guest.get('/images', { headers: { 'accept-version': '~99' } });
    test.equal(bad.error.code, 'InvalidVersion');
});

const row = (
    method: string,
    path: string,
    expected: ExpectedError,
    rest: Partial<ErrorRow> = {},
): ErrorRow => ({
    name: `${method} ${path}`,
    method,
    path,
    ...expected,
    ...rest,
});
const broken = { body: '{', headers: { 'content-type': 'application/json' } };

await t.test('which channel check comes when', (test) =>
    runErrorRows(test, client, [
        row(
            'GET',
            '/channels',
            { ...UNAUTHORIZED, message: 'scheme was not "Signature"' },
            { headers: { authorization: 'Basic' }, sign: false },
        ),
        row('POST', '/images?channel=bogus', UNAUTHORIZED, { ...broken, sign: false }),
        row('POST', '/images?channel=bogus', unknownChannel('bogus'), broken),
        row('POST', '/images?channel=*', unknownChannel('*'), broken),
        row('POST', '/images?channel=constructor', unknownChannel('constructor')),
        row('GET', '/images?channel=__proto__', unknownChannel('__proto__')),
        row('GET', '/images?channel=bogus&inclAdminFields=x', unknownChannel('bogus')),
        row('GET', '/images?channel=dev&channel=dev', repeated('channel')),
        row('GET', `/images/foo?channel=bogus`, notFound('/images/foo?channel=bogus does not exist')),
        row('GET', `/images/${UNKNOWN}?channel=bogus&account=foo`, unknownChannel('bogus')),
        row('DELETE', `/images/${INDEVCHAN}?channel=*`, unknownChannel('*')),
        row('PUT', `/images/${INDEVCHAN}/file?channel=*`, unknownChannel('*')),
        row('POST', `/images/${INDEVCHAN}/acl?channel=nope`, unknownChannel('nope'), broken),
        row('POST', `/images/${INDEVCHAN}?action=update&channel=*`, unknownChannel('*'), broken),
        row('GET', `/images/${INDEVCHAN}?channel=staging&account=${USERS.luke}`, elsewhere),
    ]),
);

await t.test('channels in UpdateImage and imports', async (test) => {
    const update = `/images/${INDEVCHAN}?action=update`;
    const unknown = (name: string): ExpectedError =>
        validationFailed(`unknown channel: ${name}`, ['channels', 'Invalid']);
    await runErrorRows(test, client, [
        row('POST', update, unknown('bogus'), { json: { channels: ['dev', 'bogus'] } }),
        row('POST', update, validationFailed('invalid image data: channels', ['channels', 'Invalid']), {
            json: { channels: [] },
        }),
    ]);
    const moved = await client.post(update, { channels: ['release', 'dev'] }, V2);
    test.strictSame(moved.document['channels'], ['release', 'dev'], 'known names are set');
    const former = await client.post(
        `/images/${FORMER}?action=update&channel=release`,
        { channels: ['gone', 'dev'] },
        V2,
    );
    test.strictSame(former.document['channels'], ['gone', 'dev'], 'a name on the image may stay');
    const uuid = 'f0000000-0000-4000-8000-000000000001';
    const imported = await client.post(
        `/images/${uuid}?action=import&channel=staging`,
        manifest({ uuid, public: true, channels: ['dev', 'nope'] }),
        V2,
    );
    test.strictSame(
        [imported.document['channels'], imported.document['owner']],
        [['staging'], NOBODY],
        'an import goes into the selected channel',
    );
});

await t.test('dependents and channels', async (test) => {
    const parent = await createImage(client, { public: true });
    await client.post(`/images/${parent}?action=channel-add`, { channel: 'staging' });
    const child = await createImage(client, { public: true, origin: parent }, '?channel=staging');
    const refused = {
        status: 422,
        code: 'ImageHasDependentImages',
        message: `image "${parent}" has 1 dependent incremental image(s): ${child}`,
    };
    expectError(test, await client.delete(`/images/${parent}?channel=staging`), refused, 'in that channel');
    const everywhere = await client.delete(`/images/${parent}?channel=dev&force_all_channels=true`);
    expectError(test, everywhere, refused, 'in any channel');
    test.equal((await client.delete(`/images/${parent}?channel=dev`)).status, 204, 'none in this channel');
    expectError(test, await client.delete(`/images/${parent}?channel=staging`), refused, 'its last channel');
});

await t.test('a server without a default channel', async (outer) => {
    const side = await startServer(outer, { channels: [{ name: 'only', description: '', default: false }] });
    const none = validationFailed('channel not specified and the server has no default channel', [
        'channel',
        'MissingParameter',
    ]);
    await runErrorRows(outer, side.client, [
        row('GET', '/images', none),
        row('GET', '/images?channel=', none),
        row('GET', `/images/${UNKNOWN}`, none),
        row('POST', '/images', none, { json: manifest() }),
        row('PUT', `/images/${UNKNOWN}/icon`, none),
    ]);
    outer.equal((await side.client.get('/images?channel=*')).text, '[]');
    const created = await side.client.post('/images?channel=only', manifest(), V2);
    outer.strictSame(created.document['channels'], ['only']);
});
