import t, { type Test } from 'tap';
import { ApiError } from '#lib/base/errors.js';
import { activateImage } from '#lib/images/activate-image.js';
import { addImageToChannel } from '#lib/images/add-image-to-channel.js';
import { changeAcl } from '#lib/images/change-acl.js';
import { createImage } from '#lib/images/create-image.js';
import { deleteImage } from '#lib/images/delete-image.js';
import { setImageDisabled } from '#lib/images/enable-image.js';
import { importImage } from '#lib/images/import-image.js';
import { loadImage, requireOwner } from '#lib/images/load.js';
import { updateImage } from '#lib/images/update-image.js';
import type { JsonObject, JsonValue } from '#lib/manifest/types.js';
import { newUuid } from '#lib/base/uuid.js';
import {
    type Bench,
    CHANNELS,
    makeBench,
    md5,
    onEveryBackend,
    refusal,
    refused,
    sha1,
} from '../helpers/image-bench.js';
import { manifest as looseManifest, NOBODY, rawRecord, UNKNOWN, USERS } from '../helpers/images.js';

const { vader, luke, emperor, sdc } = USERS;
const BYTES = Buffer.from('some image bytes');
const PUBLISHED = '2014-05-06T07:08:09.123Z';
const isOperator = { skipOwnerCheck: () => false };

function manifest(changes: JsonObject = {}): JsonObject {
    return looseManifest(changes) as JsonObject;
}

function fileEntry(bytes: Buffer = BYTES): Record<string, unknown> {
    return {
        sha1: sha1(bytes),
        size: bytes.length,
        contentMD5: md5(bytes),
        stor: 'local',
        compression: 'gzip',
    };
}

interface PlantOptions {
    readonly active?: boolean;
    readonly file?: boolean;
    readonly more?: Readonly<Record<string, unknown>>;
}

/** An image as it may be found in the database, with its bytes. */
async function plant(bench: Bench, options: PlantOptions = {}): Promise<string> {
    const { active = false, file = active } = options;
    const uuid = newUuid();
    if (file) await bench.plantFile(uuid, 'file0', BYTES);
    await bench.plant(
        rawRecord({
            uuid,
            name: 'planted',
            owner: vader,
            activated: active,
            ...(active ? { published_at: PUBLISHED } : {}),
            more: { ...(file ? { files: [fileEntry()] } : {}), ...options.more },
        }),
    );
    return uuid;
}

function create(bench: Bench, body: JsonValue | undefined, context = {}) {
    return createImage(bench.services, bench.context(context), body);
}

function update(bench: Bench, uuid: string, body: JsonValue | undefined, context = {}) {
    return updateImage(bench.services, bench.context(context), uuid, body);
}

void t.test('load', (t) => {
    onEveryBackend(t, 'visibility and ownership', async (t, backend) => {
        const bench = await makeBench(t, { backend, config: { channels: CHANNELS } });
        const shared = { acl: [luke], channels: ['dev'] };
        const active = await plant(bench, { active: true, more: shared });
        const hidden = await plant(bench, { more: shared });
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
        const hidden = await plant(bench);
        const good = manifest();
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
        t.equal((bench.database as unknown as { size: number }).size, 1, 'nothing was created');
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
        const made = await create(bench, { ...manifest(), channels: ['bogus'] }, { channel });
        t.same(made.raw.channels, ['dev']);
        t.same(
            await refusal(create(bench, { ...manifest(), owner: luke, origin: UNKNOWN }, { channel })),
            refused(422, 'OwnerDoesNotExist', `owner "${luke}" does not exist`),
        );
        t.equal(
            (await refusal(create(bench, { ...manifest(), owner: 'x' }, { channel }))).message,
            'invalid image data: owner',
            'a malformed owner is left to validation',
        );
        bench.setConfig({ mode: 'private' });
        t.equal((await create(bench, { ...manifest(), owner: luke }, { channel })).raw.owner, luke);
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
            ...manifest({ public: true, published_at: PUBLISHED, urn: 'sdc:sdc:base:1' }),
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
        await bench.plantFile(uuid, 'file0', BYTES);
        await bench.plant({
            ...rawRecord({ uuid, name: 'placeholder', owner: vader, state: 'creating' }),
            expires_at: PUBLISHED,
            files: [fileEntry()],
        });
        const { raw } = await imported(bench, uuid, { ...manifest(), uuid });
        t.match(raw, { uuid, name: 'alderaan', state: 'unactivated' });
        t.notOk(raw.expires_at ?? raw.files, 'nothing of it is kept');
        t.same(await bench.files(), [], 'its bytes go too');
        t.equal(await bench.pendingDeletes(), 0);
        const failed = newUuid();
        await bench.plant(rawRecord({ uuid: failed, name: 'x', owner: vader, state: 'failed' }));
        t.equal((await refusal(imported(bench, failed, { ...manifest(), uuid: failed }))).status, 409);
    });

    void t.test('checks in order', async (t) => {
        const bench = await makeBench(t, { config: { mode: 'dc', adminUuid: sdc }, accounts: [vader] });
        const uuid = newUuid();
        const existing = await plant(bench);
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
        const wrong = { ...manifest(), uuid, owner: luke, published_at: 5, bogus: 1 };
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
        t.equal((await imported(bench, uuid, { ...manifest(), uuid, owner: NOBODY })).raw.owner, sdc);
    });

    void t.test('version 1 manifests and old imgadm', async (t) => {
        const bench = await makeBench(t, { config: { mode: 'dc', adminUuid: sdc }, accounts: [vader] });
        const uuid = newUuid();
        const { owner, v, ...old } = { ...manifest(), uuid };
        const body = { ...old, creator_uuid: vader, created_at: '2012-05-02T15:14Z' };
        const { raw } = await imported(bench, uuid, body);
        t.match(raw, { owner, v, public: true, published_at: '2012-05-02T15:14:00Z' });

        const origin = await plant(bench, {
            more: { type: 'lx-dataset', requirements: { min_platform: { '7.0': '20150101T000000Z' } } },
        });
        const requirements = { min_platform: { '7.0': '20200101T000000Z' }, min_ram: 5 };
        const lx = (userAgent: string, changes: JsonObject = {}) => {
            const fresh = newUuid();
            const sent = { ...manifest({ type: 'lx-dataset', requirements, ...changes }), uuid: fresh };
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

void t.test('UpdateImage', (t) => {
    onEveryBackend(t, 'fields', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plant(bench, { active: true, more: { x_unknown: 7, public: 'false' } });
        const { raw } = await update(bench, uuid, { name: 'new', tags: { a: 1 }, description: 'd' });
        t.match(raw, { name: 'new', tagsObj: { a: 1 }, tags: ['a=1'], x_unknown: 7, public: false });
        const cleared = (await update(bench, uuid, { tags: null, description: null })).raw;
        t.notOk(cleared.tags ?? cleared.tagsObj ?? cleared.description);
        t.same(await bench.raw(uuid), cleared);
        const owned = (context: object) => refusal(update(bench, uuid, { traits: { a: true } }, context));
        t.equal((await owned({ accountGiven: true })).message, 'invalid image update data: traits');
        t.equal((await owned({ account: vader })).message, 'invalid image update data: traits');
        t.equal((await owned({ account: luke })).status, 404);
        t.match((await update(bench, uuid, { traits: { a: true } })).raw, { traits: { a: true } });
    });

    void t.test('bodies', async (t) => {
        const bench = await makeBench(t);
        const uuid = await plant(bench);
        const missing = refused(422, 'ValidationFailed', 'missing request body', [
            'body',
            'MissingParameter',
        ]);
        const wrong = refused(422, 'ValidationFailed', 'invalid request body: not a JSON object', [
            'body',
            'Invalid',
        ]);
        const empty = refused(422, 'ValidationFailed', 'invalid image update data: no parameters provided');
        const cases: [JsonValue | undefined, ReturnType<typeof refused>][] = [
            [undefined, missing],
            ['text', missing],
            [5, missing],
            [null, wrong],
            [[1], wrong],
            [[], empty],
            [{}, empty],
        ];
        for (const [body, expected] of cases) {
            t.same(await refusal(update(bench, uuid, body)), expected, JSON.stringify(body));
        }
        t.equal((await refusal(update(bench, UNKNOWN, undefined))).status, 404, 'the image comes first');
    });

    void t.test('owners and channels', async (t) => {
        const bench = await makeBench(t, { config: { mode: 'dc', channels: CHANNELS }, accounts: [vader] });
        const uuid = await plant(bench, { more: { channels: ['dev', 'retired'] } });
        t.equal((await refusal(update(bench, uuid, { owner: luke }))).code, 'OwnerDoesNotExist');
        t.same((await update(bench, uuid, { channels: ['retired', 'release'] })).raw.channels, [
            'retired',
            'release',
        ]);
        t.equal(
            (await refusal(update(bench, uuid, { channels: ['bogus'] }))).message,
            'unknown channel: bogus',
        );
    });

    onEveryBackend(t, 'conditions see the record that is changed', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plant(bench);
        const onlyOnce = (raw: { readonly name: string }) => {
            if (raw.name !== 'planted') throw new ApiError('PreconditionFailed', 'changed meanwhile');
        };
        const both = await Promise.allSettled(
            ['one', 'two'].map((name) =>
                updateImage(bench.services, bench.context(), uuid, { name }, onlyOnce),
            ),
        );
        t.same(
            both.map((one) => one.status),
            ['fulfilled', 'rejected'],
        );
        t.equal((await bench.raw(uuid)).name, 'one');
        const moved = updateImage(bench.services, bench.context(), uuid, { uuid: newUuid() }, onlyOnce);
        t.equal((await refusal(moved)).code, 'PreconditionFailed');
    });

    onEveryBackend(t, 'a new uuid', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const old = await plant(bench, { file: true });
        const icon = Buffer.from('icon bytes');
        await bench.plantFile(old, 'icon', icon);
        await bench.services.database.update(old, (raw) => ({
            ...raw,
            icon: {
                sha1: sha1(icon),
                size: icon.length,
                contentType: 'image/png',
                contentMD5: md5(icon),
                stor: 'local',
            },
        }));
        const fresh = newUuid();
        const { raw } = await update(bench, old, { uuid: fresh, name: 'moved' });
        t.match(raw, { uuid: fresh, name: 'moved' });
        t.notOk(await bench.exists(old));
        t.same(await bench.bytes(fresh, 'file0'), BYTES);
        t.same(await bench.bytes(fresh, 'icon'), icon);
        t.same(
            new Set((await bench.files()).map((file) => file.uuid)),
            new Set([fresh]),
            'the old bytes are gone',
        );
        t.equal(await bench.pendingDeletes(), 0);

        const other = await plant(bench, { file: true });
        t.same(
            await refusal(update(bench, other, { uuid: fresh })),
            refused(409, 'ImageUuidAlreadyExists', `image uuid "${fresh}" already exists`),
        );
        t.same(await bench.bytes(fresh, 'file0'), BYTES);
        t.same(await bench.bytes(other, 'file0'), BYTES);
        const empty = await plant(bench);
        const listed = newUuid();
        t.equal((await update(bench, empty, { uuid: [listed] })).raw.uuid, listed, 'no file is fine');
        t.notOk(await bench.exists(empty));
        t.same((await update(bench, listed, { uuid: listed, name: 'same' })).raw.uuid, listed);
        const double = await plant(bench, { more: { type: 'lxd', files: [fileEntry(), fileEntry()] } });
        t.same(
            await refusal(update(bench, double, { uuid: newUuid() })),
            refused(400, 'NotImplemented', 'cannot move images with multiple files'),
        );
        const active = await plant(bench, { active: true });
        t.equal((await refusal(update(bench, active, { uuid: newUuid() }))).code, 'ValidationFailed');
    });

    onEveryBackend(t, 'two images that swap uuids do not block each other', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const [a, b] = [await plant(bench), await plant(bench)];
        const both = await Promise.all([
            refusal(update(bench, a, { uuid: b })),
            refusal(update(bench, b, { uuid: a })),
        ]);
        t.same(
            both.map((one) => one.status),
            [409, 409],
        );
    });
    t.end();
});

void t.test('ActivateImage', (t) => {
    const activate = (bench: Bench, uuid: string, context = {}) =>
        activateImage(bench.services, bench.context(context), uuid);

    onEveryBackend(t, 'once, with a file', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const more = { expires_at: PUBLISHED, x_imgapi: { import_id: UNKNOWN } };
        const uuid = await plant(bench, { file: true, more });
        const { raw } = await activate(bench, uuid);
        t.match(raw, { activated: true, state: 'active', published_at: '2026-01-02T03:04:05.006Z' });
        t.notOk(raw.expires_at ?? raw.x_imgapi);
        t.same(
            await refusal(activate(bench, uuid)),
            refused(422, 'ImageAlreadyActivated', `image "${uuid}" is already activated`),
        );
        const empty = await plant(bench);
        t.same(
            await refusal(activate(bench, empty)),
            refused(422, 'NoActivationNoFile', `image "${empty}" cannot be activated: it has no file`),
        );
        const kept = await plant(bench, {
            file: true,
            more: {
                disabled: true,
                published_at: PUBLISHED,
                x_imgapi: { import_id: UNKNOWN, provenance: { a: 1 } },
            },
        });
        const disabled = (await activate(bench, kept)).raw;
        t.match(disabled, { state: 'disabled', published_at: PUBLISHED, x_imgapi: { provenance: { a: 1 } } });
        t.same(Object.keys(disabled.x_imgapi ?? {}), ['provenance']);
    });

    onEveryBackend(t, 'needs the bytes in place', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const files = [fileEntry()];
        const missing = await plant(bench, { more: { files } });
        t.match(await refusal(activate(bench, missing)), { status: 500, message: /missing from storage/ });
        const short = await plant(bench, { more: { files } });
        await bench.plantFile(short, 'file0', BYTES.subarray(1));
        t.match(await refusal(activate(bench, short)), { status: 500, message: /corrupt in storage/ });
        const elsewhere = await plant(bench, { more: { files: [{ ...fileEntry(), stor: 'manta' }] } });
        t.equal((await refusal(activate(bench, elsewhere))).code, 'StorageUnsupported');
        t.equal((await bench.raw(short)).activated, false);
    });
    t.end();
});

void t.test('EnableImage, DisableImage', (t) => {
    onEveryBackend(t, 'flag and state', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const set = async (uuid: string, disabled: boolean) => {
            const { raw } = await setImageDisabled(bench.services, bench.context(), uuid, disabled);
            return [raw.disabled, raw.state];
        };
        const active = await plant(bench, { active: true });
        t.same(await set(active, true), [true, 'disabled']);
        const { token } = await bench.database.get(active);
        t.same(await set(active, true), [true, 'disabled']);
        t.equal((await bench.database.get(active)).token, token, 'nothing is written when nothing changes');
        t.same(await set(active, false), [false, 'active']);
        const fresh = await plant(bench);
        t.same(await set(fresh, true), [true, 'unactivated']);
        for (const state of ['creating', 'failed']) {
            t.same(await set(await plant(bench, { more: { state } }), true), [true, state]);
        }
        const old = await plant(bench, { active: true, more: { disabled: 'true', state: 'disabled' } });
        t.same(await set(old, false), [false, 'active'], 'text forms of old records');
    });
    t.end();
});

void t.test('ChannelAddImage', (t) => {
    onEveryBackend(t, 'one more channel', async (t, backend) => {
        const bench = await makeBench(t, { backend, config: { channels: CHANNELS } });
        const uuid = await plant(bench, { more: { channels: ['dev'] } });
        const add = (body: JsonValue | undefined, channel = 'dev') =>
            addImageToChannel(bench.services, bench.context({ channel }), uuid, body);
        t.same((await add({ channel: 'release' })).raw.channels, ['dev', 'release']);
        t.same((await add({ channel: 'dev' })).raw.channels, ['dev', 'release']);
        const unknown = (name: string) =>
            refused(422, 'ValidationFailed', `unknown channel: ${name}`, ['channel', 'Invalid']);
        t.same(await refusal(add({})), unknown('undefined'));
        t.same(await refusal(add({ channel: 'constructor' })), unknown('constructor'));
        t.equal((await refusal(add(undefined))).message, 'missing request body');
        t.equal((await refusal(add({ channel: 'release' }, 'experimental'))).status, 404);
    });

    void t.test('a server without channels', async (t) => {
        const bench = await makeBench(t);
        const uuid = await plant(bench);
        const add = addImageToChannel(bench.services, bench.context(), uuid, { channel: 'dev' });
        t.equal((await refusal(add)).message, '"channel-add" is not a valid action');
    });
    t.end();
});

void t.test('AddImageAcl, RemoveImageAcl', (t) => {
    onEveryBackend(t, 'lists', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plant(bench, { active: true });
        const change = async (how: 'add' | 'remove', body: JsonValue | undefined, context = {}) =>
            (await changeAcl(bench.services, bench.context(context), uuid, how, body)).raw.acl;
        t.same(await change('add', [luke, emperor, luke]), [luke, emperor]);
        t.same(await change('add', [sdc, luke]), [luke, emperor, sdc]);
        t.same(await change('remove', [emperor, UNKNOWN]), [luke, sdc]);
        const { token } = await bench.database.get(uuid);
        t.same(await change('add', []), [luke, sdc]);
        t.equal((await bench.database.get(uuid)).token, token);
        const notArray = refused(422, 'InvalidParameter', 'invalid image "acl" (not an array)', [
            'acl',
            'Invalid',
        ]);
        t.same(await refusal(change('add', undefined)), notArray);
        t.same(await refusal(change('remove', { 0: luke })), notArray);
        t.equal(
            (await refusal(change('add', [luke, 'x', 5]))).message,
            'invalid image "acl" (item 1 is not a UUID): x',
        );
        t.equal((await refusal(change('add', [luke], { account: luke }))).code, 'NotImageOwner');
        t.same(await change('remove', [luke, sdc]), []);
    });

    onEveryBackend(t, 'a hundred at once lose nothing', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plant(bench);
        const accounts = Array.from({ length: 100 }, newUuid);
        await Promise.all(
            accounts.map((account) => changeAcl(bench.services, bench.context(), uuid, 'add', [account])),
        );
        t.same((await bench.raw(uuid)).acl, accounts, 'all there, in the order they came');
        await Promise.all([
            ...accounts
                .slice(1)
                .map((one) => changeAcl(bench.services, bench.context(), uuid, 'remove', [one])),
            update(bench, uuid, { name: 'renamed' }),
            setImageDisabled(bench.services, bench.context(), uuid, true),
        ]);
        t.match(await bench.raw(uuid), { acl: accounts.slice(0, 1), name: 'renamed', disabled: true });
    });
    t.end();
});

void t.test('DeleteImage', (t) => {
    const remove = (bench: Bench, uuid: string, context = {}, force = false) =>
        deleteImage(bench.services, bench.context(context), uuid, force);

    onEveryBackend(t, 'record and bytes', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plant(bench, { active: true });
        await bench.plantFile(uuid, 'icon', BYTES);
        t.equal((await refusal(remove(bench, uuid, { account: luke }))).status, 404);
        await remove(bench, uuid, { account: vader });
        t.notOk(await bench.exists(uuid));
        t.same(await bench.files(), [], 'also bytes without an entry');
        t.equal(await bench.pendingDeletes(), 0);
        t.equal((await refusal(remove(bench, uuid))).status, 404);
    });

    onEveryBackend(t, 'dependents', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const origin = await plant(bench, { active: true });
        const dependents: string[] = [];
        for (let count = 0; count < 3; count += 1) {
            dependents.push((await create(bench, { ...manifest(), origin })).raw.uuid);
        }
        const list = [...dependents].sort().join(', ');
        t.same(
            await refusal(remove(bench, origin)),
            refused(
                422,
                'ImageHasDependentImages',
                `image "${origin}" has 3 dependent incremental image(s): ${list}`,
            ),
        );
        t.same(await bench.bytes(origin, 'file0'), BYTES);
        for (const dependent of dependents) await remove(bench, dependent);
        await remove(bench, origin);
        t.notOk(await bench.exists(origin));
    });

    onEveryBackend(t, 'an origin does not vanish under a new dependent', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        for (let round = 0; round < 10; round += 1) {
            const origin = await plant(bench, { active: true });
            const [made, gone] = await Promise.allSettled([
                create(bench, { ...manifest(), origin }),
                remove(bench, origin),
            ]);
            t.not(made.status, gone.status, 'exactly one of the two happens');
            t.equal(await bench.exists(origin), made.status === 'fulfilled');
        }
    });

    onEveryBackend(t, 'channels', async (t, backend) => {
        const bench = await makeBench(t, { backend, config: { channels: CHANNELS } });
        const origin = await plant(bench, {
            active: true,
            more: { channels: ['dev', 'release', 'experimental'] },
        });
        const dependent = await plant(bench, { more: { channels: ['release'], origin } });
        t.equal(
            (await refusal(remove(bench, origin, { channel: 'release' }))).code,
            'ImageHasDependentImages',
        );
        await remove(bench, origin, { channel: 'dev' });
        t.same((await bench.raw(origin)).channels, ['release', 'experimental']);
        t.equal((await refusal(remove(bench, origin, { channel: 'dev' }))).status, 404);
        t.equal(
            (await refusal(remove(bench, origin, { channel: 'experimental' }, true))).code,
            'ImageHasDependentImages',
            'really deleting looks in every channel',
        );
        await remove(bench, dependent, { channel: 'release' });
        t.notOk(await bench.exists(dependent), 'in one channel only: deleted');
        await remove(bench, origin, { channel: 'experimental' }, true);
        t.notOk(await bench.exists(origin));
        t.same(await bench.files(), []);
    });
    t.end();
});
