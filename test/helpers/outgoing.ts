import type { Test } from 'tap';
import type { Config } from '#lib/base/config-types.js';
import { HttpClient, type HttpClientOptions, type JsonRequest } from '#lib/base/http-client.js';
import { OutgoingError } from '#lib/base/http-errors.js';
import {
    HttpService,
    sendJson,
    type HttpServiceOptions,
    type ServiceHandler,
} from '../doubles/http-service.js';

/** A client under test and how to use it in one line. */
export interface TestClient {
    readonly client: HttpClient;
    readonly setConfig: (changes: Partial<Config>) => void;
    /** Asks with what every request needs filled in. */
    readonly get: (url: string, request?: Partial<JsonRequest>) => Promise<unknown>;
    /** The failure of a request that must fail. */
    readonly failure: (url: string, request?: Partial<JsonRequest>) => Promise<OutgoingError>;
}

/** Makes a client that is closed with the test; it waits little before it tries again. */
export function makeClient(
    t: Test,
    config: Partial<Config> = {},
    options: Omit<HttpClientOptions, 'config'> = {},
): TestClient {
    const source = { current: { maxSockets: 100, serverName: 'IMGAPI/9', ...config } as Config };
    const client = new HttpClient({ config: source, retryDelaysMs: [10, 20], noProxy: '', ...options });
    t.teardown(() => client.close());
    const get = async (url: string, request: Partial<JsonRequest> = {}): Promise<unknown> => {
        const { signal } = new AbortController();
        return (await client.json({ url, peer: 'service', signal, ...request })).body;
    };
    return {
        client,
        setConfig: (changes) => (source.current = { ...source.current, ...changes }),
        get,
        failure: async (url, request) => {
            try {
                await get(url, request);
            } catch (error) {
                if (error instanceof OutgoingError) return error;
                throw error;
            }
            throw new Error('the request did not fail');
        },
    };
}

/** Starts a service that is stopped with the test. */
export async function serve(
    t: Test,
    handle: ServiceHandler,
    options?: HttpServiceOptions,
): Promise<HttpService> {
    const service = await new HttpService(handle, options).start();
    t.teardown(() => service.stop());
    return service;
}

/** Answers with what was asked for. */
export const echo: ServiceHandler = (request, response) =>
    sendJson(response, 200, { path: request.path, query: Object.fromEntries(request.query) });
