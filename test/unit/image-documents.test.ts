// What documents show on request only: provenance and share information (jobs-and-imports 8.6, 8.8),
// and which Accept-Version ranges ask for what (README, API versions).
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { chooseVersion } from '#lib/http/versions.js';
import { DocumentRenderer, type RenderForm } from '#lib/images/render.js';
import { type DocumentForm, toApiManifest } from '#lib/manifest/serialize.js';
import type { RawImage } from '#lib/manifest/types.js';
import { validateRaw } from '#lib/manifest/validate.js';
import { rawRecord, UNKNOWN, USERS } from '../helpers/images.js';

const { vader, luke, emperor } = USERS;
const PLAIN: DocumentForm = { mode: 'dc', version2: true, inclAdminFields: false };
const AT = '2026-01-02T03:04:05.006Z';
const SOURCE = {
    kind: 'import',
    source_image: UNKNOWN,
    source_owner: emperor,
    source_datacenter: 'east',
} as const;
const WHOLE = { ...SOURCE, source_url: 'https://images.example.com', at: AT };
const FOR_OWNERS = { ...SOURCE, at: AT };

function image(more: Readonly<Record<string, unknown>> = {}): RawImage {
    const file = { sha1: 'a'.repeat(40), size: 1, compression: 'none', stor: 'local' };
    const record = {
        ...rawRecord({ uuid: newUuid(), name: 'n', owner: vader, activated: true }),
        published_at: '2014-05-06T07:08:09.123Z',
        files: [file],
        channels: ['dev'],
        ...more,
    };
    return validateRaw(record, { mode: 'dc', channels: true }, 'lenient');
}

function withProvenance(provenance: unknown, more: Readonly<Record<string, unknown>> = {}): RawImage {
    return image({ x_imgapi: { provenance }, ...more });
}

const OPERATOR = { ...PLAIN, provenance: { account: undefined } };

function share(account: string, ...trusted: readonly string[]): DocumentForm {
    return { ...PLAIN, share: { account, trusted: new Set(trusted) } };
}

void t.test('provenance', async (t) => {
    const shuffled = { extra: 1, ...Object.fromEntries(Object.entries(WHOLE).reverse()) };
    const raw = withProvenance(shuffled, { acl: [luke] });
    const shown = toApiManifest(raw, OPERATOR);
    t.strictSame(shown['provenance'], WHOLE);
    t.equal(
        JSON.stringify(shown['provenance']),
        JSON.stringify(WHOLE),
        'its keys have one order, and no others are shown',
    );
    t.equal(Object.keys(shown).at(-1), 'provenance', 'the last key');
    t.equal(Object.keys(shown).at(-2), 'channels');
    t.equal(
        JSON.stringify(shown),
        JSON.stringify({ ...toApiManifest(raw, PLAIN), provenance: WHOLE }),
        'nothing else differs',
    );

    const reader = (account: string) => toApiManifest(raw, { ...PLAIN, provenance: { account } });
    t.strictSame(reader(vader)['provenance'], FOR_OWNERS, 'the owner does not see the address');
    t.notOk('provenance' in reader(luke), 'who is on the ACL sees none');
    t.notOk('provenance' in reader(emperor), 'nor does the owner of the source');

    const clone = { kind: 'clone', source_image: UNKNOWN, source_owner: luke, at: AT };
    t.strictSame(toApiManifest(withProvenance(clone), OPERATOR)['provenance'], clone, 'only what is set');
    const odd = { ...clone, source_owner: 5, source_url: null };
    t.strictSame(
        toApiManifest(withProvenance(odd), OPERATOR)['provenance'],
        { kind: 'clone', source_image: UNKNOWN, at: AT },
        'only texts',
    );
    for (const bad of [undefined, null, 'x', [], {}, { ...WHOLE, kind: 'gift' }, { ...WHOLE, at: 5 }]) {
        const document = toApiManifest(withProvenance(bad), OPERATOR);
        t.notOk('provenance' in document, JSON.stringify(bad) ?? 'undefined');
    }
    t.notOk('provenance' in toApiManifest(image(), OPERATOR), 'an image without');
});

void t.test('share information', async (t) => {
    const raw = image({ acl: [luke] });
    t.strictSame(toApiManifest(raw, share(luke))['share'], { shared: true, owner: vader, trusted: false });
    t.strictSame(toApiManifest(raw, share(luke, emperor, vader))['share'], {
        shared: true,
        owner: vader,
        trusted: true,
    });
    const reasons: readonly (readonly [string, RawImage, string])[] = [
        ['its own image', image({ acl: [vader] }), vader],
        ['a public image', image({ acl: [luke], public: true }), luke],
        ['not on the ACL', raw, emperor],
        ['not activated', image({ acl: [luke], activated: false, state: 'unactivated' }), luke],
    ];
    for (const [name, other, account] of reasons) {
        t.notOk('share' in toApiManifest(other, share(account, vader)), name);
    }
    t.ok('share' in toApiManifest(image({ acl: [luke], disabled: true, state: 'disabled' }), share(luke)));

    const both = toApiManifest(withProvenance(WHOLE, { acl: [luke] }), {
        ...share(luke),
        provenance: { account: undefined },
    });
    t.strictSame(Object.keys(both).slice(-3), ['channels', 'provenance', 'share']);
});

void t.test('nothing of it is shown unless asked for', async (t) => {
    const raw = image({ x_imgapi: { import_id: UNKNOWN, provenance: WHOLE }, acl: [luke] });
    const without = image({ uuid: raw.uuid, acl: [luke] });
    for (const mode of ['dc', 'private', 'public'] as const) {
        for (const version2 of [false, true]) {
            for (const inclAdminFields of [false, true]) {
                const form = { mode, version2, inclAdminFields };
                t.equal(
                    JSON.stringify(toApiManifest(raw, form)),
                    JSON.stringify(toApiManifest(without, form)),
                    JSON.stringify(form),
                );
            }
        }
    }
});

const anyAccount = fc.constantFrom<string>(vader, luke, emperor);

const anyForm: fc.Arbitrary<RenderForm> = fc.record(
    {
        mode: fc.constantFrom('public' as const, 'private' as const, 'dc' as const),
        version2: fc.boolean(),
        inclAdminFields: fc.boolean(),
        provenance: fc.option(anyAccount, { nil: undefined }).map((account) => ({ account })),
        share: fc.record({
            account: anyAccount,
            trusted: fc.subarray([vader, luke, emperor]).map((trusted) => new Set<string>(trusted)),
        }),
    },
    { requiredKeys: ['mode', 'version2', 'inclAdminFields'] },
);

void t.test('texts that are kept are only given to those who may see them', async () => {
    const images = [vader, luke].flatMap((owner) =>
        [true, false].flatMap((isPublic) => [
            image({ owner, public: isPublic }),
            withProvenance(WHOLE, { owner, public: isPublic, acl: [luke, emperor] }),
        ]),
    );
    const renderer = new DocumentRenderer();
    const step = fc.record({
        raws: fc.subarray(images, { minLength: 1 }),
        form: anyForm,
        asList: fc.boolean(),
    });
    fc.assert(
        fc.property(fc.array(step, { minLength: 5, maxLength: 20 }), (steps) =>
            steps.every(({ raws, form, asList }) => {
                const manifests = raws.map((raw) => toApiManifest(raw, form));
                if (asList) {
                    return (
                        Buffer.concat(renderer.list(raws, form)).toString() ===
                        JSON.stringify(manifests, null, 2)
                    );
                }
                return raws.every((raw, index) => {
                    const { text, etag } = renderer.document(raw, form);
                    const hash = createHash('sha1').update(JSON.stringify(manifests[index])).digest('hex');
                    return text.toString() === JSON.stringify(manifests[index], null, 2) && etag === hash;
                });
            }),
        ),
    );
});

void t.test('texts are kept by what is shown, not by who asks', async (t) => {
    const renderer = new DocumentRenderer();
    const raw = withProvenance(WHOLE, { acl: [luke, emperor] });
    const plain = renderer.document(raw, PLAIN);
    const owners = renderer.document(raw, { ...PLAIN, provenance: { account: vader } });
    const operators = renderer.document(raw, OPERATOR);
    t.equal(new Set([plain, owners, operators].map(({ etag }) => etag)).size, 3);
    t.equal(renderer.document(raw, { ...PLAIN, provenance: { account: luke } }), plain, 'shown nothing');
    t.equal(renderer.document(raw, { ...PLAIN, provenance: { account: vader } }), owners);
    t.equal(renderer.document(raw, OPERATOR), operators);
    t.equal(renderer.document(raw, share(vader)), plain, 'an owner is told nothing about sharing');

    const { bytes } = renderer;
    const lukes = renderer.document(raw, share(luke, vader));
    renderer.list([raw], share(luke, vader));
    t.equal(renderer.bytes, bytes, 'what depends on the account is not kept');
    t.not(renderer.document(raw, share(luke, vader)), lukes);
    t.equal(renderer.document(raw, share(luke, vader)).etag, lukes.etag, 'but its tag stays');
    t.not(renderer.document(raw, share(luke)).etag, lukes.etag);
});

void t.test('Accept-Version ranges', async (t) => {
    const rows: readonly (readonly [string | undefined, boolean, boolean, boolean])[] = [
        // range, supported, version 2 form, provenance
        [undefined, true, false, false],
        ['', true, true, false],
        ['*', true, true, false],
        ['x', true, true, false],
        ['~1', true, false, false],
        ['1', true, false, false],
        ['1.0.0', true, false, false],
        ['<2', true, false, false],
        ['~2', true, true, false],
        ['2', true, true, false],
        ['2.x', true, true, false],
        ['~2.0', true, true, false],
        ['2.0.0', true, true, false],
        ['^2', true, true, false],
        ['^2.0.0', true, true, false],
        ['>=1', true, true, false],
        ['>=2', true, true, false],
        ['~1 || ~2', true, true, false],
        ['~2.0 || ~2.1', true, true, false],
        ['~2.1', true, true, true],
        ['2.1', true, true, true],
        ['2.1.0', true, true, true],
        ['^2.1', true, true, true],
        ['>=2.1.0', true, true, true],
        ['>2.0.0', true, true, true],
        ['>2', false, true, false],
        ['~1 || ~2.1', true, true, true],
        ['~2.2', false, true, false],
        ['~3', false, true, false],
        ['~0', false, false, false],
        ['nonsense', false, false, false],
        [`~2.1${' '.repeat(300)}`, false, false, false],
    ];
    for (const [range, supported, version2, asksProvenance] of rows) {
        const expected = {
            range: range === undefined ? '~1' : range || '*',
            supported,
            version2,
            asksProvenance,
        };
        t.strictSame(chooseVersion(range), expected, range ?? 'no header');
    }
});
