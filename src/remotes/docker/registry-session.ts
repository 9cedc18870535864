import type {
    BytesAnswer,
    HttpClient,
    OpenAnswer,
    OutgoingHttp,
    OutgoingRequest,
    OutgoingTimeouts,
} from '../../base/http-client.js';
import { OutgoingError } from '../../base/http-errors.js';
import type { OutgoingSettingsSource } from '../../base/http-peers.js';
import { RecentlyUsed } from '../../base/recently-used.js';
import { SharedWork } from '../../base/shared-work.js';
import type { DockerRepository } from '../../manifest/docker/repository.js';
import type { RepositoryUse } from '../docker-registry.js';
import { basicAuthorization, fetchToken, type TokenSource } from './authorization-server.js';
import { RegistryLoginError } from './login-error.js';
import { findDoor, type Door } from './registry-door.js';
import { TokenKeeper } from './token-keeper.js';

/** Other repositories whose tokens are kept, which a push may take blobs from. */
const MAX_SCOPES = 100;
/** Largest answer that is read as a whole, bytes; also the largest manifest: registries take half of it. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

/** What a {@link RegistrySession} is made from. */
export interface RegistrySessionOptions {
    readonly http: OutgoingHttp;
    readonly config: OutgoingSettingsSource;
    readonly repository: DockerRepository;
    readonly use: RepositoryUse;
    /** In place of those of each request. */
    readonly timeouts: Partial<OutgoingTimeouts>;
}

/** A request to the registry. */
export interface RegistryCall extends Omit<OutgoingRequest, 'url' | 'peer' | 'supplier'> {
    /** In the repository: `manifests/latest`; or where the registry has sent us. */
    readonly to: string | URL;
    /** Another repository that is to be read as well. */
    readonly from?: string;
}

/** Names the end of a wait as requests name theirs. */
async function unlessGivenUp<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
    try {
        return await work;
    } catch (cause) {
        if (signal.aborted) {
            throw new OutgoingError('aborted', 'the request was given up', { cause });
        }
        throw cause;
    }
}

/** What shows who asks. */
interface Pass {
    readonly authorization: string;
    /** A token that was got a while ago, so that a new one may help. */
    readonly renewable?: string;
}

/**
 * The way into one repository for one use. How the registry wants to be asked is found out once, tokens are
 * kept as long as they are good; requests at the same time share the work.
 *
 * Credentials go to the registry itself and to its authorization server, tokens to the registry alone: no
 * other server that it sends us to gets them.
 */
export class RegistrySession {
    readonly #options: RegistrySessionOptions;
    readonly #finding = new SharedWork<Door>();
    readonly #keepers = new RecentlyUsed<TokenKeeper>(MAX_SCOPES);
    #found: Door | undefined;

    constructor(options: RegistrySessionOptions) {
        this.#options = options;
    }

    /** Finds out how the registry wants to be asked. @throws OutgoingError */
    async enter(signal: AbortSignal): Promise<void> {
        await unlessGivenUp(signal, this.#door(signal));
    }

    /** Asks for something whose body the caller reads. @throws OutgoingError */
    async open(call: RegistryCall): Promise<OpenAnswer> {
        return unlessGivenUp(
            call.signal,
            this.#ask(call, (http, request) => http.open(request)),
        );
    }

    /** Asks for something of a modest size. @throws OutgoingError */
    async bytes(call: RegistryCall): Promise<BytesAnswer> {
        return unlessGivenUp(
            call.signal,
            this.#ask(call, (http, request) => http.bytes({ ...request, maxBytes: MAX_ANSWER_BYTES })),
        );
    }

    async #ask<T>(
        call: RegistryCall,
        send: (http: HttpClient, request: OutgoingRequest) => Promise<T>,
    ): Promise<T> {
        const http = await this.#options.http();
        const door = await this.#door(call.signal);
        const url = this.#urlOf(call, door);
        const isElsewhere = new URL(url).origin !== new URL(door.baseUrl).origin;
        const pass = isElsewhere ? undefined : await this.#pass(door, call);
        try {
            return await send(http, this.#request(call, url, pass));
        } catch (error) {
            const isRefused = error instanceof OutgoingError && error.status === 401;
            if (!isRefused || pass?.renewable === undefined) {
                throw error;
            }
            return send(http, this.#request(call, url, await this.#pass(door, call, pass.renewable)));
        }
    }

    #urlOf({ to }: RegistryCall, { baseUrl }: Door): string {
        return typeof to === 'string'
            ? `${baseUrl}/v2/${this.#options.repository.remoteName}/${to}`
            : to.href;
    }

    #request(call: RegistryCall, url: string, pass: Pass | undefined): OutgoingRequest {
        return {
            ...call,
            url,
            peer: 'registry',
            supplier: this.#options.use.supplier,
            headers: {
                ...call.headers,
                ...(pass === undefined ? {} : { authorization: pass.authorization }),
            },
            timeouts: { ...call.timeouts, ...this.#options.timeouts },
        };
    }

    async #door(signal: AbortSignal): Promise<Door> {
        const { config, repository, use, timeouts } = this.#options;
        this.#found ??= await this.#finding.join(signal, async (shared) =>
            findDoor({
                http: await this.#options.http(),
                settings: config.current,
                repository,
                supplier: use.supplier,
                timeouts,
                signal: shared,
            }),
        );
        return this.#found;
    }

    /** @param refused a token that the registry does not take any more */
    async #pass(door: Door, { from, signal }: RegistryCall, refused?: string): Promise<Pass | undefined> {
        const { credentials } = this.#options.use;
        if (door.kind === 'open' || (door.kind === 'basic' && credentials === undefined)) {
            return undefined;
        }
        if (door.kind === 'bearer') {
            const { value, isNew } = await this.#keeper(door, from).get(signal, refused);
            return { authorization: `Bearer ${value}`, ...(isNew ? {} : { renewable: value }) };
        }
        if (credentials === undefined || 'identityToken' in credentials) {
            throw new RegistryLoginError(`${door.baseUrl}: it has no use for identity tokens`);
        }
        return { authorization: basicAuthorization(credentials.username, credentials.password) };
    }

    #keeper(door: Door & { readonly kind: 'bearer' }, from: string | undefined): TokenKeeper {
        const key = from ?? '';
        const keeper = this.#keepers.get(key) ?? this.#newKeeper(door, from);
        this.#keepers.set(key, keeper);
        return keeper;
    }

    #newKeeper(
        { baseUrl, tokens }: Door & { readonly kind: 'bearer' },
        from: string | undefined,
    ): TokenKeeper {
        const { http, repository, use, timeouts } = this.#options;
        const actions = use.scope === 'push' ? 'pull,push' : 'pull';
        const scopes = [
            `repository:${repository.remoteName}:${actions}`,
            ...(from === undefined ? [] : [`repository:${from}:pull`]),
        ];
        return new TokenKeeper(async (signal) => {
            this.#requireSecret(tokens, baseUrl);
            const { credentials, supplier } = use;
            const client = await http();
            const who = credentials === undefined ? {} : { credentials };
            return fetchToken(client, { ...tokens, ...who, scopes, supplier, timeouts, signal });
        });
    }

    /**
     * Any https server that the registry names gets the credentials, as with Docker's own clients: registries
     * and their authorization servers commonly have different hosts. Plain HTTP will do only where the
     * registry itself is asked so, or certificates count for nothing anyway.
     */
    #requireSecret({ realm }: TokenSource, baseUrl: string): void {
        const { config, use } = this.#options;
        const isFine =
            use.credentials === undefined ||
            realm.protocol === 'https:' ||
            baseUrl.startsWith('http:') ||
            config.current.dockerRegistryInsecure === true;
        if (!isFine) {
            throw new RegistryLoginError(
                `${baseUrl}: its authorization server speaks plain HTTP, which gets no credentials`,
            );
        }
    }
}
