import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { HttpService, sendJson, type ServedRequest } from '../http-service.js';
import { makeImage, NodeFailure, type ImagePayload, type NodePlan } from './compute-node.js';

/** A compute node as CNAPI describes it. */
export interface NodeRecord {
    readonly uuid: string;
    readonly sysinfo?: Readonly<Record<string, unknown>>;
    readonly current_platform?: string;
}

interface TaskEvent {
    readonly name: string;
    readonly timestamp: string;
    readonly event: unknown;
}

/** What a node was told to do. */
export interface Task {
    readonly id: string;
    readonly server_uuid: string;
    readonly vm_uuid: string;
    readonly payload: ImagePayload;
    /** Id of the request that brought it. */
    readonly requestId: string | undefined;
    status: 'active' | 'complete' | 'failure';
    readonly history: TaskEvent[];
}

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
    compression: (value) => typeof value === 'string',
    imgapi_url: (value) => typeof value === 'string',
    manifest: (value) => typeof value === 'object' && value !== null,
};

function notFound(response: ServerResponse, what: string): void {
    sendJson(response, 404, { code: 'ResourceNotFound', message: `${what} not found` });
}

/** CNAPI and its compute nodes, as far as IMGAPI has to do with them (jobs-and-imports 1.7, 1.8), over real HTTP. */
export class CnapiDouble extends HttpService {
    readonly nodes: NodeRecord[] = [];
    readonly tasks: Task[] = [];
    /** What nodes do with the next tasks. */
    plan: NodePlan = { file: Buffer.from('bytes of an image') };
    /** Whether it says which task it has made of a request. */
    answersTasks = true;
    /** Further entries in the log of a task's end. */
    log: readonly unknown[] = [];
    /** So many of the next questions for tasks are answered so. */
    taskFaults: { status: 404 | 500 | 503; times: number } = { status: 503, times: 0 };
    readonly #imageOf: (vmUuid: string) => string;

    /** @param imageOf the image an instance was made from */
    constructor(imageOf: (vmUuid: string) => string) {
        super((request, response) => this.#answer(request, response));
        this.#imageOf = imageOf;
    }

    #answer({ method, path, body, headers }: ServedRequest, response: ServerResponse): void {
        const [, top, id, ...rest] = path.split('/').map(decodeURIComponent);
        const requestId = headers['x-request-id'];
        if (method === 'GET' && top === 'servers' && rest.length === 0) {
            const node = this.nodes.find(({ uuid }) => uuid === id);
            if (node === undefined) notFound(response, 'Server');
            else sendJson(response, 200, node);
        } else if (method === 'GET' && top === 'tasks' && rest.length === 0) {
            this.#tell(id, response);
        } else if (method === 'POST' && top === 'servers' && rest[0] === 'vms' && rest[2] === 'images') {
            this.#take(id, rest[1], { body, requestId: String(requestId) }, response);
        } else {
            notFound(response, path);
        }
    }

    #tell(id: string | undefined, response: ServerResponse): void {
        const task = this.tasks.find((one) => one.id === id);
        const { status, times } = this.taskFaults;
        if (times > 0) {
            this.taskFaults = { status, times: times - 1 };
            if (status === 404) notFound(response, 'Task');
            else sendJson(response, status, { code: 'InternalError', message: 'moray is down' });
        } else if (task === undefined) {
            notFound(response, 'Task');
        } else {
            const { history } = task;
            sendJson(response, 200, { id, status: task.status, history, server_uuid: task.server_uuid });
        }
    }

    #take(
        server = '',
        vm = '',
        { body, requestId }: { readonly body: string; readonly requestId: string },
        response: ServerResponse,
    ): void {
        if (!this.nodes.some(({ uuid }) => uuid === server)) {
            notFound(response, 'Server');
            return;
        }
        const payload = JSON.parse(body) as ImagePayload & Readonly<Record<string, unknown>>;
        const errors = Object.entries(TYPES)
            .filter(([field, fits]) => !fits(payload[field]))
            .map(([field]) => ({ field, code: 'InvalidParameter', message: 'wrong type' }));
        if (errors.length > 0) {
            sendJson(response, 409, { code: 'ValidationFailed', message: 'Invalid Parameters', errors });
            return;
        }
        const facts = { server_uuid: server, vm_uuid: vm, payload, requestId };
        const task: Task = { id: randomUUID(), ...facts, status: 'active', history: [] };
        this.tasks.push(task);
        void this.#run(task);
        if (this.answersTasks) sendJson(response, 202, { id: task.id });
    }

    async #run(task: Task): Promise<void> {
        const note = (name: string, event: unknown): void => {
            task.history.push({ name, timestamp: new Date().toISOString(), event });
        };
        note('start', {});
        try {
            await makeImage(task.payload, this.#imageOf(task.vm_uuid), this.plan);
            note('finish', { log: this.log });
            task.status = 'complete';
        } catch (error) {
            note('error', error instanceof NodeFailure ? error.event : { error: String(error) });
            note('finish', { log: this.log });
            task.status = 'failure';
        }
    }
}
