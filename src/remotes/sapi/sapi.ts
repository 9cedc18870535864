import type { HttpClient, JsonRequest } from '../../base/http-client.js';
import { OutgoingError } from '../../base/http-errors.js';
import { isObject } from '../../manifest/coerce.js';
import { entriesOf, entryOf, type Metadata, type SapiEntry } from './answers.js';

/** The version whose services tell what kind they are (operations 3.1). */
const API_VERSION = '~2';
/** For one answer, milliseconds. */
const ANSWER_LIMIT_MS = 30_000;

/** What a {@link SapiClient} is made from. */
export interface SapiOptions {
    readonly http: HttpClient;
    readonly url: string;
    /** Ends all questions; a change that is under way is waited for. */
    readonly signal: AbortSignal;
}

/** SAPI was told to change something, and whether it has done so is not known. */
export class UnclearChange extends Error {
    override readonly name = 'UnclearChange';
}

/** Whether SAPI has said no, and thus has changed nothing. */
function isRefusal(error: unknown): boolean {
    const { cause } = error instanceof Error ? error : {};
    const status = cause instanceof OutgoingError ? cause.status : undefined;
    return status !== undefined && status >= 400 && status < 500;
}

/** What SAPI says of its refusal; without its words, what became of the request. */
function failureOf(error: OutgoingError): Error {
    const { code, message } = isObject(error.body) ? error.body : {};
    const reason =
        typeof message === 'string' ? `${message}${typeof code === 'string' ? ` (${code})` : ''}` : undefined;
    return new Error(reason === undefined ? `SAPI is unavailable: ${error.message}` : `SAPI: ${reason}`, {
        cause: error,
    });
}

/** The configuration service of a datacenter, as far as it is asked and told here (operations 3.1). */
export class SapiClient {
    readonly #options: SapiOptions;

    constructor(options: SapiOptions) {
        this.#options = { ...options, url: options.url.replace(/\/+$/, '') };
    }

    /** The application of a name. @throws Error when there is none or SAPI cannot be asked */
    async application(name: string): Promise<SapiEntry> {
        return this.#one(`application "${name}"`, 'applications', { name });
    }

    /** The service of a name in an application. @throws as {@link application} */
    async service(name: string, applicationUuid: string): Promise<SapiEntry> {
        const query = { name, application_uuid: applicationUuid };
        return this.#one(`service "${name}"`, 'services', query);
    }

    /**
     * Sets these metadata of a service and leaves all others.
     *
     * @throws Error when SAPI refuses; UnclearChange
     */
    async updateMetadata(serviceUuid: string, metadata: Metadata): Promise<void> {
        await this.#change(serviceUuid, 'update', metadata);
    }

    /** Takes these metadata from a service and leaves all others. @throws as {@link updateMetadata} */
    async deleteMetadata(serviceUuid: string, keys: readonly string[]): Promise<void> {
        // SAPI looks at the keys alone.
        await this.#change(serviceUuid, 'delete', Object.fromEntries(keys.map((key) => [key, null])));
    }

    async #change(uuid: string, action: 'update' | 'delete', metadata: Metadata): Promise<void> {
        this.#options.signal.throwIfAborted();
        // Broken off, it could be done or not.
        const { signal } = new AbortController();
        const request = { method: 'PUT', body: { action, metadata }, signal } as const;
        try {
            await this.#ask(['services', uuid], request, entryOf);
        } catch (error) {
            throw isRefusal(error) || !(error instanceof Error)
                ? error
                : new UnclearChange(error.message, { cause: error });
        }
    }

    async #one(what: string, path: string, query: Readonly<Record<string, string>>): Promise<SapiEntry> {
        const { signal } = this.#options;
        const found = await this.#ask([path], { query, signal }, entriesOf);
        const [first] = found;
        if (first === undefined || found.length > 1) {
            throw new Error(`SAPI has ${first === undefined ? 'no' : 'more than one'} ${what}`);
        }
        return first;
    }

    async #ask<T>(
        path: readonly string[],
        request: Pick<JsonRequest, 'method' | 'body' | 'query' | 'signal'>,
        read: (body: unknown) => T,
    ): Promise<T> {
        const { http, url } = this.#options;
        try {
            const { body } = await http.json({
                url: `${url}/${path.map(encodeURIComponent).join('/')}`,
                peer: 'service',
                ...request,
                headers: { 'accept-version': API_VERSION },
                timeouts: { totalMs: ANSWER_LIMIT_MS },
            });
            return read(body);
        } catch (error) {
            request.signal.throwIfAborted();
            throw error instanceof OutgoingError ? failureOf(error) : error;
        }
    }
}
