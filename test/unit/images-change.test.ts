import t from 'tap';
import { ApiError } from '#lib/base/errors.js';
import { newUuid } from '#lib/base/uuid.js';
import { activateImage } from '#lib/images/activate-image.js';
import { addImageToChannel } from '#lib/images/add-image-to-channel.js';
import { changeAcl } from '#lib/images/change-acl.js';
import { setImageDisabled } from '#lib/images/enable-image.js';
import { updateImage } from '#lib/images/update-image.js';
import type { JsonValue } from '#lib/manifest/types.js';
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
import { UNKNOWN, USERS } from '../helpers/images.js';
import { fileEntry, FIRST, plantImage, PUBLISHED } from '../helpers/planted-images.js';

const { vader, luke, emperor, sdc } = USERS;

function update(bench: Bench, uuid: string, body: JsonValue | undefined, context = {}) {
    return updateImage(bench.services, bench.context(context), uuid, body);
}

void t.test('UpdateImage', (t) => {
    onEveryBackend(t, 'fields', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plantImage(bench, { active: true, more: { x_unknown: 7, public: 'false' } });
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
        const uuid = await plantImage(bench);
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
        const uuid = await plantImage(bench, { more: { channels: ['dev', 'retired'] } });
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
        const uuid = await plantImage(bench);
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
        const old = await plantImage(bench, { file: true });
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
        t.same(await bench.bytes(fresh, 'file0'), FIRST);
        t.same(await bench.bytes(fresh, 'icon'), icon);
        t.same(
            new Set((await bench.files()).map((file) => file.uuid)),
            new Set([fresh]),
            'the old bytes are gone',
        );
        t.equal(await bench.pendingDeletes(), 0);

        const other = await plantImage(bench, { file: true });
        t.same(
            await refusal(update(bench, other, { uuid: fresh })),
            refused(409, 'ImageUuidAlreadyExists', `image uuid "${fresh}" already exists`),
        );
        t.same(await bench.bytes(fresh, 'file0'), FIRST);
        t.same(await bench.bytes(other, 'file0'), FIRST);
        const empty = await plantImage(bench);
        const listed = newUuid();
        t.equal((await update(bench, empty, { uuid: [listed] })).raw.uuid, listed, 'no file is fine');
        t.notOk(await bench.exists(empty));
        t.same((await update(bench, listed, { uuid: listed, name: 'same' })).raw.uuid, listed);
        const double = await plantImage(bench, { more: { type: 'lxd', files: [fileEntry(), fileEntry()] } });
        t.same(
            await refusal(update(bench, double, { uuid: newUuid() })),
            refused(400, 'NotImplemented', 'cannot move images with multiple files'),
        );
        const active = await plantImage(bench, { active: true });
        t.equal((await refusal(update(bench, active, { uuid: newUuid() }))).code, 'ValidationFailed');
    });

    onEveryBackend(t, 'two images that swap uuids do not block each other', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const [a, b] = [await plantImage(bench), await plantImage(bench)];
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
        const uuid = await plantImage(bench, { file: true, more });
        const { raw } = await activate(bench, uuid);
        t.match(raw, { activated: true, state: 'active', published_at: '2026-01-02T03:04:05.006Z' });
        t.notOk(raw.expires_at ?? raw.x_imgapi);
        t.same(
            await refusal(activate(bench, uuid)),
            refused(422, 'ImageAlreadyActivated', `image "${uuid}" is already activated`),
        );
        const empty = await plantImage(bench);
        t.same(
            await refusal(activate(bench, empty)),
            refused(422, 'NoActivationNoFile', `image "${empty}" cannot be activated: it has no file`),
        );
        const kept = await plantImage(bench, {
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
        const missing = await plantImage(bench, { more: { files } });
        t.match(await refusal(activate(bench, missing)), { status: 500, message: /missing from storage/ });
        const short = await plantImage(bench, { more: { files } });
        await bench.plantFile(short, 'file0', FIRST.subarray(1));
        t.match(await refusal(activate(bench, short)), { status: 500, message: /corrupt in storage/ });
        const elsewhere = await plantImage(bench, { more: { files: [{ ...fileEntry(), stor: 'manta' }] } });
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
        const active = await plantImage(bench, { active: true });
        t.same(await set(active, true), [true, 'disabled']);
        const { token } = await bench.database.get(active);
        t.same(await set(active, true), [true, 'disabled']);
        t.equal((await bench.database.get(active)).token, token, 'nothing is written when nothing changes');
        t.same(await set(active, false), [false, 'active']);
        const fresh = await plantImage(bench);
        t.same(await set(fresh, true), [true, 'unactivated']);
        for (const state of ['creating', 'failed']) {
            t.same(await set(await plantImage(bench, { more: { state } }), true), [true, state]);
        }
        const old = await plantImage(bench, { active: true, more: { disabled: 'true', state: 'disabled' } });
        t.same(await set(old, false), [false, 'active'], 'text forms of old records');
    });
    t.end();
});

void t.test('ChannelAddImage', (t) => {
    onEveryBackend(t, 'one more channel', async (t, backend) => {
        const bench = await makeBench(t, { backend, config: { channels: CHANNELS } });
        const uuid = await plantImage(bench, { more: { channels: ['dev'] } });
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
        const uuid = await plantImage(bench);
        const add = addImageToChannel(bench.services, bench.context(), uuid, { channel: 'dev' });
        t.equal((await refusal(add)).message, '"channel-add" is not a valid action');
    });
    t.end();
});

void t.test('AddImageAcl, RemoveImageAcl', (t) => {
    onEveryBackend(t, 'lists', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        const uuid = await plantImage(bench, { active: true });
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
        const uuid = await plantImage(bench);
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
