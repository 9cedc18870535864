import { createServer, type Server, type ServerResponse } from 'node:http';
import type Logger from 'bunyan';
import { resourceNotFound } from '../base/errors.js';
import { listenOn } from './listen.js';
import type { RequestMetrics } from './metrics.js';

/** Exactly this; a charset would be one more parameter to trip over (operations 1.8). */
const METRICS_TYPE = 'text/plain; version=0.0.4';

const REQUEST_TIMEOUT_MS = 30_000;

function send(response: ServerResponse, status: number, type: string, text: string, head: boolean): void {
    response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) });
    response.end(head ? undefined : text);
}

/** Serves `GET /metrics` on an address and port of its own (operations 1.8, http-api 3.26). */
export class MetricsListener {
    readonly #server: Server;
    readonly #metrics: RequestMetrics;
    readonly #log: Logger;

    constructor(options: { readonly metrics: RequestMetrics; readonly log: Logger }) {
        this.#metrics = options.metrics;
        this.#log = options.log.child({ component: 'metrics' });
        this.#server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
            response.on('error', (error) => this.#log.debug({ err: error }, 'metrics reader has gone'));
            void this.#answer(request.method ?? '', request.url ?? '', response);
            request.resume();
        });
        this.#server.setTimeout(REQUEST_TIMEOUT_MS);
    }

    /** Starts to listen; resolves to the port. @throws the system's error, e.g. `EADDRINUSE` */
    async listen(port: number, address: string): Promise<number> {
        return listenOn(this.#server, port, address, (error) =>
            this.#log.error({ err: error }, 'metrics listener failed'),
        );
    }

    /** Stops listening and cuts all connections. */
    async close(): Promise<void> {
        if (!this.#server.listening) {
            return;
        }
        await new Promise<void>((resolve) => {
            this.#server.close(() => resolve());
            this.#server.closeAllConnections();
        });
    }

    async #answer(method: string, target: string, response: ServerResponse): Promise<void> {
        const path = target.split('?', 1)[0] ?? '';
        const head = method === 'HEAD';
        try {
            if (path === '/metrics' && (head || method === 'GET')) {
                send(response, 200, METRICS_TYPE, await this.#metrics.text(), head);
            } else {
                const error = resourceNotFound(`${path} does not exist`);
                send(
                    response,
                    error.status,
                    'application/json',
                    JSON.stringify(error.toBody(), null, 2),
                    head,
                );
            }
        } catch (error) {
            this.#log.error({ err: error }, 'could not serve metrics');
            response.destroy();
        }
    }
}
