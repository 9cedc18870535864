import { randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import { CnapiDouble } from '../doubles/cnapi/cnapi-double.js';
import { VmapiDouble, type Vm } from '../doubles/vmapi/vmapi-double.js';
import type { Answer, Document, HttpClient } from './http-client.js';
import { gzipFile, USERS, type Fixture } from './images.js';
import { eventually } from './server-process.js';

export const NODE = '564d0000-0000-4000-8000-000000000001';
export const OLD_NODE = '564d0000-0000-4000-8000-000000000002';
export const YOUNG_NODE = '564d0000-0000-4000-8000-000000000003';

const ENDED = ['succeeded', 'failed', 'canceled'];
const JOB_LIMIT_MS = 30_000;

function proto(uuid: string, name: string, more: Document): Fixture {
    return {
        uuid,
        name,
        owner: USERS.sdc,
        public: true,
        activated: true,
        published_at: '2015-01-01T00:00:00.000Z',
        file: gzipFile(name),
        more,
    };
}

const zvol = {
    type: 'zvol',
    nic_driver: 'virtio',
    disk_driver: 'virtio',
    cpu_type: 'host',
    image_size: 10240,
};

/** Images that instances were made from. */
export const PROTO = {
    smartos: '20000000-0000-4000-8000-000000000001',
    lx: '20000000-0000-4000-8000-000000000002',
    oldWindows: '20000000-0000-4000-8000-000000000003',
    windows: '20000000-0000-4000-8000-000000000004',
    illumos: '20000000-0000-4000-8000-000000000005',
    bsd: '20000000-0000-4000-8000-000000000006',
} as const;

export const PROTOS: readonly Fixture[] = [
    proto(PROTO.smartos, 'smartos', {
        requirements: { min_platform: { '7.0': '20141030T081701Z' } },
        users: [{ name: 'admin' }],
        generate_passwords: true,
    }),
    proto(PROTO.lx, 'lx', { type: 'lx-dataset', os: 'linux', requirements: { brand: 'lx' } }),
    proto(PROTO.oldWindows, 'old-windows', { ...zvol, os: 'windows', requirements: { brand: 'kvm' } }),
    {
        ...proto(PROTO.windows, 'windows', { ...zvol, os: 'windows', requirements: { brand: 'kvm' } }),
        published_at: '2018-10-15T00:00:00.000Z',
    },
    proto(PROTO.illumos, 'illumos', { os: 'illumos' }),
    proto(PROTO.bsd, 'bsd', { ...zvol, os: 'bsd' }),
];

/** An instance. */
export function makeVm(more: Partial<Vm> = {}): Vm {
    return {
        uuid: randomUUID(),
        owner_uuid: USERS.luke,
        state: 'running',
        brand: 'joyent',
        alias: 'a vm',
        image_uuid: PROTO.smartos,
        server_uuid: NODE,
        ...more,
    };
}

/** VMAPI with instances, and CNAPI with their compute nodes. */
export interface Instances {
    readonly vmapi: VmapiDouble;
    readonly cnapi: CnapiDouble;
    /** What a server needs to ask them. */
    readonly config: Document;
    add(more?: Partial<Vm>): Vm;
}

/** Starts the services that know of instances; they are stopped after a server started later. */
export async function startInstances(t: Test): Promise<Instances> {
    const vmapi = await new VmapiDouble().start();
    const imageOf = (uuid: string): string =>
        vmapi.vms.find((vm) => vm.uuid === uuid)?.image_uuid ?? PROTO.smartos;
    const cnapi = await new CnapiDouble(imageOf).start();
    t.teardown(async () => {
        await vmapi.stop();
        await cnapi.stop();
    });
    const recent = { 'SDC Version': '7.0', 'Live Image': '20200101T000000Z' };
    cnapi.nodes.push(
        { uuid: NODE, sysinfo: recent, current_platform: '20200101T000000Z' },
        { uuid: OLD_NODE, sysinfo: { ...recent }, current_platform: '20130917T001309Z' },
        { uuid: YOUNG_NODE, sysinfo: { 'SDC Version': '10.0' }, current_platform: '20000101T000000Z' },
    );
    return {
        vmapi,
        cnapi,
        config: {
            vmapi: { url: vmapi.url },
            cnapi: { url: cnapi.url },
            allowLocalCreateImageFromVm: true,
        },
        add: (more) => {
            const vm = makeVm(more);
            vmapi.vms.push(vm);
            return vm;
        },
    };
}

/** Asks for an image of an instance. */
export function createFromVm(
    client: HttpClient,
    vm: Pick<Vm, 'uuid'>,
    body: Document = {},
    query = '',
): Promise<Answer> {
    const manifest = { name: 'custom', version: '1.2.3', owner: USERS.luke, ...body };
    return client.post(`/images?action=create-from-vm&vm_uuid=${vm.uuid}${query}`, manifest);
}

/** As {@link createFromVm}, which must succeed. */
export async function started(answer: Promise<Answer>): Promise<{ image: string; job: string }> {
    const { status, text, document } = await answer;
    if (status !== 200) throw new Error(`create-from-vm: ${status} ${text}`);
    return { image: String(document['image_uuid']), job: String(document['job_uuid']) };
}

export async function jobOf(client: HttpClient, uuid: string): Promise<Document> {
    return (await client.get(`/jobs/${uuid}`)).document;
}

export async function imageOf(client: HttpClient, uuid: string): Promise<Document> {
    return (await client.get(`/images/${uuid}`)).document;
}

/** A job when its work and what follows from it are done. */
export function endOfJob(client: HttpClient, uuid: string): Promise<Document> {
    return eventually(`the end of job ${uuid}`, JOB_LIMIT_MS, async () => {
        const job = await jobOf(client, uuid);
        return ENDED.includes(String(job['execution'])) && job['runner_id'] === null ? job : undefined;
    });
}

/** Names and results of the steps of a job, or their errors. */
export function steps(job: Document, which = 'chain_results'): readonly (readonly [string, unknown])[] {
    const results = job[which] as readonly {
        name: string;
        result: string;
        error: '' | { message: string };
    }[];
    return results.map(({ name, result, error }) => [name, error === '' ? result : error.message]);
}
