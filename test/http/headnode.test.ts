// imgapi-standalone-create and -reprovision with fakes for the programs of a headnode (operations 3.2).
import t, { type Test } from 'tap';
import { EXIT } from '#lib/cli/imgapiadm/command.js';
import { createInstance, type CreateOrder } from '#lib/cli/scripts/headnode/create.js';
import { reprovisionInstance, type ReprovisionOrder } from '#lib/cli/scripts/headnode/reprovision.js';
import { HeadnodeTools } from '#lib/cli/scripts/headnode/tools.js';
import { STANDALONE_CREATE } from '#lib/cli/scripts/imgapi-standalone-create.js';
import { STANDALONE_REPROVISION } from '#lib/cli/scripts/imgapi-standalone-reprovision.js';
import { makeHeadnode, startZoneServer, type Headnode, type Script } from '../helpers/headnode.js';
import { USERS } from '../helpers/images.js';
import { runHere } from '../helpers/subcommand-run.js';

const OWNER = USERS.vader;
const IMAGE = '10000000-0000-4000-8000-000000000001';
const OLD_IMAGE = '10000000-0000-4000-8000-000000000002';
const PACKAGE = '20000000-0000-4000-8000-000000000001';
const POOL = '30000000-0000-4000-8000-000000000001';
const NETWORK = '30000000-0000-4000-8000-000000000002';
const INSTANCE = '40000000-0000-4000-8000-000000000001';
const JOB = '50000000-0000-4000-8000-000000000001';
const CREATE = 'imgapi-standalone-create';
const REPROVISION = 'imgapi-standalone-reprovision';

/** What a datacenter says that has all that is needed. */
function datacenter(address: string): Script {
    const instance = {
        uuid: INSTANCE,
        alias: 'images',
        owner_uuid: OWNER,
        image_uuid: OLD_IMAGE,
        datasets: [`zones/${INSTANCE}/data`],
        nics: [{ ip: '10.0.0.1' }, { ip: address, primary: true }],
        customer_metadata: { instPubKey: 'ecdsa-sha2-nistp256 AAAA imgapi-images' },
    };
    return {
        'sdc-useradm get': { body: { uuid: OWNER, login: 'vader' } },
        'sdc-papi /packages?': { body: [{ uuid: PACKAGE, name: 'small' }] },
        [`sdc-papi /packages/${PACKAGE}`]: { body: { uuid: PACKAGE, name: 'small' } },
        'sdc-napi /network_pools': {
            body: [
                { uuid: NETWORK, nic_tags_present: ['admin'] },
                { uuid: POOL, nic_tags_present: ['external'] },
            ],
        },
        [`sdc-imgapi /images/${IMAGE}`]: { body: { uuid: IMAGE, name: 'imgapi', public: true } },
        [`sdc-vmapi /vms/${INSTANCE}`]: { body: instance },
        'sdc-vmapi /vms?alias=images': { body: [instance] },
        'sdc-vmapi /vms -X POST': { status: 202, body: { vm_uuid: INSTANCE, job_uuid: JOB } },
        [`sdc-vmapi /vms/${INSTANCE}?action=reprovision`]: {
            status: 202,
            body: { vm_uuid: INSTANCE, job_uuid: JOB },
        },
        [`sdc-vmapi /jobs/${JOB}`]: { body: { execution: 'succeeded' } },
    };
}

function programs(headnode: Headnode): readonly string[] {
    return headnode.calls().map((call) => call.slice(0, 2).join(' '));
}

await t.test('an instance is made', async (t) => {
    const headnode = makeHeadnode(t, datacenter(await startZoneServer(t)));
    const options = ['-m', 'mode=private', '-m', 'mantaUser=images', '-t', 'role=images'];
    const made = await headnode.run(CREATE, ...options, 'vader', IMAGE, 'small', 'images');
    t.strictSame([made.code, made.stderr], [0, '']);
    t.match(made.stdout, `Instance ${INSTANCE} (images) is there: https://127.0.0.1:`);
    t.match(made.stdout, 'Add this key to account "images"');
    t.match(made.stdout, '    ecdsa-sha2-nistp256 AAAA imgapi-images');
    const calls = headnode.calls();
    t.strictSame(calls[0], ['sdc-useradm', 'get', 'vader']);
    t.strictSame(calls[2]?.slice(0, 2), ['sdc-napi', `/network_pools?provisionable_by=${OWNER}`]);
    const post = calls.find((call) => call[2] === '-X');
    t.strictSame(post, [
        ...['sdc-vmapi', '/vms', '-X', 'POST', '-d'],
        {
            brand: 'joyent',
            alias: 'images',
            owner_uuid: OWNER,
            image_uuid: IMAGE,
            billing_id: PACKAGE,
            networks: [{ uuid: POOL, primary: true }],
            delegate_dataset: true,
            tags: { role: 'images' },
            customer_metadata: {
                mode: 'private',
                mantaUser: 'images',
                'user-script': '#!/usr/bin/bash\nexec /opt/smartdc/boot/standalone/user-script\n',
            },
        },
    ]);
});

function createOrder(changes: Partial<CreateOrder> = {}): CreateOrder & { readonly lines: string[] } {
    const lines: string[] = [];
    return {
        owner: OWNER,
        image: IMAGE,
        channel: undefined,
        package: PACKAGE,
        alias: 'images',
        metadata: {},
        tags: {},
        patience: { jobTries: 3, pingTries: 3, pauseMs: 1 },
        signal: new AbortController().signal,
        say: (line) => lines.push(line),
        lines,
        ...changes,
    };
}

await t.test('the newest image, brought here and shared', async (t) => {
    const script = datacenter(await startZoneServer(t, 3));
    const headnode = makeHeadnode(t, {
        ...script,
        sdcadm: { text: 'support\n' },
        'updates-imgadm': {
            body: [
                { uuid: OLD_IMAGE, published_at: '2024-01-01T00:00:00.000Z' },
                { uuid: IMAGE, published_at: '2025-01-01T00:00:00.000Z' },
            ],
        },
        [`sdc-imgapi /images/${IMAGE}`]: { status: 404, body: {} },
        'sdc-imgadm import': { text: '' },
    });
    // The import is what makes it appear; here it does not.
    const missing = `image ${IMAGE} is not one named "imgapi"`;
    await t.rejects(createInstance(headnode.tools, createOrder({ image: 'latest' })), { message: missing });
    const calls = headnode.calls();
    t.strictSame(
        calls.filter(([program]) => ['updates-imgadm', 'sdc-imgadm'].includes(String(program))),
        [
            ['updates-imgadm', '-C', 'support', 'list', 'name=imgapi', '--latest', '-j'],
            ['sdc-imgadm', 'import', IMAGE, '-S', 'https://updates.tritondatacenter.com?channel=support'],
        ],
    );
    headnode.say({
        ...script,
        [`sdc-imgapi /images/${IMAGE}`]: { body: { uuid: IMAGE, name: 'imgapi', public: false, acl: [] } },
        'sdc-imgadm add-acl': { text: '' },
        'sdc-napi /network_pools': { body: [] },
        'sdc-napi /networks': {
            body: [
                { uuid: POOL, nic_tag: 'external', fabric: true },
                { uuid: NETWORK, nic_tag: 'external' },
            ],
        },
    });
    await createInstance(headnode.tools, createOrder());
    const later = headnode.calls();
    t.ok(later.some((call) => call.join(' ') === `sdc-imgadm add-acl ${IMAGE} ${OWNER}`));
    const post = later.find((call) => call[2] === '-X')?.[5];
    t.match(post, { networks: [{ uuid: NETWORK }] }, 'no pool, and no fabric');
});

await t.test('what keeps an instance from being made', async (t) => {
    const script = datacenter('127.0.0.1:1');
    const headnode = makeHeadnode(t, script);
    const rejects = async (
        changes: Script,
        message: RegExp,
        order: Partial<CreateOrder> = {},
    ): Promise<void> => {
        headnode.say({ ...script, ...changes });
        await t.rejects(createInstance(headnode.tools, createOrder(order)), { message });
    };
    await rejects({ 'sdc-useradm get': { failure: 'no such user' } }, /sdc-useradm get .*: no such user$/);
    await rejects({ 'sdc-useradm get': { text: 'nonsense' } }, /prints no JSON$/);
    await rejects({ 'sdc-papi /packages?': { body: [] } }, /no active package named "tiny"/, {
        package: 'tiny',
    });
    await rejects({ [`sdc-papi /packages/${PACKAGE}`]: { status: 404, body: {} } }, /there is no package/);
    const none = { 'sdc-napi /network_pools': { body: [] }, 'sdc-napi /networks': { body: [] } };
    await rejects(none, /may use no network tagged "external"/);
    const refusal = { status: 500, body: { code: 'InternalError', message: 'broken' } };
    await rejects({ 'sdc-napi /network_pools': refusal }, /^napi \/network_pools: broken \(InternalError\)$/);
    await rejects({ 'sdc-napi /network_pools': { body: {} } }, /no list/);
    await rejects({}, /no image: "newest"/, { image: 'newest' });
    t.notOk(programs(headnode).includes('sdc-vmapi /vms'), 'nothing was made');
    await rejects({ 'sdc-vmapi /vms -X POST': refusal }, /^vmapi \/vms: broken/);
    const failed = {
        body: { execution: 'failed', chain_results: [{ error: '' }, { error: { message: 'no room' } }] },
    };
    await rejects({ [`sdc-vmapi /jobs/${JOB}`]: failed }, /: no room$/);
    await rejects({ [`sdc-vmapi /jobs/${JOB}`]: { body: { execution: 'running' } } }, /it has not ended$/);
    await rejects({ [`sdc-vmapi /jobs/${JOB}`]: refusal }, /broken/);
    await rejects({}, /\/ping does not answer/);
    const elsewhere = new HeadnodeTools({ PATH: '/nowhere' });
    const message = 'sdc-useradm is not in PATH: run this in the global zone of the headnode';
    await t.rejects(createInstance(elsewhere, createOrder()), { message });
});

/** What an order of a reprovision says and asks. */
function reprovisionOrder(changes: Partial<ReprovisionOrder> = {}): ReprovisionOrder {
    return {
        instance: 'images',
        image: IMAGE,
        channel: undefined,
        evenIfSame: false,
        patience: { jobTries: 3, pingTries: 3, pauseMs: 1 },
        signal: new AbortController().signal,
        say: () => undefined,
        agree: () => Promise.resolve(true),
        ...changes,
    };
}

async function reprovisioned(test: Test, headnode: Headnode, order: ReprovisionOrder): Promise<boolean> {
    const isDone = await reprovisionInstance(headnode.tools, order);
    const posts = headnode.calls().filter((call) => call[2] === '-X');
    test.ok(posts.length <= 1);
    return isDone && posts.length === 1;
}

await t.test('an instance gets another image', async (t) => {
    const script = datacenter(await startZoneServer(t));
    const headnode = makeHeadnode(t, script);
    const done = await headnode.run(REPROVISION, '-y', 'images', IMAGE);
    t.strictSame([done.code, done.stderr], [0, '']);
    t.match(done.stdout, /answers: reprovisioned in \d+ s, back after \d+ s\n$/);
    const post = headnode.calls().find((call) => call[2] === '-X');
    t.strictSame(post, [
        ...['sdc-vmapi', `/vms/${INSTANCE}?action=reprovision`, '-X', 'POST', '-d'],
        { image_uuid: IMAGE },
    ]);
    t.equal(await reprovisioned(t, headnode, reprovisionOrder({ instance: INSTANCE })), true, 'by uuid');
    const no = { agree: () => Promise.resolve(false) };
    t.equal(await reprovisionInstance(headnode.tools, reprovisionOrder(no)), false);
    t.notOk(
        headnode.calls().some((call) => call[2] === '-X'),
        'not against the will of the operator',
    );

    const same = {
        uuid: INSTANCE,
        alias: 'images',
        owner_uuid: OWNER,
        image_uuid: IMAGE,
        delegate_dataset: true,
    };
    const nics = [
        { ip: (script[`sdc-vmapi /vms/${INSTANCE}`]?.body as { nics: { ip: string }[] }).nics[1]?.ip },
    ];
    const sameScript = {
        ...script,
        'sdc-vmapi /vms?alias=images': { body: [same] },
        [`sdc-vmapi /vms/${INSTANCE}`]: { body: { ...same, nics } },
    };
    headnode.say(sameScript);
    t.equal(await reprovisioned(t, headnode, reprovisionOrder()), false, 'it has the image');
    t.equal(await reprovisioned(t, headnode, reprovisionOrder({ evenIfSame: true })), true, 'all the same');

    const rejects = async (changes: Script, message: RegExp): Promise<void> => {
        headnode.say({ ...script, ...changes });
        await t.rejects(reprovisionInstance(headnode.tools, reprovisionOrder()), { message });
    };
    await rejects({ 'sdc-useradm get': { body: { uuid: OWNER, login: 'admin' } } }, /belongs to "admin"/);
    const bare = { uuid: INSTANCE, owner_uuid: OWNER, datasets: [] };
    await rejects({ 'sdc-vmapi /vms?alias=images': { body: [bare] } }, /no delegated dataset/);
    await rejects({ 'sdc-vmapi /vms?alias=images': { body: [] } }, /no instance named "images"/);
    await rejects({ 'sdc-vmapi /vms?alias=images': { body: [bare, bare] } }, /more than one instance/);
    t.notOk(headnode.calls().some((call) => call[2] === '-X'));
});

await t.test('command lines', async (t) => {
    const headnode = makeHeadnode(t, {});
    const scripts = { [CREATE]: STANDALONE_CREATE, [REPROVISION]: STANDALONE_REPROVISION };
    for (const [name, ...args] of [
        [CREATE, 'vader', IMAGE, 'small'],
        [CREATE, 'vader', IMAGE, 'small', 'images', 'more'],
        [CREATE, 'vader', IMAGE, 'small', 'images.example.com'],
        [CREATE, 'vader', IMAGE, 'small', 'images', '-m', 'mode'],
        [REPROVISION, 'images'],
        [REPROVISION, 'images', IMAGE, 'more', '-y'],
    ] as const) {
        const { code, stderr } = await runHere(scripts[name], args);
        t.equal(code, EXIT.usage, `${[name, ...args].join(' ')}: ${stderr.join()}`);
    }
    const { code, stderr } = await headnode.run(REPROVISION, 'images', IMAGE);
    t.equal(code, 1);
    t.match(stderr, `${REPROVISION}: error: there is no terminal to ask on`);
    t.strictSame(headnode.calls(), [], 'nothing was asked');
});
