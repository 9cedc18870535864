import type Logger from 'bunyan';
import { censor, censorHeaders, censorUrl, errorRecord } from '../base/censor.js';
import type { Config, ConfigSource } from '../base/config-types.js';
import type { ApiError } from '../base/errors.js';
import { clientFacts } from './forwarded.js';
import { QueryParameters } from './query-parameters.js';
import { routeLabel } from './route-label.js';
import type { Answer } from './send.js';
import { type ServerExchange, splitTarget } from './server-exchange.js';

/** Longest recorded body, bytes of JSON. */
const MAX_BODY = 16_384;

/** When the parts of a request were over, as of `performance.now()`; 0: never. */
export interface HandlerTimers {
    readonly begun: number;
    handled: number;
    sent: number;
}

/** How a request ended. */
export interface RequestEnd {
    readonly answer: Answer;
    readonly error: ApiError | undefined;
    /** From receipt to the last byte, milliseconds. */
    readonly latency: number;
    readonly timers: HandlerTimers;
}

interface RecordedBody {
    readonly body?: unknown;
    readonly bodyTruncated?: true;
}

/** A body as the record shows it: the value, or the beginning of its text when it is long. */
function recordedBody(value: unknown): RecordedBody {
    const body = censor(value);
    const text = JSON.stringify(body);
    if (text === undefined || Buffer.byteLength(text) <= MAX_BODY) {
        return { body };
    }
    return { body: Buffer.from(text).subarray(0, MAX_BODY).toString('utf8'), bodyTruncated: true };
}

function microseconds(from: number, to: number): number {
    return to === 0 ? 0 : Math.round((to - from) * 1000);
}

function isRead(method: string): boolean {
    return method === 'GET' || method === 'HEAD';
}

function isSkipped(exchange: ServerExchange, status: number): boolean {
    const quiet = exchange.routing.route?.quiet;
    return isRead(exchange.method) && (quiet === 'always' || (quiet === 'ok' && status < 400));
}

function query(target: string): Readonly<Record<string, unknown>> {
    const { search } = splitTarget(target);
    return search === '' ? {} : new QueryParameters(search).toObject();
}

/** The `action` of a request, or all values of a repeated one. */
function action(exchange: ServerExchange): string | undefined {
    const values = exchange.query.all('action');
    return values.length === 0 ? undefined : values.join(',');
}

function requestRecord(
    exchange: ServerExchange,
    end: RequestEnd,
    withBody: boolean,
): Record<string, unknown> {
    const { request, headers, parsedBody } = exchange;
    const url = censorUrl(exchange.target);
    return {
        method: exchange.method,
        url,
        query: query(url),
        headers: censorHeaders(headers),
        httpVersion: exchange.httpVersion,
        trailers: censorHeaders(request.trailers),
        version: headers['accept-version'] ?? '~1',
        timers: {
            handle: microseconds(end.timers.begun, end.timers.handled),
            send: microseconds(end.timers.handled, end.timers.sent),
        },
        ...(withBody && parsedBody.present ? recordedBody(parsedBody.value) : {}),
    };
}

function responseRecord({ answer }: RequestEnd, withBody: boolean): Record<string, unknown> {
    return {
        statusCode: answer.status,
        headers: censorHeaders(answer.headers),
        trailer: false,
        ...(withBody && answer.auditBody !== undefined ? recordedBody(answer.auditBody()) : {}),
    };
}

/** One record for each request and, if wanted, two trace events (operations 1.3). */
export class Auditor {
    readonly #log: Logger;
    readonly #config: ConfigSource;
    readonly #sequence = new WeakMap<ServerExchange, number>();
    #lastSequence = 0;

    constructor(log: Logger, config: ConfigSource) {
        // The record has plain objects under these names, which serializers for live ones would spoil.
        const asIs = (value: unknown): unknown => value;
        this.#log = log.child({ serializers: { req: asIs, res: asIs, err: asIs } });
        this.#config = config;
    }

    /** Notes that a request has come. */
    begin(exchange: ServerExchange): void {
        const config = this.#config.current;
        if (!wantsTrace(config) || routeLabel(exchange.routing.route) === 'ping') {
            return;
        }
        this.#lastSequence += 1;
        this.#sequence.set(exchange, this.#lastSequence);
        this.#trace(exchange, 'b', this.#lastSequence);
    }

    /** Notes how a request has ended. Never throws. */
    end(exchange: ServerExchange, end: RequestEnd): void {
        try {
            const sequence = this.#sequence.get(exchange);
            if (sequence !== undefined) {
                this.#trace(exchange, 'e', sequence);
            }
            if (this.#log.info() && !isSkipped(exchange, end.answer.status)) {
                this.#log.info(this.#record(exchange, end), `handled: ${end.answer.status}`);
            }
        } catch (error) {
            this.#log.error(
                { req_id: exchange.requestId, err: errorRecord(asError(error)) },
                'audit record failed',
            );
        }
    }

    #trace(exchange: ServerExchange, phase: 'b' | 'e', sequence: number): void {
        const name = routeLabel(exchange.routing.route) ?? 'unknown';
        this.#log.info({ req_id: exchange.requestId, evt: { name, ph: phase, req_seq: sequence } });
    }

    #record(exchange: ServerExchange, end: RequestEnd): Record<string, unknown> {
        const { status } = end.answer;
        const withBodies = !(isRead(exchange.method) && status >= 200 && status < 300);
        const chosen = action(exchange);
        const { clientAddress, secure } = clientFacts(this.#config.current.trustedProxies, {
            address: exchange.remoteAddress,
            encrypted: exchange.encrypted,
            proxied: exchange.proxied,
            headers: exchange.headers,
        });
        return {
            route: routeLabel(exchange.routing.route) ?? null,
            ...(chosen === undefined ? {} : { action: chosen }),
            ...(exchange.user === undefined ? {} : { remoteUser: exchange.user }),
            audit: true,
            _audit: true,
            remoteAddress: exchange.remoteAddress,
            remotePort: exchange.remotePort,
            secure,
            ...(clientAddress === undefined ? {} : { clientAddress }),
            req_id: exchange.requestId,
            latency: Math.round(end.latency),
            req: requestRecord(exchange, end, withBodies),
            res: responseRecord(end, withBodies),
            ...(end.error === undefined || exchange.routing.route === undefined
                ? {}
                : { err: errorRecord(end.error) }),
        };
    }
}

function wantsTrace(config: Config): boolean {
    return config.traceEvents || config.fluentd_host !== undefined;
}

function asError(thrown: unknown): Error {
    return thrown instanceof Error ? thrown : new Error(String(thrown));
}
