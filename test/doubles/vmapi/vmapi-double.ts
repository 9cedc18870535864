import type { ServerResponse } from 'node:http';
import { HttpService, sendJson, type ServedRequest } from '../http-service.js';

/** An instance as VMAPI keeps it; further keys are sent as they are. */
export interface Vm {
    readonly uuid: string;
    readonly image_uuid?: string;
    readonly owner_uuid: string;
    readonly state: string;
    readonly alias?: string | null;
    readonly brand?: string;
    readonly server_uuid?: string | null;
    readonly tags?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const WHOLE_NUMBER = /^\d+$/;
const MAX_LIMIT = 1000;
const FIELDS = [
    'uuid',
    'alias',
    'owner_uuid',
    'state',
    'brand',
    'server_uuid',
    'image_uuid',
    'disks',
    'kernel_version',
    'docker',
];
const STATES = ['active', 'running', 'stopped', 'provisioning', 'failed', 'destroyed'];
/** What `state=active` leaves out. */
const GONE = ['failed', 'destroyed'];

/** Tells whether the value of a parameter will do. */
const RULES: Readonly<Record<string, (value: string) => boolean>> = {
    image_uuid: (value) => UUID.test(value),
    owner_uuid: (value) => UUID.test(value),
    state: (value) => STATES.includes(value),
    fields: (value) => value.split(',').every((field) => FIELDS.includes(field)),
    limit: (value) => WHOLE_NUMBER.test(value) && Number(value) >= 1 && Number(value) <= MAX_LIMIT,
    offset: (value) => WHOLE_NUMBER.test(value),
    'tag.manta_role': (value) => value !== '',
};

/** VMAPI, as far as IMGAPI asks it (jobs-and-imports 8.7, 10), over real HTTP. */
export class VmapiDouble extends HttpService {
    readonly vms: Vm[] = [];
    /** Whether lists tell the total in a header. */
    tellsTotal = true;

    constructor() {
        super((request, response) => this.#answer(request, response));
    }

    #answer(request: ServedRequest, response: ServerResponse): void {
        const [, top, uuid, ...rest] = request.path.split('/');
        if (request.method !== 'GET' || top !== 'vms' || rest.length > 0) {
            const message = `${request.path} does not exist`;
            sendJson(response, 404, { code: 'ResourceNotFound', message });
            return;
        }
        const errors = [...request.query]
            .filter(([name, value]) => RULES[name]?.(value) !== true)
            .map(([field]) => ({ field, code: 'Invalid', message: 'Invalid' }));
        if (errors.length > 0) {
            sendJson(response, 409, { code: 'ValidationFailed', message: 'Invalid Parameters', errors });
        } else if (uuid === undefined) {
            this.#list(request.query, response);
        } else {
            this.#one(uuid, request.query, response);
        }
    }

    #list(query: URLSearchParams, response: ServerResponse): void {
        const wanted = (vm: Vm): boolean =>
            ['image_uuid', 'owner_uuid'].every((key) => !query.has(key) || vm[key] === query.get(key)) &&
            [...query]
                .filter(([name]) => name.startsWith('tag.'))
                .every(([name, value]) => vm.tags?.[name.slice('tag.'.length)] === value) &&
            (!query.has('state') ||
                (query.get('state') === 'active'
                    ? !GONE.includes(vm.state)
                    : vm.state === query.get('state')));
        const found = this.vms.filter(wanted);
        const offset = Number(query.get('offset') ?? 0);
        const page = found.slice(offset, offset + Number(query.get('limit') ?? MAX_LIMIT));
        const fields = query.get('fields')?.split(',');
        const shown =
            fields === undefined
                ? page
                : page.map((vm) => Object.fromEntries(fields.map((field) => [field, vm[field]])));
        const total = { 'x-joyent-resource-count': String(found.length) };
        sendJson(response, 200, shown, this.tellsTotal ? total : {});
    }

    #one(uuid: string, query: URLSearchParams, response: ServerResponse): void {
        const owner = query.get('owner_uuid');
        const vm = this.vms.find((one) => one.uuid === uuid && (owner ?? one.owner_uuid) === one.owner_uuid);
        if (vm === undefined) {
            sendJson(response, 404, { code: 'ResourceNotFound', message: 'VM not found' });
        } else {
            sendJson(response, 200, vm);
        }
    }
}
