// What CreateImageFromVm refuses (jobs-and-imports 1.2).
import t from 'tap';
import { startDatacenter } from '../helpers/datacenter.js';
import {
    createFromVm,
    endOfJob,
    imageOf,
    OLD_NODE,
    PROTO,
    PROTOS,
    started,
    startInstances,
    YOUNG_NODE,
} from '../helpers/from-vm.js';
import type { Document } from '../helpers/http-client.js';
import { NOBODY, UNKNOWN, USERS } from '../helpers/images.js';
import {
    badAccount,
    expectError,
    extraParameters,
    invalidImage,
    invalidParameter,
    missing,
    notBoolean,
    notFound,
    post,
    runErrorRows,
    uuidExists,
    validationFailed,
    type ErrorRow,
    type ExpectedError,
} from '../helpers/rows.js';
import { eventually } from '../helpers/server-process.js';
import { startServer } from '../helpers/start-server.js';

const { luke, vader } = USERS;
const NOT_AVAILABLE: ExpectedError = {
    status: 501,
    code: 'NotAvailable',
    message: 'custom image creation is not currently available',
};

const instances = await startInstances(t);
const { vmapi, cnapi } = instances;
const dc = await startDatacenter(t, {
    images: PROTOS,
    config: instances.config,
});
const { client, server } = dc;
const vm = instances.add();

function unavailable(message: string): ExpectedError {
    return { status: 503, code: 'ServiceUnavailableError', message };
}

function noDetails(uuid: string): ExpectedError {
    return invalidParameter(`could not get VM "${uuid}" details`, ['vm_uuid', 'Invalid']);
}

const manifest = { name: 'custom', version: '1.2.3', owner: luke };
const from = (uuid: string, query = ''): string => `/images?action=create-from-vm&vm_uuid=${uuid}${query}`;

await t.test('what is refused', async (t) => {
    const depth = (value: string, message: string): ErrorRow =>
        post(
            from(vm.uuid, `&max_origin_depth=${value}`),
            undefined,
            invalidParameter(`max_origin_depth query param, ${message}`, ['max_origin_depth', 'Invalid']),
        );
    const noBody = validationFailed('missing request body (image manifest)', missing('body'));
    const good = from(vm.uuid);
    const noUuid = "invalid 'vm_uuid': not a UUID: 'x'";
    await runErrorRows(
        t,
        client,
        [
            post(
                '/images?action=create-from-vm&incremental=x',
                undefined,
                validationFailed("missing 'vm_uuid' parameter", missing('vm_uuid')),
            ),
            post(from('x', '&incremental=x'), undefined, invalidParameter(noUuid, ['vm_uuid', 'Invalid'])),
            post(
                from(vm.uuid, '&incremental=x&max_origin_depth=x'),
                undefined,
                notBoolean('incremental', 'x'),
            ),
            depth('x', '"x", is not a number'),
            depth('1', '1, must be greater than 1'),
            depth('-5', '-5, must be greater than 1'),
            post(from(vm.uuid, '&account=x'), undefined, noBody),
            post(good, [], noBody),
            post(good, 5, noBody),
            post(from(vm.uuid, '&account=x'), manifest, badAccount('x')),
            post(
                from(vm.uuid, `&account=${vader}`),
                manifest,
                invalidParameter(
                    `invalid owner: given owner, "${luke}", does not match account, "${vader}"`,
                    ['owner', 'Invalid'],
                ),
            ),
            post(
                good,
                { ...manifest, owner: undefined },
                validationFailed('invalid image data: owner', missing('owner')),
            ),
            post(
                good,
                { ...manifest, owner: 'x' },
                validationFailed('invalid image data: owner', ['owner', 'Invalid']),
            ),
            post(from(UNKNOWN), { ...manifest, uuid: PROTO.lx }, uuidExists(PROTO.lx)),
            post(from(UNKNOWN), manifest, noDetails(UNKNOWN)),
            post(from(vm.uuid, `&account=${vader}`), { ...manifest, owner: vader }, noDetails(vm.uuid)),
            post(
                good,
                { ...manifest, owner: UNKNOWN, name: undefined },
                {
                    status: 422,
                    code: 'OwnerDoesNotExist',
                    message: `owner "${UNKNOWN}" does not exist`,
                },
            ),
            post(
                good,
                { ...manifest, name: undefined, version: undefined },
                invalidImage(missing('name'), missing('version')),
            ),
            post(
                good,
                { ...manifest, uuid: 'x', name: undefined },
                invalidImage(['uuid', 'Invalid'], missing('name')),
            ),
            post(good, { ...manifest, odd: 1, urn: 'a:b:c:d' }, extraParameters('odd', 'urn')),
            post(
                good,
                { ...manifest, origin: UNKNOWN },
                {
                    status: 422,
                    code: 'OriginDoesNotExist',
                    message: `origin image "${UNKNOWN}" does not exist`,
                },
            ),
        ].map((row) => row),
    );
    t.equal(cnapi.tasks.length, 0);
});

await t.test('instances no image can be made of', async (t) => {
    const notSupported = (
        os: string,
        uuid: string,
        image: string,
        when = 'currently supported',
    ): ExpectedError => ({
        status: 501,
        code: 'NotAvailable',
        message: `image creation for OS "${os}" is not ${when} (VM ${uuid}, origin image ${image})`,
    });
    const noServer = (uuid: string): ExpectedError => ({
        status: 500,
        code: 'InternalError',
        message: `could not get server "${uuid}" details`,
    });
    const rows: readonly (readonly [more: Document, expected: (uuid: string) => ExpectedError])[] = [
        [{ server_uuid: UNKNOWN, docker: true }, () => noServer(UNKNOWN)],
        [{ server_uuid: null }, () => noServer('undefined')],
        [
            { server_uuid: OLD_NODE, docker: true },
            (uuid) => ({
                status: 422,
                code: 'InsufficientServerVersion',
                message:
                    `cannot create an image from VM ${uuid} because it resides on a server of ` +
                    'insufficient version, min version is 7.0/20130917T001310Z',
            }),
        ],
        [
            { server_uuid: YOUNG_NODE, docker: true, image_uuid: null },
            () => invalidParameter('cannot create an image from a Docker container', ['vm_uuid', 'Invalid']),
        ],
        [
            { image_uuid: null },
            (uuid) => ({
                status: 500,
                code: 'InternalError',
                message: `could not determine image_uuid for VM ${uuid}`,
            }),
        ],
        [{ image_uuid: UNKNOWN }, () => notFound(`image ${UNKNOWN} not found`)],
        [
            { brand: 'bhyve', disks: [{}, { image_uuid: UNKNOWN }] },
            () => notFound(`image ${UNKNOWN} not found`),
        ],
        [{ image_uuid: PROTO.illumos }, (uuid) => notSupported('illumos', uuid, PROTO.illumos)],
        [
            { brand: 'kvm', disks: [{ image_uuid: PROTO.oldWindows }] },
            (uuid) =>
                notSupported(
                    'windows',
                    uuid,
                    PROTO.oldWindows,
                    'supported for KVM images older than 2018-10-15',
                ),
        ],
    ];
    for (const [more, expected] of rows) {
        const one = instances.add(more);
        // Neither the owner nor the manifest is looked at before.
        const answer = await createFromVm(client, one, { owner: UNKNOWN, odd: 1 });
        expectError(t, answer, expected(one.uuid), JSON.stringify(more));
    }
    const fine = instances.add({
        brand: 'kvm',
        disks: [{ image_uuid: PROTO.windows }],
        server_uuid: YOUNG_NODE,
    });
    const answer = await createFromVm(client, fine, { odd: 1 });
    expectError(t, answer, extraParameters('odd'), 'a newer Windows on a newer platform');
    t.equal(cnapi.tasks.length, 0);
    t.strictSame((await client.get('/images?state=creating')).list, []);
});

await t.test('services that fail', async (t) => {
    for (const fault of ['unavailable', 'hang-up', 'garbage'] as const) {
        vmapi.fault = fault;
        expectError(t, await createFromVm(client, vm), unavailable('VMAPI is unavailable'), fault);
        vmapi.fault = 'none';
        cnapi.fault = fault;
        const { server_uuid: node } = vm;
        const message = `could not get server "${node}" details`;
        expectError(
            t,
            await createFromVm(client, vm),
            { status: 500, code: 'InternalError', message },
            fault,
        );
        cnapi.fault = 'none';
    }
});

await t.test('servers that cannot do it', async (t) => {
    const config = { ...instances.config, cnapi: undefined };
    const without = await startDatacenter(t, { images: [], config });
    expectError(t, await without.client.post('/images?action=create-from-vm'), NOT_AVAILABLE, 'no CNAPI');

    server.writeConfig({ allowLocalCreateImageFromVm: false });
    server.signal('SIGHUP');
    const answer = await eventually('the new configuration', 10_000, async () => {
        const now = await client.post('/images?action=create-from-vm');
        return now.status === 501 ? now : undefined;
    });
    expectError(t, answer, NOT_AVAILABLE, 'neither Manta nor leave to do without');
});

await t.test('outside a datacenter', async (t) => {
    const protos = PROTOS.map((one) => ({ ...one, public: false }));
    const { client } = await startServer(t, { ...instances.config, authType: 'none' }, protos);
    const { image, job } = await started(createFromVm(client, vm));
    t.equal((await endOfJob(client, job))['execution'], 'succeeded');
    t.match(await imageOf(client, image), { state: 'active', os: 'smartos', owner: NOBODY });
});
