import type { Config } from '#lib/base/config-types.js';
import type { Exchange } from '#lib/http/exchange.js';
import type { HttpLimits } from '#lib/http/limits.js';
import { RequestMetrics } from '#lib/http/metrics.js';
import type { Reply } from '#lib/http/reply.js';
import type { Route } from '#lib/http/route.js';
import { createHttpServer, type HttpServer } from '#lib/http/server.js';
import { once } from 'node:events';
import type { Test } from 'tap';
import { HttpClient } from './http-client.js';
import { recordingLog, type LogRecord } from './recording-log.js';

export const HOST_NAME = 'shell.example';

/** The part of a configuration the HTTP shell reads. */
export interface ShellConfig {
    serverName: string;
    trustedProxies: readonly string[];
    traceEvents: boolean;
    fluentd_host?: string;
}

export interface Shell {
    readonly server: HttpServer;
    readonly port: number;
    readonly client: HttpClient;
    readonly records: LogRecord[];
    readonly config: ShellConfig;
    readonly metrics: RequestMetrics;
    /** The audit records, oldest first. */
    readonly audits: () => LogRecord[];
    /** Resolves when a record with this message is logged. */
    readonly logged: (test: (record: LogRecord) => boolean) => Promise<LogRecord>;
    drain: boolean;
}

/** A row of a fake table. */
export function row(
    method: Route['method'],
    path: string,
    name: string,
    handle: (exchange: Exchange) => Reply | Promise<Reply>,
    more: Partial<Route> = {},
): Route {
    return {
        name,
        method,
        path,
        auth: 'none',
        summary: name,
        handle: async (exchange) => handle(exchange),
        ...more,
    };
}

/** Starts a server with a fake route table; it is closed when the test ends. */
export async function startShell(
    t: Test,
    routes: readonly Route[],
    limits: Partial<HttpLimits> = {},
): Promise<Shell> {
    const { log, records } = recordingLog();
    const config: ShellConfig = {
        serverName: 'IMGAPI/test',
        trustedProxies: ['127.0.0.1', '10.0.0.0/8', '::1'],
        traceEvents: false,
    };
    const metrics = new RequestMetrics({ datacenter: 'dc', instance: 'in', server: 'se', service: 'imgapi' });
    const shell = { drain: false };
    const server = createHttpServer({
        routes,
        log,
        config: { current: config as unknown as Config },
        metrics,
        isDraining: () => shell.drain,
        hostName: HOST_NAME,
        limits: { abortMs: 100, ...limits },
    });
    const port = await server.listen(0, '127.0.0.1');
    t.teardown(async () => {
        server.abortAll();
        await server.close();
    });
    const audits = (): LogRecord[] => records.filter((record) => record['audit'] === true);
    return Object.assign(shell, {
        server,
        port,
        client: new HttpClient(port),
        records,
        config,
        metrics,
        audits,
        async logged(test: (record: LogRecord) => boolean): Promise<LogRecord> {
            return eventually(() => records.find(test));
        },
    });
}

/** Waits until `look` finds something, at most 5 s. */
export async function eventually<T>(look: () => T | undefined | false): Promise<T> {
    const deadline = Date.now() + 5000;
    for (;;) {
        const found = look();
        if (found !== undefined && found !== false) return found;
        if (Date.now() > deadline) throw new Error('waited 5 s in vain');
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
}

/** Resolves when the request is told to stop, with the reason. */
export async function aborted(signal: AbortSignal): Promise<unknown> {
    if (!signal.aborted) await once(signal, 'abort');
    return signal.reason;
}
