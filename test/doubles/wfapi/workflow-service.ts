import type { ServerResponse } from 'node:http';
import { DoubleProcess } from '../double-process.js';
import { HttpService, sendJson, type ServedRequest } from '../http-service.js';

/** Globals of the tasks. */
export interface SandboxUrls {
    readonly imgapiUrl?: string;
    readonly vmapiUrl?: string;
    readonly cnapiUrl?: string;
}

/**
 * A real workflow service in a process of its own, behind a server that passes everything on and can be
 * made to fail: its `url` is the one to configure.
 */
export class WorkflowServiceProcess extends HttpService {
    /** Whether a ping says that the jobs cannot be reached. */
    isBackendDown = false;
    /** Answers so instead of the service, where it says something. */
    intercept: (request: ServedRequest) => { readonly status: number; readonly body: unknown } | undefined =
        () => undefined;
    /** Whether the connection is cut instead of passing on what the service has answered. */
    loses: (request: ServedRequest) => boolean = () => false;
    readonly #process: DoubleProcess;

    private constructor(process: DoubleProcess) {
        super((request, response) => void this.#pass(request, response));
        this.#process = process;
    }

    /** Starts both; fails with the process's output if it ends first. */
    static async launch(): Promise<WorkflowServiceProcess> {
        const process = await DoubleProcess.start({
            main: new URL('main.js', import.meta.url),
            switches: [],
            messages: true,
        });
        const service = new WorkflowServiceProcess(process);
        await service.start();
        return service;
    }

    /** Tells the tasks where to go. */
    aim(urls: SandboxUrls): void {
        this.#process.child.send(urls);
    }

    /** Ends both for good. */
    async end(): Promise<void> {
        await this.stop();
        await this.#process.end('SIGKILL');
    }

    /** What the service itself answers to a GET. */
    async get<T>(path: string): Promise<T> {
        return (await (await fetch(`http://127.0.0.1:${this.#process.port}${path}`)).json()) as T;
    }

    async #pass(request: ServedRequest, response: ServerResponse): Promise<void> {
        const own =
            this.isBackendDown && request.path === '/ping'
                ? { status: 200, body: { pid: 1, backend: 'down', backend_error: 'no connection' } }
                : this.intercept(request);
        if (own !== undefined) {
            sendJson(response, own.status, own.body);
            return;
        }
        try {
            const answer = await fetch(`http://127.0.0.1:${this.#process.port}${request.target}`, {
                method: request.method,
                headers: {
                    'accept-version': '*',
                    ...(request.body === '' ? {} : { 'content-type': 'application/json' }),
                },
                ...(request.body === '' ? {} : { body: request.body }),
            });
            const total = answer.headers.get('x-count');
            const body: unknown = await answer.json().catch(() => ({}));
            if (this.loses(request)) {
                response.destroy();
                return;
            }
            sendJson(response, answer.status, body, total === null ? {} : { 'x-count': total });
        } catch {
            response.destroy();
        }
    }
}
