import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { HttpService, sendJson, type ServedRequest } from '../http-service.js';

/** An application or a service as SAPI keeps it. */
export interface SapiRecord {
    readonly uuid: string;
    readonly name: string;
    readonly owner_uuid: string;
    /** Of a service. */
    readonly application_uuid?: string;
    readonly type?: string;
    readonly params: object;
    metadata: Readonly<Record<string, unknown>>;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const ACTIONS = ['update', 'replace', 'delete'];
/** What a change may be of. */
const ATTRIBUTES = ['action', 'params', 'metadata', 'manifests', 'owner_uuid'];
const FILTERS: Readonly<Record<string, readonly string[]>> = {
    applications: ['name', 'owner_uuid'],
    services: ['name', 'application_uuid', 'type'],
};

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
    sendJson(response, status, { code, message });
}

function parsed(body: string): unknown {
    try {
        return JSON.parse(body);
    } catch {
        return undefined;
    }
}

/** SAPI, as far as set-up scripts ask and tell it (operations 3.1), over real HTTP. */
export class SapiDouble extends HttpService {
    readonly applications: SapiRecord[] = [];
    readonly services: SapiRecord[] = [];
    /** The next change is refused with this. */
    refusal: { readonly status: number; readonly code: string; readonly message: string } | undefined;

    /** Told of each change before it is made. */
    onChange: (() => void) | undefined;

    constructor() {
        super((request, response) => this.#answer(request, response));
    }

    addApplication(name: string, metadata: Fields = {}): SapiRecord {
        const uuid = randomUUID();
        const application = { uuid, name, owner_uuid: randomUUID(), params: {}, metadata };
        this.applications.push(application);
        return application;
    }

    addService(application: SapiRecord, name: string, metadata: Fields = {}): SapiRecord {
        const { uuid: application_uuid, owner_uuid } = application;
        const uuid = randomUUID();
        const service = { uuid, name, application_uuid, owner_uuid, type: 'vm', params: {}, metadata };
        this.services.push(service);
        return service;
    }

    #answer(request: ServedRequest, response: ServerResponse): void {
        const [, kind = '', uuid, ...rest] = request.path.split('/');
        const records = { applications: this.applications, services: this.services }[kind];
        if (records === undefined || rest.length > 0) {
            refuse(response, 404, 'ResourceNotFound', `${request.path} does not exist`);
        } else if (!['~1', '~2'].includes(String(request.headers['accept-version']))) {
            refuse(
                response,
                400,
                'InvalidVersion',
                `${request.method} ${request.path} supports 1.0.0, 2.0.0`,
            );
        } else if (request.method === 'GET' && uuid === undefined) {
            this.#list(kind, records, request, response);
        } else if (request.method === 'PUT' && uuid !== undefined) {
            this.onChange?.();
            this.#change(records, uuid, parsed(request.body), response);
        } else {
            refuse(response, 405, 'MethodNotAllowed', `${request.method} is not allowed`);
        }
    }

    #list(
        kind: string,
        records: readonly SapiRecord[],
        { query, headers }: ServedRequest,
        response: ServerResponse,
    ): void {
        const filters = [...query];
        const bad = filters.find(
            ([key, value]) =>
                FILTERS[kind]?.includes(key) !== true || (key.endsWith('_uuid') && !UUID.test(value)),
        );
        if (bad !== undefined) {
            refuse(response, 409, 'InvalidArgument', `${bad[0]} is not valid`);
            return;
        }
        const found = records.filter((record) =>
            filters.every(([key, value]) => (record as unknown as Fields)[key] === value),
        );
        // The first version knows no kinds of services.
        const shown =
            headers['accept-version'] === '~2' ? found : found.map((one) => ({ ...one, type: undefined }));
        sendJson(response, 200, shown);
    }

    #change(records: readonly SapiRecord[], uuid: string, body: unknown, response: ServerResponse): void {
        const record = records.find((one) => one.uuid === uuid);
        const { action = 'update', metadata = {} } = isFields(body) ? body : {};
        const { refusal } = this;
        this.refusal = undefined;
        if (record === undefined) {
            refuse(response, 404, 'ObjectNotFound', `No such service with uuid: ${uuid}`);
        } else if (refusal !== undefined) {
            refuse(response, refusal.status, refusal.code, refusal.message);
        } else if (!isFields(body) || Object.keys(body).some((key) => !ATTRIBUTES.includes(key))) {
            refuse(response, 409, 'InvalidArgument', 'unknown attributes');
        } else if (!ACTIONS.includes(String(action))) {
            refuse(response, 409, 'InvalidArgument', `invalid action: ${String(action)}`);
        } else if (!isFields(metadata)) {
            refuse(response, 409, 'InvalidArgument', 'metadata must be an object');
        } else {
            record.metadata = changed(record.metadata, String(action), metadata);
            sendJson(response, 200, record);
        }
    }
}

function changed(old: Fields, action: string, change: Fields): Fields {
    switch (action) {
        case 'replace':
            return change;
        case 'delete':
            return Object.fromEntries(Object.entries(old).filter(([key]) => !(key in change)));
        default:
            return { ...old, ...change };
    }
}
