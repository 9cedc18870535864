import fc from 'fast-check';
import t from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { listImages } from '#lib/images/list-images.js';
import type { ListInput } from '#lib/images/list-input.js';
import { ApiError } from '#lib/base/errors.js';
import type { ServerMode } from '#lib/base/constants.js';
import { type Bench, CHANNELS, makeBench, onEveryBackend, refusal, refused } from '../helpers/image-bench.js';
import { rawRecord, UNKNOWN, USERS } from '../helpers/images.js';

const { vader, luke, emperor } = USERS;
const OWNERS = [vader, luke, emperor] as const;
const TIMES = [
    '2014-01-01T00:00:00.000Z',
    '2014-01-01T00:00:00Z',
    '2015-05-05T05:05:05.555Z',
    undefined,
] as const;

const EVERYTHING: ListInput = {
    parsePublic: () => undefined,
    tags: [],
    billingTags: [],
    anonymous: false,
};

function list(bench: Bench, input: Partial<ListInput> = {}, context = {}) {
    return listImages(bench.services, bench.context(context), { ...EVERYTHING, ...input });
}

async function names(bench: Bench, input: Partial<ListInput> = {}, context = {}): Promise<readonly string[]> {
    return (await list(bench, input, context)).map((image) => image.raw.name);
}

type Facts = Readonly<Record<string, unknown>>;

async function plant(bench: Bench, name: string, facts: Facts = {}): Promise<string> {
    const uuid = newUuid();
    const { activated = true, published_at: published = TIMES[2], ...more } = facts;
    await bench.plant({
        ...rawRecord({ uuid, name, owner: vader, activated: activated === true }),
        ...(published === null ? {} : { published_at: published }),
        ...(activated === true
            ? { files: [{ sha1: 'a'.repeat(40), size: 1, compression: 'none', stor: 'local' }] }
            : {}),
        ...more,
    });
    return uuid;
}

void t.test('checks in order', async (t) => {
    const bench = await makeBench(t);
    await plant(bench, 'some');
    const invalid = (field: string, message: string) =>
        refused(422, 'InvalidParameter', message, [field, 'Invalid']);
    const badPublic = () => {
        throw new ApiError('InvalidParameter', 'public');
    };
    const all = { limit: 'x', state: 'x', parsePublic: badPublic, sort: 'x', marker: UNKNOWN };
    t.same(await refusal(list(bench, all)), invalid('limit', 'invalid limit: "x"'));
    for (const limit of ['-1', '1.5', '1e3', '0x10', ' 1', 'Infinity']) {
        t.equal((await refusal(list(bench, { limit }))).message, `invalid limit: "${limit}"`);
    }
    t.same(await refusal(list(bench, { ...all, limit: '1' })), invalid('state', 'invalid state: "x"'));
    for (const state of ['disabled', 'unactivated', 'creating', 'failed']) {
        t.same(await list(bench, { ...all, limit: '', state, anonymous: true }), [], 'anonymous callers');
    }
    t.equal(
        (await refusal(list(bench, { ...all, limit: '', state: 'all', anonymous: true }))).message,
        'public',
    );
    const rest = { sort: 'name.up', marker: UNKNOWN };
    t.same(
        await refusal(list(bench, rest)),
        invalid('sort', "invalid 'sort': not a valid sorting attribute: 'name'"),
    );
    t.same(
        await refusal(list(bench, { ...rest, sort: 'published_at.up.down' })),
        invalid('sort', "invalid 'sort': not a valid sort direction: 'up.down'"),
    );
    t.same(
        await refusal(list(bench, { sort: 'published_at.DESC', marker: UNKNOWN, owner: '' })),
        refused(404, 'ResourceNotFound', `image ${UNKNOWN} not found`),
    );
    t.same(
        await refusal(list(bench, { sort: 'published_at.', marker: 'not "a" date' })),
        invalid(
            'marker',
            'invalid value for "marker" param: "not \\"a\\" date" is not a UUID or date string',
        ),
    );
});

void t.test('limits', async (t) => {
    for (const [mode, limit, expected] of [
        ['private', undefined, 1005],
        ['private', '', 1005],
        ['private', '0', 1005],
        ['private', '2000', 1005],
        ['private', '9'.repeat(400), 1005],
        ['private', '3', 3],
        ['dc', undefined, 1000],
        ['dc', '0', 1000],
        ['dc', '2000', 1000],
        ['dc', '9'.repeat(400), 1000],
        ['dc', '3', 3],
    ] as const) {
        const bench = await makeBench(t, { config: { mode } });
        await Promise.all(Array.from({ length: 1005 }, (_, index) => plant(bench, `i${index}`)));
        t.equal(
            (await list(bench, limit === undefined ? {} : { limit })).length,
            expected,
            `${mode} ${limit}`,
        );
    }
});

void t.test('filters', (t) => {
    onEveryBackend(t, 'each of them', async (t, backend) => {
        const bench = await makeBench(t, { backend, config: { channels: CHANNELS } });
        const tags = { role: 'db', n: 5, cfg: { a: 1 }, 'a=b': 'c' };
        const search = ['role=db', 'n=5', 'cfg=', 'a=b=c'];
        const dev = { channels: ['dev'] };
        await plant(bench, 'base-64', { ...dev, version: '1.2', os: 'linux', tagsObj: tags, tags: search });
        await plant(bench, 'mini', { channels: ['dev', 'release'], billing_tags: ['x', 'y'], type: 'other' });
        await plant(bench, 'base-32', { ...dev, billing_tags: ['x'], owner: luke, published_at: TIMES[0] });
        const cases: [Partial<ListInput>, readonly string[]][] = [
            [{ name: 'mini' }, ['mini']],
            [{ name: '~base' }, ['base-32', 'base-64']],
            [{ name: '~' }, ['base-32', 'base-64', 'mini']],
            [{ name: '' }, []],
            [{ version: '~.2' }, ['base-64']],
            [{ version: '' }, []],
            [{ os: 'linux' }, ['base-64']],
            [{ os: '' }, []],
            [{ type: 'other' }, ['mini']],
            [{ type: '!other' }, ['base-32', 'base-64']],
            [{ type: '' }, []],
            [{ owner: luke }, ['base-32']],
            [{ owner: 'nobody' }, []],
            [{ owner: '' }, []],
            [
                {
                    tags: [
                        ['role', 'db'],
                        ['n', '5'],
                    ],
                },
                ['base-64'],
            ],
            [{ tags: [['role', 'web']] }, []],
            [{ tags: [['cfg', '']] }, ['base-64']],
            [{ tags: [['role', '']] }, ['base-64']],
            [{ tags: [['a=b', 'c']] }, ['base-64']],
            [{ billingTags: ['x'] }, ['base-32', 'mini']],
            [{ billingTags: ['x', 'y'] }, ['mini']],
            [{ parsePublic: () => true }, []],
            [{ parsePublic: () => false, limit: '1' }, ['base-32']],
        ];
        for (const [input, expected] of cases) {
            t.same([...(await names(bench, input))].sort(), expected, JSON.stringify(input));
        }
        t.same(await names(bench, {}, { channel: 'release' }), ['mini']);
        t.same((await names(bench, {}, { channel: 'dev' })).length, 3);
    });

    onEveryBackend(t, 'anonymous callers see active images only', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        await plant(bench, 'active');
        await plant(bench, 'disabled', { disabled: true, state: 'disabled' });
        await plant(bench, 'unactivated', { activated: false });
        for (const state of ['', 'active', 'all']) {
            t.same(await names(bench, { state, anonymous: true }), ['active']);
        }
        t.equal((await names(bench, { state: 'all' })).length, 3);
        bench.setConfig({ mode: 'dc' });
        t.equal((await names(bench, { state: 'all', anonymous: true })).length, 3);
    });
    t.end();
});

void t.test('order and pages', (t) => {
    onEveryBackend(t, 'each image once, in both directions', async (t, backend) => {
        const bench = await makeBench(t, { backend });
        for (let index = 0; index < 40; index += 1) {
            const published = TIMES[index % TIMES.length];
            await plant(bench, `i${index}`, {
                published_at: published ?? null,
                ...(published === undefined ? { activated: false } : {}),
            });
        }
        const uuids = async (input: Partial<ListInput>) =>
            (await list(bench, { state: 'all', ...input })).map((image) => image.raw.uuid);
        const ascending = await uuids({});
        t.equal(new Set(ascending).size, 40);
        t.same(await uuids({ sort: 'published_at.desc' }), [...ascending].reverse());
        for (const sort of ['published_at.asc', 'published_at.desc']) {
            const seen: string[] = [];
            for (let marker: string | undefined = ''; marker !== undefined;) {
                const page: string[] = await uuids({ sort, marker, limit: '7' });
                seen.push(...(seen.at(-1) === page[0] ? page.slice(1) : page));
                marker = page.length < 7 ? undefined : page.at(-1);
            }
            t.same(seen, sort.endsWith('asc') ? ascending : [...ascending].reverse(), sort);
        }
        t.equal((await uuids({ marker: '2014-01-01' })).length, 30, 'dates are compared as times');
        t.equal((await uuids({ marker: '2014-01-01', sort: 'published_at.desc' })).length, 30);
        t.equal((await uuids({ marker: 'Thu, 01 Jan 2015 00:00:00 GMT' })).length, 10);
        const hidden = ascending[0] ?? '';
        t.equal((await uuids({ state: 'active', marker: hidden })).length, 30, 'a marker need not match');
    });
    t.end();
});

interface Image {
    readonly name: string;
    readonly owner: string;
    readonly public: boolean;
    readonly activated: boolean;
    readonly disabled: boolean;
    readonly placeholder: 'creating' | 'failed' | undefined;
    readonly acl: readonly string[];
}

const anImage: fc.Arbitrary<Image> = fc.record({
    name: fc.constantFrom('a', 'ab', 'b'),
    owner: fc.constantFrom(...OWNERS),
    public: fc.boolean(),
    activated: fc.boolean(),
    disabled: fc.boolean(),
    placeholder: fc.constantFrom(undefined, undefined, 'creating' as const, 'failed' as const),
    acl: fc.subarray([...OWNERS]),
});

interface Request {
    readonly account: string | undefined;
    readonly owner: string | undefined;
    readonly state: string | undefined;
    readonly isPublic: boolean | undefined;
    readonly name: string | undefined;
    readonly anonymous: boolean;
}

const aRequest: fc.Arbitrary<Request> = fc.record({
    account: fc.constantFrom(undefined, ...OWNERS),
    owner: fc.constantFrom(undefined, undefined, ...OWNERS),
    state: fc.constantFrom(undefined, 'active', 'disabled', 'unactivated', 'all', 'creating', 'failed'),
    isPublic: fc.constantFrom(undefined, undefined, true, false),
    name: fc.constantFrom(undefined, undefined, 'a', '~a'),
    anonymous: fc.boolean(),
});

/** Whether an image is in the answer, in the words of http-api 3.1, one image at a time. */
function belongs(image: Image, request: Request, mode: ServerMode): boolean {
    const { account, owner, isPublic, name } = request;
    const onlyActive = request.anonymous && mode !== 'dc';
    let state = request.state ?? 'active';
    if (onlyActive && state !== 'active' && state !== 'all') return false;
    if (onlyActive) state = 'active';
    const inState = {
        active: image.activated && !image.disabled,
        disabled: image.activated && image.disabled,
        unactivated: !image.activated,
        all: true,
        creating: stateOf(image) === 'creating',
        failed: stateOf(image) === 'failed',
    }[state];
    const filtered =
        (isPublic === undefined || image.public === isPublic) &&
        (name === undefined ||
            (name.startsWith('~') ? image.name.includes(name.slice(1)) : image.name === name));
    if (inState !== true || !filtered || (owner !== undefined && image.owner !== owner)) return false;
    if (account === undefined || image.owner === account) return true;
    if (state === 'disabled' || state === 'unactivated') return false;
    return image.activated && (image.public || image.acl.includes(account));
}

function stateOf(image: Image): string {
    if (image.placeholder !== undefined) return image.placeholder;
    return image.activated ? (image.disabled ? 'disabled' : 'active') : 'unactivated';
}

void t.test('the answer to any request is what the table of http-api 3.1 says', (t) => {
    for (const mode of ['private', 'dc'] as const) {
        onEveryBackend(t, mode, async (t, backend) => {
            const bench = await makeBench(t, { backend, config: { mode: 'dc' } });
            bench.setConfig({ mode });
            const images = fc.sample(anImage, { numRuns: 60, seed: 7 }).filter(
                // A record that mode private refuses is no image there.
                (image) => mode === 'dc' || !image.public,
            );
            const byUuid = new Map<string, Image>();
            for (const image of images) {
                const { placeholder, ...facts } = image;
                byUuid.set(
                    await plant(bench, image.name, { ...facts, state: stateOf({ ...facts, placeholder }) }),
                    image,
                );
            }
            await fc.assert(
                fc.asyncProperty(aRequest, async (request) => {
                    const { account, owner, state, name, isPublic, anonymous } = request;
                    const found = await list(
                        bench,
                        {
                            ...(owner === undefined ? {} : { owner }),
                            ...(state === undefined ? {} : { state }),
                            ...(name === undefined ? {} : { name }),
                            parsePublic: () => isPublic,
                            anonymous,
                        },
                        account === undefined ? {} : { account },
                    );
                    const expected = [...byUuid].filter(([, image]) => belongs(image, request, mode));
                    const uuids = found.map((image) => image.raw.uuid);
                    return (
                        new Set(uuids).size === uuids.length &&
                        JSON.stringify([...uuids].sort()) ===
                            JSON.stringify(expected.map(([uuid]) => uuid).sort())
                    );
                }),
                { numRuns: 300 },
            );
            t.pass('300 requests');
        });
    }
    t.end();
});
