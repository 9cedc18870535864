import t from 'tap';
import { ApiError } from '#lib/base/errors.js';
import { newUuid } from '#lib/base/uuid.js';
import { createImage } from '#lib/images/create-image.js';
import { importImage } from '#lib/images/import-image.js';
import { loadImage, requireOwner } from '#lib/images/load.js';
import type { JsonObject, JsonValue } from '#lib/manifest/types.js';
import { type Bench, CHANNELS, makeBench, onEveryBackend, refusal, refused } from '../helpers/image-bench.js';
import { NOBODY, rawRecord, UNKNOWN, USERS } from '../helpers/images.js';
import { fileEntry, FIRST, imageBody, plantImage, PUBLISHED } from '../helpers/planted-images.js';

const { vader, luke, emperor, sdc } = USERS;
const isOperator = { skipOwnerCheck: () => false };

function create(bench: Bench, body: JsonValue | undefined, context = {}) {
    return createImage(bench.services, bench.context(context), body);
}

void t.test('load', (t) => {
    onEveryBackend(t, 'visibility and ownership', async (t, backend) => {
        const bench = await makeBench(t, { backend, config: { channels: CHANNELS } });
        const shared = { acl: [luke], channels: ['dev'] };
        const active = await plantImage(bench, { active: true, more: shared });
        const hidden = await plantImage(bench, { more: shared });
        const load = (uuid: string, context = {}) => loadImage(bench.services, bench.context(context), uuid);
        const missing = (message: string) => refused(404, 'ResourceNotFound', message);
        t.same(await refusal(load(UNKNOWN)), missing(`image ${UNKNOWN} not found`));
        t.equal((await load(hidden)).raw.uuid, hidden, 'operators see everything');
        t.equal((await load(hidden, { account: vader, channel: 'dev' })).raw.uuid, hidden, 'so do owners');
        t.same(await refusal(load(hidden, { account: luke })), missing('image not found'));
        t.equal((await load(active, { account: luke })).raw.uuid, active);
        t.same(await refusal(load(active, { account: emperor })), missing('image not found'));
        t.same(await refusal(load(active, { channel: 'release' })), missing('image not found'));
        const { raw } = await load(active);
        requireOwner(bench.context(), raw);
        requireOwner(bench.context({ account: vader }), raw);
        t.throws(() => requireOwner(bench.context({ account: luke }), raw), {
            code: 'NotImageOwner',
            message: `account ${luke} is not the owner of image ${active}`,
        });
    });
    t.end();
});

void t.test('CreateImage', (t) => {
    onEveryBackend(t, 'defaults, order of keys, archive', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const body = {
            owner: vader,
            name: 'n',
            version: '1',
            type: 'other',
            os: 'other',
            files: [],
            icon: true,
        };
        const { raw } = await create(bench, body);
        t.match(raw.uuid, /^[0-9a-f-]{36}$/);
        t.same(
            { ...raw, uuid: undefined },
            {
                v: 2,
                owner: vader,
                name: 'n',
                version: '1',
                type: 'other',
                os: 'other',
                public: false,
                disabled: false,
                activated: false,
                state: 'unactivated',
                acl: [],
                uuid: undefined,
            },
        );
        t.ok(Object.isFrozen(raw) && Object.isFrozen(raw.acl));
        t.same(await bench.raw(raw.uuid), raw);
        t.equal(await bench.archive.count(), 1);
    });

    void t.test('checks in order', async (t) => {
        const bench = await makeBench(t);
        const hidden = await plantImage(bench);
        const good = imageBody();
        const cases: [JsonValue | undefined, object, ReturnType<typeof refused>][] = [
            [
                undefined,
                {},
                refused(422, 'ValidationFailed', 'missing request body', ['body', 'MissingParameter']),
            ],
            [
                [],
                {},
                refused(422, 'ValidationFailed', 'invalid request body: not a JSON object', [
                    'body',
                    'Invalid',
                ]),
            ],
            [
                null,
                {},
                refused(422, 'ValidationFailed', 'invalid request body: not a JSON object', [
                    'body',
                    'Invalid',
                ]),
            ],
            [
                { state: 'active' },
                { account: 'me' },
                refused(422, 'InvalidParameter', 'invalid "account": not a UUID: "me"', [
                    'account',
                    'Invalid',
                ]),
            ],
            [
                { ...good, owner: luke, state: 'active' },
                { account: vader },
                refused(
                    422,
                    'InvalidParameter',
                    `invalid owner: given owner, "${luke}", does not match account, "${vader}"`,
                    ['owner', 'Invalid'],
                ),
            ],
            [
                { ...good, state: null, origin: UNKNOWN },
                {},
                refused(422, 'ValidationFailed', 'invalid image data: "state"', [
                    'state',
                    'NotAllowed',
                    'Parameter cannot be set',
                ]),
            ],
            [
                { ...good, origin: UNKNOWN, bogus: 1 },
                {},
                refused(422, 'OriginDoesNotExist', `origin image "${UNKNOWN}" does not exist`),
            ],
            [
                { ...good, origin: 5 },
                {},
                refused(422, 'OriginDoesNotExist', 'origin image "5" does not exist'),
            ],
            [
                { ...good, owner: luke, origin: hidden },
                { account: luke },
                refused(422, 'OriginDoesNotExist', `origin image "${hidden}" does not exist`),
            ],
            [
                { ...good, uuid: UNKNOWN, name: '', nic_driver: 'x' },
                {},
                refused(
                    422,
                    'InvalidParameter',
                    'invalid extra parameters: "uuid", "nic_driver"',
                    ['uuid', 'Invalid'],
                    ['nic_driver', 'Invalid'],
                ),
            ],
            [
                { v: 2, name: 'n', version: '1', type: 'other', os: 'other' },
                {},
                refused(422, 'ValidationFailed', 'invalid image data: owner', ['owner', 'MissingParameter']),
            ],
        ];
        for (const [body, context, expected] of cases) {
            t.same(await refusal(create(bench, body, context)), expected, expected.message);
        }
        t.equal(bench.memory().database.size, 1, 'nothing was created');
        t.equal(
            (await create(bench, { ...good, origin: hidden })).raw.origin,
            hidden,
            'its state does not matter',
        );
        t.equal((await create(bench, { ...good, owner: '' }, { account: luke })).raw.owner, luke);
    });

    void t.test('channels and accounts', async (t) => {
        const bench = await makeBench(t, {
            config: { mode: 'dc', channels: CHANNELS, adminUuid: sdc },
            accounts: [vader],
        });
        const channel = 'dev';
        const made = await create(bench, { ...imageBody(), channels: ['bogus'] }, { channel });
        t.same(made.raw.channels, ['dev']);
        t.same(
            await refusal(create(bench, { ...imageBody(), owner: luke, origin: UNKNOWN }, { channel })),
            refused(422, 'OwnerDoesNotExist', `owner "${luke}" does not exist`),
        );
        t.equal(
            (await refusal(create(bench, { ...imageBody(), owner: 'x' }, { channel }))).message,
            'invalid image data: owner',
            'a malformed owner is left to validation',
        );
        bench.setConfig({ mode: 'private' });
        t.equal((await create(bench, { ...imageBody(), owner: luke }, { channel })).raw.owner, luke);
    });
    t.end();
});

void t.test('AdminImportImage', (t) => {
    const imported = (
        bench: Bench,
        uuid: string,
        body: JsonValue | undefined,
        context = {},
        options = isOperator,
    ) => importImage(bench.services, bench.context(context), uuid, body, options);

    onEveryBackend(t, 'a document of another server', async (t, backend) => {
        const bench = await makeBench(t, { backend, config: { mode: 'public' } });
        const uuid = newUuid();
        const body = {
            ...imageBody({ public: true, published_at: PUBLISHED, urn: 'sdc:sdc:base:1' }),
            uuid,
            state: 'active',
            disabled: false,
            files: [{ sha1: 'x', size: 1, compression: 'none' }],
            icon: true,
            channels: ['dev'],
        };
        const { raw } = await imported(bench, uuid, body);
        t.match(raw, {
            uuid,
            owner: NOBODY,
            state: 'unactivated',
            activated: false,
            published_at: PUBLISHED,
        });
        t.equal(raw.urn, 'sdc:sdc:base:1');
        t.notOk(raw.files ?? raw.icon ?? raw.channels);
        t.same(
            await refusal(imported(bench, uuid, body)),
            refused(409, 'ImageUuidAlreadyExists', `image uuid "${uuid}" already exists`),
        );
        const other = newUuid();
        const both = await Promise.allSettled([
            imported(bench, other, { ...body, uuid: other }),
            imported(bench, other, { ...body, uuid: other }),
        ]);
        t.same(both.map((one) => one.status).sort(), ['fulfilled', 'rejected'], 'one of two wins');
    });

    onEveryBackend(t, 'over a placeholder', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = newUuid();
        await bench.plantFile(uuid, 'file0', FIRST);
        await bench.plant({
            ...rawRecord({ uuid, name: 'placeholder', owner: vader, state: 'creating' }),
            expires_at: PUBLISHED,
            files: [fileEntry()],
        });
        const { raw } = await imported(bench, uuid, { ...imageBody(), uuid });
        t.match(raw, { uuid, name: 'alderaan', state: 'unactivated' });
        t.notOk(raw.expires_at ?? raw.files, 'nothing of it is kept');
        t.same(await bench.files(), [], 'its bytes go too');
        t.equal(await bench.pendingDeletes(), 0);
        const failed = newUuid();
        await bench.plant(rawRecord({ uuid: failed, name: 'x', owner: vader, state: 'failed' }));
        t.equal((await refusal(imported(bench, failed, { ...imageBody(), uuid: failed }))).status, 409);
    });

    void t.test('checks in order', async (t) => {
        const bench = await makeBench(t, { config: { mode: 'dc', adminUuid: sdc }, accounts: [vader] });
        const uuid = newUuid();
        const existing = await plantImage(bench);
        const bad = () => {
            throw new ApiError('InvalidParameter', 'skip_owner_check');
        };
        t.equal((await refusal(imported(bench, uuid, undefined, { account: vader }))).code, 'OperatorOnly');
        t.same(
            await refusal(imported(bench, uuid, undefined, {}, { skipOwnerCheck: bad })),
            refused(422, 'InvalidParameter', `URL UUID, "${uuid}" and body UUID, "undefined" do not match`, [
                'uuid',
                'Invalid',
            ]),
        );
        t.equal(
            (await refusal(imported(bench, existing, { uuid: existing }, {}, { skipOwnerCheck: bad })))
                .message,
            'skip_owner_check',
        );
        t.equal((await refusal(imported(bench, existing, { uuid: existing }))).status, 409);
        const wrong = { ...imageBody(), uuid, owner: luke, published_at: 5, bogus: 1 };
        t.equal(
            (await refusal(imported(bench, uuid, { ...wrong, origin: UNKNOWN }))).code,
            'OriginDoesNotExist',
        );
        t.equal((await refusal(imported(bench, uuid, wrong))).code, 'OwnerDoesNotExist');
        const skip = { skipOwnerCheck: () => true };
        t.equal((await refusal(imported(bench, uuid, wrong, {}, skip))).message, 'invalid "published_at"');
        t.equal(
            (await refusal(imported(bench, uuid, { ...wrong, published_at: PUBLISHED }, {}, skip))).message,
            'invalid extra parameters: "bogus"',
        );
        t.equal((await imported(bench, uuid, { ...imageBody(), uuid, owner: NOBODY })).raw.owner, sdc);
    });

    void t.test('version 1 manifests and old imgadm', async (t) => {
        const bench = await makeBench(t, { config: { mode: 'dc', adminUuid: sdc }, accounts: [vader] });
        const uuid = newUuid();
        const old = Object.entries(imageBody()).filter(([key]) => key !== 'owner' && key !== 'v');
        const body = {
            ...Object.fromEntries(old),
            uuid,
            creator_uuid: vader,
            created_at: '2012-05-02T15:14Z',
        };
        const { raw } = await imported(bench, uuid, body);
        t.match(raw, { owner: vader, v: 2, public: true, published_at: '2012-05-02T15:14:00Z' });

        const origin = await plantImage(bench, {
            more: { type: 'lx-dataset', requirements: { min_platform: { '7.0': '20150101T000000Z' } } },
        });
        const requirements = { min_platform: { '7.0': '20200101T000000Z' }, min_ram: 5 };
        const lx = (userAgent: string, changes: JsonObject = {}) => {
            const fresh = newUuid();
            const sent = { ...imageBody({ type: 'lx-dataset', requirements, ...changes }), uuid: fresh };
            return imported(bench, fresh, sent, { userAgent }).then((image) => image.raw.requirements);
        };
        t.same(await lx('imgadm/3.7.4 (node)'), requirements);
        t.same(await lx('curl/7'), requirements);
        t.same(await lx('imgadm/3.7.3 (node)'), { min_ram: 5 });
        t.same(await lx('imgadm/3.7.3 (node)', { origin }), {
            min_platform: { '7.0': '20150101T000000Z' },
            min_ram: 5,
        });
        t.same(await lx('imgadm/3.0.0 (node)', { type: 'zone-dataset' }), requirements);
    });
    t.end();
});
