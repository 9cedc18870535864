import fc from 'fast-check';
import { ADMIN } from '../datacenter.js';
import { PNG } from '../images.js';
import { ACCOUNTS, type Caller, STRANGER, UNSET_OWNER, type Value } from './model.js';

/** Mostly the good values, now and then a bad one. */
function mostly(good: readonly Value[], bad: readonly Value[] = []): fc.Arbitrary<Value> {
    const choices = [{ weight: 60, arbitrary: fc.constantFrom(...good) }];
    return bad.length === 0
        ? fc.constantFrom(...good)
        : fc.oneof(...choices, { weight: 1, arbitrary: fc.constantFrom(...bad) });
}

export const names = ['base', 'base-64', 'My image/1', 'a_b.c', '100 percent'];
export const versions = ['1.0.0', '1.0.1+b7', '20.1'];
export const systems = ['smartos', 'linux', 'other'];
export const types = ['zone-dataset', 'zone-dataset', 'lx-dataset', 'other', 'docker'];
export const billingTags = ['xl', 'gold', 'NULL', '(a*b)', 'a\\b', '50%_'];

/** Tags of all kinds; the last ones can be found by their key only. */
export const tagSets: readonly Readonly<Record<string, Value>>[] = [
    {},
    { role: 'db' },
    { role: 'web', n: 5 },
    { role: 'db', flag: true, 'a b': '(x)*\\%_' },
    { eq: 'a=b', big: 'x'.repeat(101), object: { a: 1 }, nothing: null },
];

const networks = [{ min_ram: 64, max_ram: 128 }, { brand: 'lx' }, {}];
const owners = [...ACCOUNTS, ...ACCOUNTS, ADMIN, UNSET_OWNER];

/** Values of the fields that create, import and update share, and how often a body has them. */
const COMMON = {
    description: mostly(['words', 'other words', ''], ['d'.repeat(10_241)]),
    homepage: mostly(['https://h.example/', 'http://h.example/x'], ['ftp://h.example/']),
    eula: mostly(['https://e.example/'], [`https://e.example/${'e'.repeat(1024)}`, 'nowhere']),
    public: mostly([true, false, true, 'true', false, 'false'], ['maybe']),
    acl: mostly([[], [ACCOUNTS[0]], [ACCOUNTS[1], ACCOUNTS[2]], ACCOUNTS[1]], [['nobody'], 5]),
    requirements: mostly(networks, [{ min_ram: 2, max_ram: 1 }, { brand: 5, color: 'red' }, 5]),
    users: mostly([[{ name: 'root' }], []], [[{ name: 'root', x: 1 }], 'root']),
    tags: mostly(tagSets, [[], 'role=db', { big: 't'.repeat(102_400) }]),
    billing_tags: mostly([billingTags.slice(0, 2), billingTags, ['gold'], 'xl', []], [['b'.repeat(129), 5]]),
    traits: mostly([{ ssd: true }, { hw: ['r1'] }, {}], [{ a: 1 }, 'ssd']),
    generate_passwords: mostly([true, false, 'false'], ['no']),
    error: mostly([{ code: 'Broken', message: 'boom' }], ['boom']),
    inherited_directories: mostly([['/opt'], []], [[5], '/opt']),
};

const zvol = {
    nic_driver: mostly(['virtio']),
    disk_driver: mostly(['virtio']),
    cpu_type: mostly(['host']),
    image_size: mostly([1024, '2048'], [1.5]),
};

/** Each key is there with a chance of one in `rarity`. */
function sometimes(
    fields: Readonly<Record<string, fc.Arbitrary<Value>>>,
    rarity: number,
): fc.Arbitrary<Record<string, Value>> {
    const ABSENT = Symbol('absent');
    const choices = Object.entries(fields).map(([key, value]) => {
        const maybe = fc.oneof(
            { weight: rarity - 1, arbitrary: fc.constant(ABSENT) },
            { weight: 1, arbitrary: value },
        );
        return [key, maybe] as const;
    });
    return fc
        .record<Record<string, unknown>>(Object.fromEntries(choices))
        .map((record) => Object.fromEntries(Object.entries(record).filter(([, value]) => value !== ABSENT)));
}

const merged = (...parts: fc.Arbitrary<Record<string, Value>>[]): fc.Arbitrary<Record<string, Value>> =>
    fc.tuple(...parts).map((all) => Object.assign({}, ...all) as Record<string, Value>);

const head = fc.record<Record<string, Value>>({
    name: mostly(names, ['a:b', 'n'.repeat(1025), 5]),
    version: mostly(versions, ['1 0', 'v'.repeat(513)]),
    os: mostly(systems, ['bogus']),
});
const missingHead = fc.oneof(
    { weight: 30, arbitrary: fc.constant<string | undefined>(undefined) },
    { weight: 1, arbitrary: fc.constantFrom<(string | undefined)[]>('name', 'version', 'type', 'os') },
);

/** Bodies for CreateImage and AdminImportImage, apart from what differs between the two. */
export const newImageBodies: fc.Arbitrary<Record<string, Value>> = fc
    .tuple(
        head,
        fc.oneof(
            { weight: 5, arbitrary: fc.record<Record<string, Value>>({ type: mostly(types, ['bogus']) }) },
            {
                weight: 1,
                arbitrary: merged(fc.record({ type: fc.constant<Value>('zvol') }), fc.record(zvol)),
            },
        ),
        sometimes({ ...COMMON, disabled: mostly([true, false, 'true'], ['maybe']) }, 4),
        // Fields that bodies may have and nobody reads, and ones that no body may have.
        sometimes({ files: fc.constant([]), icon: fc.constant(true), channels: fc.constant(['nope']) }, 15),
        sometimes(
            { color: fc.constant('red'), activated: fc.constant(true), cpu_type: fc.constant('host') },
            60,
        ),
        missingHead,
    )
    .map(([first, kind, more, unread, extra, without]) => {
        const body = { ...first, ...kind, ...more, ...unread, ...extra };
        if (body['type'] !== 'zone-dataset') delete body['inherited_directories'];
        return Object.fromEntries(Object.entries(body).filter(([key]) => key !== without));
    });

const orNull = (fields: Readonly<Record<string, fc.Arbitrary<Value>>>): Record<string, fc.Arbitrary<Value>> =>
    Object.fromEntries(
        Object.entries(fields).map(([key, value]) => [
            key,
            fc.oneof({ weight: 4, arbitrary: value }, { weight: 1, arbitrary: fc.constant<Value>(null) }),
        ]),
    );

/** Bodies for UpdateImage, apart from `uuid` and `origin`. */
export const updateBodies: fc.Arbitrary<Record<string, Value>> = merged(
    sometimes(orNull(COMMON), 7),
    sometimes(
        { name: mostly(names, ['a:b', null]), version: mostly(versions, [null]), os: mostly(systems) },
        5,
    ),
    sometimes({ owner: mostly(owners, ['nobody', STRANGER, null]) }, 10),
    sometimes({ state: mostly(['creating', 'failed', 'active', 'unactivated'], ['bogus', null]) }, 8),
    sometimes(orNull(zvol), 40),
    sometimes({ type: fc.constant('zvol'), color: fc.constant('red'), disabled: fc.constant(true) }, 60),
);

/** Bodies that are no objects. */
export const oddBodies = fc.constantFrom<Value[]>(undefined, null, 5, [], [1], {});
export const ownerValues = mostly(owners, ['nobody', undefined, STRANGER]);
/** Some of them are the same time in another form, so that lists have ties. */
export const publicationDates = mostly(
    [undefined, '2019-01-01T00:00:00Z', '2019-01-01T00:00:00.000Z', '2020-05-06T07:08:09.123Z'],
    ['yesterday', '', 5],
);

export const callers: fc.Arbitrary<Caller> = fc.oneof(
    { weight: 5, arbitrary: fc.constant<Caller>('operator') },
    { weight: 2, arbitrary: fc.constantFrom<Caller[]>(0, 0, 1, 2) },
);

/** Which image: one of those there are, one that was, or one that never was. */
export type Pick = number | 'former' | 'unknown';
export const picks: fc.Arbitrary<Pick> = fc.oneof(
    { weight: 24, arbitrary: fc.nat(11) },
    { weight: 1, arbitrary: fc.constantFrom<Pick[]>('former', 'unknown') },
);

/** An image there is, or a uuid that is most likely nobody's. */
export type PickOrUuid = Pick | { readonly uuid: string };
export const newUuids: fc.Arbitrary<PickOrUuid> = fc.uuid().map((uuid) => ({ uuid }));

/** Contents of files; one is larger than any single read or write. */
export const contents: readonly Buffer[] = [
    Buffer.from('the first bytes'),
    Buffer.from('other bytes, and more of them'),
    Buffer.alloc(300_000, 'large '),
    Buffer.alloc(0),
];
export const icons: readonly Buffer[] = [
    PNG,
    Buffer.from('GIF89a'),
    Buffer.alloc(131_073, 'x'),
    Buffer.alloc(0),
];
