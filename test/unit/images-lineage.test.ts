import t, { type Test } from 'tap';
import type { Database } from '#lib/database/database.js';
import type { Query } from '#lib/database/query.js';
import type { RequestContext } from '#lib/images/context.js';
import { imageUsage } from '#lib/images/image-usage.js';
import { listAncestors } from '#lib/images/list-ancestors.js';
import { listClones } from '#lib/images/list-clones.js';
import { listDependents } from '#lib/images/list-dependents.js';
import type { InstanceDirectory, InstanceQuery } from '#lib/remotes/instances.js';
import { newUuid } from '#lib/base/uuid.js';
import {
    type Backend,
    type Bench,
    CHANNELS,
    makeBench,
    onEveryBackend,
    refusal,
    refused,
} from '../helpers/image-bench.js';
import { lineageFacts, rawRecord, UNKNOWN, USERS } from '../helpers/images.js';

interface Planter {
    readonly bench: Bench;
    /** What the database was asked. */
    readonly asked: (string | Query)[];
    /** Puts an active image in place, made on another one, and gives its uuid; each is newer than the last. */
    readonly image: (name: string, more?: Readonly<Record<string, unknown>>) => Promise<string>;
    readonly ancestors: (
        uuid: string,
        context?: Partial<RequestContext>,
        depth?: number,
    ) => Promise<unknown[]>;
    readonly dependents: (
        uuid: string,
        depth?: number,
        context?: Partial<RequestContext>,
        onlyActive?: boolean,
    ) => Promise<string>;
}

async function makePlanter(t: Test, backend: Backend): Promise<Planter> {
    const asked: (string | Query)[] = [];
    const wrapDatabase = (database: Database): Database =>
        new Proxy(database, {
            get: (target, key) => {
                if (key === 'get') return (uuid: string) => (asked.push(uuid), target.get(uuid));
                if (key === 'search') return (query: Query) => (asked.push(query), target.search(query));
                const value: unknown = Reflect.get(target, key);
                return typeof value === 'function' ? (value.bind(target) as unknown) : value;
            },
        });
    const bench = await makeBench(t, { backend, wrapDatabase, config: { mode: 'dc', channels: CHANNELS } });
    let planted = 0;
    return {
        bench,
        asked,
        image: async (name, more = {}) => {
            const uuid = typeof more['uuid'] === 'string' ? more['uuid'] : newUuid();
            planted += 1;
            await bench.plant(
                rawRecord({
                    uuid,
                    name,
                    owner: USERS.vader,
                    activated: true,
                    published_at: new Date(Date.UTC(2020, 0, 1) + planted * 1000).toISOString(),
                    file: Buffer.from(name),
                    more: { channels: ['release'], ...more },
                }),
            );
            return uuid;
        },
        ancestors: async (uuid, context = {}, depth = 100) => {
            const { entries, isCut } = await listAncestors(
                bench.services,
                bench.context(context),
                await bench.raw(uuid),
                depth,
            );
            return isCut ? [...entries, 'cut'] : [...entries];
        },
        dependents: async (uuid, depth = 1, context = {}, onlyActive = false) => {
            const input = { depth, onlyActive };
            const raw = await bench.raw(uuid);
            const list = await listDependents(bench.services, bench.context(context), raw, input);
            const names = list.entries.map((entry) => `${entry.name}:${entry.depth}`);
            return [...names, ...(list.isCut ? ['cut'] : [])].join(' ');
        },
    };
}

const provenance = (source: string, at: string, kind = 'clone'): Record<string, unknown> => ({
    x_imgapi: { provenance: { kind, source_image: source, source_owner: USERS.vader, at } },
});

onEveryBackend(t, 'ancestors', async (t, backend) => {
    const { image, ancestors, asked } = await makePlanter(t, backend);
    const missing = await image('on-nothing', { origin: UNKNOWN });
    t.strictSame(await ancestors(missing), [{ uuid: UNKNOWN, depth: 1, missing: true }]);

    const first = await image('first', { public: true });
    const second = await image('second', { origin: first, disabled: true, state: 'disabled' });
    const third = await image('third', { origin: second, acl: [USERS.luke] });
    const last = await image('last', { origin: third, channels: ['dev'] });
    asked.length = 0;
    const all = await ancestors(last, { channel: 'dev' });
    t.strictSame(asked, [third, second, first], 'one read a step');
    t.strictSame(all, [
        { uuid: third, depth: 1, ...lineageFacts('third') },
        { uuid: second, depth: 2, ...lineageFacts('second', { state: 'disabled', disabled: true }) },
        { uuid: first, depth: 3, ...lineageFacts('first') },
    ]);
    t.equal(
        JSON.stringify(all[0]),
        `{"uuid":"${third}","depth":1,"name":"third","version":"1.0.0","owner":"${USERS.vader}",` +
            '"type":"zone-dataset","os":"smartos","state":"active","disabled":false}',
    );
    t.strictSame(await ancestors(last, { account: USERS.vader }), all, 'the owner sees them all');
    t.strictSame(
        await ancestors(last, { account: USERS.luke }),
        [all[0], { uuid: second, depth: 2, hidden: true }, all[2]],
        'what is hidden does not end the list',
    );
    t.strictSame(await ancestors(last, {}, 2), all.slice(0, 2));
    t.strictSame(await ancestors(first), []);
    const gone = new AbortController();
    gone.abort(new Error('gone'));
    await t.rejects(ancestors(last, { signal: gone.signal }), new Error('gone'));
});

onEveryBackend(t, 'origins in a circle', async (t, backend) => {
    const { image, ancestors, dependents } = await makePlanter(t, backend);
    const [a, b, c] = [newUuid(), newUuid(), newUuid()];
    await image('a', { uuid: a, origin: c });
    await image('b', { uuid: b, origin: a });
    await image('c', { uuid: c, origin: b });
    const into = await image('into', { origin: c });
    const self = newUuid();
    await image('self', { uuid: self, origin: self });
    t.match(await ancestors(a), [{ uuid: c }, { uuid: b }]);
    t.equal((await ancestors(a)).length, 2);
    t.equal((await ancestors(into)).length, 3);
    t.same(await ancestors(self), []);
    t.equal(await dependents(a, 100), 'b:1 c:2 into:3');
    t.equal(await dependents(a, 3), 'b:1 c:2 into:3');
    t.equal(await dependents(self, 100), '');
});

void t.test('a hundred ancestors', async (t) => {
    const { image, ancestors, dependents } = await makePlanter(t, 'memory');
    const chain = [await image('0')];
    for (let i = 1; i <= 101; i += 1) chain.push(await image(String(i), { origin: chain.at(-1) }));
    const long = await ancestors(chain[101] ?? '');
    t.equal(long.length, 101);
    t.match(long[99], { name: '1', depth: 100 });
    t.equal(long[100], 'cut');
    t.equal((await ancestors(chain[101] ?? '', {}, 99)).length, 99, 'a depth that was asked for is no cut');
    const whole = await ancestors(chain[100] ?? '');
    t.equal(whole.length, 100);
    t.match(whole[99], { name: '0', depth: 100 });
    const names = (await dependents(chain[0] ?? '', 100)).split(' ');
    t.equal(names.length, 100);
    t.equal(names[99], '100:100');
});

onEveryBackend(t, 'dependents', async (t, backend) => {
    const { image, dependents, bench, asked } = await makePlanter(t, backend);
    const root = await image('root');
    const open = await image('open', { origin: root, public: true, channels: ['dev'] });
    const own = await image('own', { origin: root, owner: USERS.luke });
    await image('off', { origin: root, disabled: true, state: 'disabled', public: true });
    const made = await image('made', { origin: root, activated: false, state: 'unactivated' });
    await image('failed', { origin: root, activated: false, state: 'failed' });
    await image('shared', { origin: made, acl: [USERS.luke] });
    await image('leaf', { origin: open });
    await image('deep', { origin: own, owner: USERS.luke });
    await image('other', { origin: UNKNOWN });

    asked.length = 0;
    t.equal(await dependents(root, 1, { channel: 'dev' }), 'open:1 own:1 off:1 made:1 failed:1');
    t.equal(asked.length, 1);
    const everything = 'open:1 own:1 off:1 made:1 failed:1 shared:2 leaf:2 deep:2';
    asked.length = 0;
    t.equal(await dependents(root, 100), everything);
    t.equal(asked.length, 3, 'one search a level');
    t.equal(await dependents(root, 2), everything);
    t.equal(
        await dependents(root, 2, { account: USERS.vader }),
        'open:1 off:1 made:1 failed:1 shared:2 leaf:2',
    );
    t.equal(await dependents(root, 1, { account: USERS.luke }), 'open:1 own:1 off:1');
    t.equal(
        await dependents(root, 100, { account: USERS.luke }),
        'open:1 own:1 off:1 shared:2 deep:2',
        'chains lead through hidden images',
    );
    t.equal(await dependents(root, 2, { account: USERS.luke }), 'open:1 own:1 off:1 shared:2 deep:2');
    t.equal(await dependents(root, 2, { account: USERS.emperor }), 'open:1 off:1');
    t.equal(await dependents(root, 1, {}, true), 'open:1 own:1', 'active only');
    t.equal(await dependents(root, 3, {}, true), 'open:1 own:1 shared:2 leaf:2 deep:2');
    t.equal(await dependents(root, 1, { account: USERS.emperor }, true), 'open:1');
    t.equal(await dependents(own, 5), 'deep:1');

    const { entries } = await listDependents(bench.services, bench.context(), await bench.raw(open), {
        depth: 1,
        onlyActive: false,
    });
    t.strictSame(
        entries.map((entry) => JSON.stringify({ ...entry, uuid: '' })),
        [
            `{"uuid":"","depth":1,"name":"leaf","version":"1.0.0","owner":"${USERS.vader}",` +
                `"type":"zone-dataset","os":"smartos","state":"active","disabled":false,"origin":"${open}"}`,
        ],
    );
});

void t.test('more dependents than a list holds', async (t) => {
    const { image, dependents, asked } = await makePlanter(t, 'memory');
    const root = await image('root');
    const branch = await image('branch', { origin: root });
    for (let i = 0; i < 999; i += 1) await image('n', { origin: root });
    t.notMatch(await dependents(root), /cut/, 'just fits');
    await image('later', { origin: branch });
    t.notMatch(await dependents(root), /cut/, 'what is deeper does not count');
    const [first, ...rest] = (await dependents(root, 2)).split(' ');
    t.equal(first, 'branch:1');
    t.equal(rest.length, 1000);
    t.equal(rest.at(-1), 'cut');
    t.notOk(rest.includes('later:2'));
    const another = await image('n', { origin: root });
    t.equal((await dependents(root)).split(' ').length, 1001);
    t.match(await dependents(root), /cut$/);
    t.match(await dependents(root, 100), /cut$/);

    asked.length = 0;
    const only = { account: USERS.luke };
    await image('of-luke', { origin: another, owner: USERS.luke });
    t.equal(await dependents(root, 2, only), 'of-luke:2', 'what may not be seen does not fill the list');
    t.equal(asked.length, 1 + Math.ceil(1001 / 50), 'levels with many images are asked for in parts');
    t.ok(asked.every((query) => typeof query !== 'string' && query.limit !== undefined));
});

onEveryBackend(t, 'clones', async (t, backend) => {
    const { image, bench } = await makePlanter(t, backend);
    const source = await image('source');
    const late = await image('late', provenance(source, '2024-01-03T00:00:00.000Z'));
    const early = await image('early', {
        owner: USERS.luke,
        ...provenance(source, '2024-01-01T00:00:00.000Z'),
    });
    await image('of-another', provenance(UNKNOWN, '2024-01-01T00:00:00.000Z'));
    await image('copy', provenance(source, '2024-01-01T00:00:00.000Z', 'copy'));
    await image('import', provenance(source, '2024-01-01T00:00:00.000Z', 'import'));
    await image('plain', { origin: source });
    const clones = async (account?: string) =>
        listClones(
            bench.services,
            bench.context(account === undefined ? {} : { account }),
            await bench.raw(source),
        );
    const all = await clones();
    t.strictSame(all, {
        entries: [
            { uuid: early, ...lineageFacts('early', { owner: USERS.luke }), at: '2024-01-01T00:00:00.000Z' },
            { uuid: late, ...lineageFacts('late'), at: '2024-01-03T00:00:00.000Z' },
        ],
        isCut: false,
    });
    t.equal(
        JSON.stringify(all.entries[1]),
        `{"uuid":"${late}","name":"late","version":"1.0.0","owner":"${USERS.vader}",` +
            '"type":"zone-dataset","os":"smartos","state":"active","disabled":false,"at":"2024-01-03T00:00:00.000Z"}',
    );
    t.strictSame((await clones(USERS.luke)).entries, [all.entries[0]], 'an account sees its own');
    t.strictSame((await clones(USERS.emperor)).entries, []);
});

void t.test('more clones than a list holds', async (t) => {
    const { image, bench } = await makePlanter(t, 'memory');
    const source = await image('source');
    const start = Date.UTC(2024, 0, 1);
    for (let i = 1000; i >= 0; i -= 1) {
        await image(String(i), provenance(source, new Date(start + i * 1000).toISOString()));
    }
    const { entries, isCut } = await listClones(bench.services, bench.context(), await bench.raw(source));
    t.equal(isCut, true);
    t.strictSame(
        entries.map(({ name }) => Number(name)),
        Array.from({ length: 1000 }, (_, i) => i),
        'the oldest, in order',
    );
});

/** Instances as a test wants them, and what was asked for. */
function directory(counts: Readonly<Record<string, number>>, most: { asking: number; inAll: number }) {
    const asked: InstanceQuery[] = [];
    const instances: InstanceDirectory = {
        instance: () => Promise.reject(new Error('nobody asks for one')),
        activeInstancesOf: async (query) => {
            asked.push(query);
            most.asking += 1;
            most.inAll = Math.max(most.inAll, most.asking);
            await new Promise((resolve) => setImmediate(resolve));
            most.asking -= 1;
            const count = counts[query.imageUuid] ?? 0;
            const shown = Math.min(count, query.limit);
            return {
                count,
                instances: Array.from({ length: shown }, (_, i) => ({
                    uuid: `vm${i}`,
                    alias: 'a',
                    owner_uuid: USERS.vader,
                    state: 'running',
                    brand: 'lx',
                    ...(i === 0 ? { server_uuid: 'server' } : {}),
                })),
            };
        },
    };
    return { asked, instances };
}

void t.test('usage', async (t) => {
    const { image, bench } = await makePlanter(t, 'memory');
    const root = await image('root', { public: true });
    const first = await image('first', { origin: root });
    const second = await image('second', { origin: root, owner: USERS.luke });
    await image('deeper', { origin: first });
    const most = { asking: 0, inAll: 0 };
    const { asked, instances } = directory({ [root]: 2, [first]: 1500 }, most);
    const usage = async (context: Partial<RequestContext> = {}, dependents = false) =>
        imageUsage({ ...bench.services, instances }, bench.context(context), await bench.raw(root), {
            dependents,
        });
    const vm = { uuid: 'vm0', alias: 'a', owner_uuid: USERS.vader, state: 'running', brand: 'lx' };
    t.strictSame(await usage(), {
        usage: {
            image_uuid: root,
            vm_count: 2,
            vms: [
                { ...vm, server_uuid: 'server' },
                { ...vm, uuid: 'vm1' },
            ],
            dependent_count: 2,
        },
        isCut: false,
    });
    t.match(asked, [{ imageUuid: root, limit: 1000, requestId: bench.context().requestId }]);
    t.notOk(asked[0]?.owner);

    asked.length = 0;
    const forLuke = await usage({ account: USERS.luke }, true);
    t.strictSame(forLuke.usage, {
        image_uuid: root,
        vm_count: 2,
        vms: [vm, { ...vm, uuid: 'vm1' }],
        dependent_count: 1,
        dependents: [{ image_uuid: second, vm_count: 0 }],
    });
    t.match(asked, [
        { imageUuid: root, limit: 1000, owner: USERS.luke },
        { imageUuid: second, limit: 0, owner: USERS.luke },
    ]);
    t.strictSame((await usage({}, true)).usage.dependents, [
        { image_uuid: first, vm_count: 1500 },
        { image_uuid: second, vm_count: 0 },
    ]);

    for (let i = 0; i < 998; i += 1) await image('more', { origin: root });
    most.inAll = 0;
    const many = await usage({}, true);
    t.equal(many.usage.dependents?.length, 1000);
    t.equal(many.isCut, false);
    t.equal(most.inAll, 4, 'at most four questions at a time');
    await image('one more', { origin: root });
    const more = await usage();
    t.equal(more.usage.dependent_count, 1000);
    t.equal(more.isCut, true);
    t.notOk('truncated' in more.usage);

    const raw = await bench.raw(first);
    const cut = await imageUsage({ ...bench.services, instances }, bench.context(), raw, {
        dependents: false,
    });
    t.equal(cut.usage.vms.length, 1000);
    t.match(cut, { usage: { vm_count: 1500, truncated: true, dependent_count: 1 }, isCut: true });
    t.strictSame(Object.keys(cut.usage), ['image_uuid', 'vm_count', 'vms', 'truncated', 'dependent_count']);
    t.strictSame(
        await refusal(imageUsage(bench.services, bench.context(), raw, { dependents: false })),
        refused(501, 'NotAvailable', 'image usage is not available'),
    );
});

void t.test('a database that cannot be reached', async (t) => {
    const { image, bench, ancestors, dependents } = await makePlanter(t, 'memory');
    const raw = await bench.raw(await image('one', { origin: UNKNOWN }));
    const { database } = bench.memory();
    const unavailable = refused(503, 'ServiceUnavailableError', 'service unavailable');
    const down = async (call: () => Promise<unknown>): Promise<void> => {
        database.unreachable = true;
        t.strictSame(await refusal(call), unavailable);
        database.unreachable = false;
    };
    await down(() => listAncestors(bench.services, bench.context(), raw, 100));
    await down(() => listDependents(bench.services, bench.context(), raw, { depth: 1, onlyActive: false }));
    await down(() => listClones(bench.services, bench.context(), raw));
    t.equal((await ancestors(raw.uuid)).length, 1);
    t.equal(await dependents(raw.uuid), '');
});
