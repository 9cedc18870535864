import type Logger from 'bunyan';
import type { ConfigSource } from '../base/config-types.js';
import { ApiError, internalError } from '../base/errors.js';
import { Auditor, type HandlerTimers } from './audit.js';
import type { Connection } from './connection.js';
import { errorReply, toApiError } from './errors.js';
import type { HttpLimits } from './limits.js';
import { LineStreams } from './line-stream.js';
import type { RequestMetrics } from './metrics.js';
import type { Reply } from './reply.js';
import { routeLabel } from './route-label.js';
import type { Router } from './router.js';
import { isWork } from './line-style.js';
import { type Answer, type AnswerBody, type LinesBody, prepareAnswer } from './send.js';
import { type ExchangeParts, ServerExchange, splitTarget } from './server-exchange.js';
import { standardHeaders } from './standard-headers.js';
import { endResponse, releaseBody, writeBody } from './transmit.js';
import { discardRest, endsConnection } from './unread-body.js';

/** What the dispatcher works with. */
export interface DispatcherOptions {
    readonly router: Router;
    readonly log: Logger;
    readonly config: ConfigSource;
    readonly metrics: RequestMetrics | undefined;
    readonly limits: HttpLimits;
    readonly hostName: string;
    /** Whether connections are to end with their next answer. */
    readonly isClosing: () => boolean;
}

/** A request as it comes, before it is routed. */
export type Arrival = Omit<ExchangeParts, 'routing' | 'path' | 'search' | 'log'>;

/** An answer with the failure it tells of. */
interface Outcome {
    readonly answer: Answer;
    readonly error?: ApiError;
}

/** A reply that cannot fail to be prepared. */
async function prepareError(error: ApiError, exchange: ServerExchange): Promise<Outcome> {
    return { answer: await prepareAnswer(errorReply(error), exchange), error };
}

/** Takes a request from routing to the audit record; whatever goes wrong ends in an answer (D2). */
export class Dispatcher {
    readonly #options: DispatcherOptions;
    readonly #auditor: Auditor;
    readonly #streams: LineStreams;

    constructor(options: DispatcherOptions) {
        this.#options = options;
        this.#auditor = new Auditor(options.log, options.config);
        this.#streams = new LineStreams(options.limits);
    }

    /** Ends the streams of lines that are open, and all that follow, with a line that says so. */
    endStreams(): void {
        this.#streams.close();
    }

    /** Makes the exchange of a request; its path is routed at once. */
    open(arrival: Arrival): ServerExchange {
        const { request } = arrival;
        const { path, search } = splitTarget(request.url ?? '');
        return new ServerExchange({
            ...arrival,
            path,
            search,
            routing: this.#options.router.route(request.method ?? '', path, request.headers),
            log: this.#options.log,
        });
    }

    /**
     * Serves a request to its end: the last byte is sent or the client has gone. Never rejects.
     *
     * @param refusal what to answer without asking the route
     */
    async serve(exchange: ServerExchange, connection: Connection, refusal?: ApiError): Promise<void> {
        const timers: HandlerTimers = { begun: performance.now(), handled: 0, sent: 0 };
        let outcome: Outcome | undefined;
        try {
            this.#auditor.begin(exchange);
            outcome = await this.#outcome(exchange, refusal);
            timers.handled = performance.now();
            outcome = await this.#send(exchange, connection, outcome, timers);
        } catch (error) {
            exchange.log.error({ err: error }, 'the answer could not be sent');
            exchange.response.destroy();
            outcome &&= { ...outcome, error: internalError('the answer could not be sent', error) };
        }
        if (outcome !== undefined) {
            this.#record(exchange, outcome, timers);
        }
    }

    async #outcome(exchange: ServerExchange, refusal: ApiError | undefined): Promise<Outcome> {
        try {
            return { answer: await prepareAnswer(await this.#reply(exchange, refusal), exchange) };
        } catch (thrown) {
            // What a handler says after it was told to stop is less true than why it was.
            const { signal } = exchange;
            const error = toApiError(
                signal.aborted && signal.reason instanceof ApiError ? signal.reason : thrown,
            );
            this.#logFailure(exchange, error);
            return prepareError(error, exchange);
        }
    }

    async #reply(exchange: ServerExchange, refusal: ApiError | undefined): Promise<Reply> {
        const { routing } = exchange;
        if (refusal !== undefined) {
            throw refusal;
        }
        if (exchange.headers.host === undefined && exchange.httpVersion === '1.1') {
            throw new ApiError('BadRequestError', 'missing "Host" header');
        }
        if (routing.answer instanceof ApiError) {
            throw routing.answer;
        }
        if (routing.answer !== undefined) {
            return routing.answer;
        }
        if (routing.route === undefined) {
            throw new TypeError('routing gave neither a route nor an answer');
        }
        return routing.route.handle(exchange);
    }

    /** What was refused on purpose, e.g. by a reader or while draining, has no cause and is in the audit record. */
    #logFailure(exchange: ServerExchange, error: ApiError): void {
        if (error.status >= 500 && (error.cause !== undefined || error.code === 'InternalError')) {
            exchange.log.error(
                { err: error.cause ?? error, code: error.code },
                `request failed: ${error.message}`,
            );
        }
    }

    /** Sends an answer; one whose headers Node refuses becomes a 500. */
    async #send(
        exchange: ServerExchange,
        connection: Connection,
        outcome: Outcome,
        timers: HandlerTimers,
    ): Promise<Outcome> {
        exchange.releaseUpload();
        if (connection.gone) {
            releaseBody(outcome.answer.body);
            return outcome;
        }
        const { isClosing, limits } = this.#options;
        const { awaitsContinue, request } = exchange;
        const close = endsConnection(request, awaitsContinue, limits) || connection.ending || isClosing();
        connection.ended = close;
        const sent = await this.#writeHead(exchange, outcome, close);
        const failure = await this.#writeBody(exchange, sent.answer);
        timers.sent = performance.now();
        if (!connection.gone) {
            discardRest(request, limits);
        }
        return failure === undefined ? sent : { ...sent, error: failure };
    }

    async #writeHead(exchange: ServerExchange, outcome: Outcome, close: boolean): Promise<Outcome> {
        const { answer } = outcome;
        const headers = { ...answer.headers, ...this.#standardHeaders(exchange, close) };
        try {
            exchange.response.writeHead(answer.status, headers);
            return { ...outcome, answer: { ...answer, headers } };
        } catch (thrown) {
            releaseBody(answer.body);
            const failure = await prepareError(toApiError(thrown), exchange);
            exchange.log.error({ err: thrown }, 'the answer had a header that cannot be sent');
            const safe = { ...failure.answer.headers, ...this.#standardHeaders(exchange, close) };
            exchange.response.writeHead(failure.answer.status, safe);
            return { ...failure, answer: { ...failure.answer, headers: safe } };
        }
    }

    /** @returns why a stream of lines ended early */
    async #writeBody(exchange: ServerExchange, answer: Answer): Promise<ApiError | undefined> {
        const { response } = exchange;
        const body: AnswerBody = exchange.method === 'HEAD' ? { kind: 'none' } : answer.body;
        if (body !== answer.body) {
            releaseBody(answer.body);
        }
        if (body.kind === 'lines') {
            return this.#writeLines(exchange, body);
        }
        if (body.kind === 'none') {
            await endResponse(response);
        } else if (body.kind === 'whole') {
            await endResponse(response, body.data);
        } else {
            await writeBody(response, body);
            await endResponse(response);
        }
        return undefined;
    }

    async #writeLines(exchange: ServerExchange, body: LinesBody): Promise<ApiError | undefined> {
        exchange.onlyTells = !isWork(body.style);
        const { limitMs, error } = await this.#streams.write(exchange.response, body);
        if (error !== undefined) {
            this.#logFailure(exchange, error);
        }
        await endResponse(exchange.response, undefined, limitMs);
        return error;
    }

    #standardHeaders(exchange: ServerExchange, close: boolean): Readonly<Record<string, string>> {
        return standardHeaders({
            serverName: this.#options.config.current.serverName,
            hostName: this.#options.hostName,
            requestId: exchange.requestId,
            receivedAt: exchange.receivedAt,
            close,
        });
    }

    #record(exchange: ServerExchange, { answer, error }: Outcome, timers: HandlerTimers): void {
        const latency = (timers.sent || performance.now()) - exchange.receivedAt;
        const { body } = answer;
        const onlyTells = body.kind === 'lines' && !isWork(body.style);
        // How long a stream lasts that tells of a job says nothing about the server.
        const served = onlyTells ? timers.handled - exchange.receivedAt : latency;
        this.#options.metrics?.observe({
            route: routeLabel(exchange.routing.route),
            method: exchange.method,
            userAgent: exchange.headers['user-agent'],
            status: answer.status,
            seconds: served / 1000,
        });
        this.#auditor.end(exchange, { answer, error, latency, timers });
    }
}
