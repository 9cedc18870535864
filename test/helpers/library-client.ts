import { createRequire } from 'node:module';
import type { IncomingMessage } from 'node:http';
import type { Test } from 'tap';
import type { Document } from './http-client.js';
import type { ServerProcess } from './server-process.js';
import type { SigningKey } from './signing.js';

/** An error as the library hands it over. */
export interface ClientError extends Error {
    readonly code?: string;
    readonly statusCode?: number;
    readonly body?: {
        readonly code?: string;
        readonly message?: string;
        readonly errors?: readonly Document[];
    };
}

type Callback = (error: ClientError | null | undefined, ...results: unknown[]) => void;
type Method = (...parameters: unknown[]) => void;

/** The library's client: methods by name, each with a callback at the end. */
export type LibraryClient = Readonly<Record<string, Method>> & { close(): void };

interface Library {
    createClient(options: Readonly<Record<string, unknown>>): LibraryClient;
    pauseStream(stream: NodeJS.ReadableStream): void;
}

/** The client library of the field, unmodified. */
export const library = createRequire(import.meta.url)('sdc-clients/lib/imgapi') as Library;

/** What a callback of the library got. */
export interface Outcome {
    readonly error: ClientError | undefined;
    readonly results: readonly unknown[];
}

/** Calls a method of the library and gives all that its callback gets. */
export function outcome(
    client: LibraryClient,
    method: string,
    ...parameters: readonly unknown[]
): Promise<Outcome> {
    return new Promise((resolve) => {
        const callback: Callback = (error, ...results) => resolve({ error: error ?? undefined, results });
        const call = client[method];
        if (call === undefined) throw new Error(`the library has no ${method}`);
        call.call(client, ...parameters, callback);
    });
}

/** Calls a method that must succeed and gives its first result. */
export async function call<T = Document>(
    client: LibraryClient,
    method: string,
    ...parameters: unknown[]
): Promise<T> {
    const { error, results } = await outcome(client, method, ...parameters);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`, { cause: error });
    return results[0] as T;
}

/** Calls a method that must fail like this. */
export async function expectFailure(
    test: Test,
    expected: { readonly statusCode: number; readonly code: string },
    client: LibraryClient,
    method: string,
    ...parameters: unknown[]
): Promise<void> {
    const { error } = await outcome(client, method, ...parameters);
    test.strictSame(
        [error?.statusCode, error?.body?.code, typeof error?.body?.message],
        [expected.statusCode, expected.code, 'string'],
        `${method} fails with ${expected.code}`,
    );
}

/** A client of a server, closed at the end of the test; without a key it does not sign. */
export function connect(
    t: Test,
    server: ServerProcess,
    key: SigningKey | undefined,
    more: object = {},
): LibraryClient {
    const client = library.createClient({
        url: server.url,
        agent: false,
        ...(key === undefined
            ? {}
            : {
                  user: key.user,
                  sign: (text: string, done: (error: Error | null, signature: object) => void) =>
                      done(null, { algorithm: key.algorithm, signature: key.sign(text) }),
              }),
        ...more,
    });
    t.teardown(() => client.close());
    return client;
}

/** Everything of a stream as the library hands it over: paused. */
export async function readStream(stream: IncomingMessage): Promise<Buffer> {
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.resume();
    await new Promise((resolve, reject) => stream.once('end', resolve).once('error', reject));
    return Buffer.concat(parts);
}
