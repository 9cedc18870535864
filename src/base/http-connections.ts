import type { LookupFunction } from 'node:net';
import { buildConnector, Pool, ProxyAgent, type Dispatcher } from 'undici';
import type { HostAddress } from './egress/egress-guard.js';
import { OutgoingError } from './http-errors.js';
import { bypassesProxy } from './http-no-proxy.js';
import { PEERS, type OutgoingSettingsSource, type PeerKind } from './http-peers.js';
import { authorizationOf, parseHttpUrl } from './http-urls.js';
import { RecentlyUsed } from './recently-used.js';

/** Hosts whose connections are kept; those used longest ago go first. */
const MAX_POOLS = 100;

/** How to send one request. */
export interface Connection {
    readonly dispatcher: Dispatcher;
    /** Request target: a path, or a whole URL for a proxy that is to fetch it. */
    readonly target: string;
    /** Headers the way needs. */
    readonly headers: Readonly<Record<string, string>>;
}

interface PoolFacts {
    readonly origin: string;
    readonly proxy: URL | undefined;
    readonly insecure: boolean;
    readonly maxSockets: number;
    readonly connectMs: number;
    /** The only addresses to connect to; `undefined`: those of the name. */
    readonly addresses: readonly HostAddress[] | undefined;
    readonly proxyHeader: boolean;
}

/** What {@link Connections} are made from. */
export interface ConnectionsOptions {
    readonly config: OutgoingSettingsSource;
    /** As in the environment variable `NO_PROXY`. */
    readonly noProxy: string;
    /** Whether plain connections begin with a PROXY header, as one's own server may want it (operations 4.8). */
    readonly proxyHeader: boolean;
}

function proxyUrl(configured: unknown): URL | undefined {
    if (configured === undefined || configured === null || configured === '') {
        return undefined;
    }
    const url = typeof configured === 'string' ? parseHttpUrl(configured) : undefined;
    if (url === undefined) {
        throw new OutgoingError('connect', 'the configured httpProxy is no http or https URL');
    }
    return url;
}

/** Resolvers shuffle addresses; the same ones are to share their connections. */
function inOrder(addresses: readonly HostAddress[] | undefined): readonly HostAddress[] | undefined {
    return addresses?.toSorted((a, b) => a.family - b.family || (a.address < b.address ? -1 : 1));
}

/** Answers with these addresses, whatever the name: connections lead to what has been checked. */
function pinnedTo(addresses: readonly HostAddress[]): LookupFunction {
    return (_name, options, callback) => {
        const [first] = addresses;
        if (options.all === true || first === undefined) {
            callback(null, [...addresses]);
        } else {
            callback(null, first.address, first.family);
        }
    };
}

/** Says before all else that nobody is spoken for. */
function withProxyHeader(options: buildConnector.BuildOptions): buildConnector.connector {
    const connect = buildConnector(options);
    return (target, callback) => {
        connect(target, (...result) => {
            result[1]?.write('PROXY UNKNOWN\r\n');
            callback(...result);
        });
    };
}

function createDispatcher(facts: PoolFacts): Dispatcher {
    const { origin, proxy, insecure, maxSockets: connections, connectMs: timeout, addresses } = facts;
    const tls = { timeout, ...(insecure ? { rejectUnauthorized: false } : {}) };
    if (proxy === undefined) {
        const pinned = addresses === undefined ? {} : { lookup: pinnedTo(addresses) };
        const options = { ...tls, ...pinned };
        const isProxyLike = facts.proxyHeader && origin.startsWith('http:');
        return new Pool(origin, { connections, connect: isProxyLike ? withProxyHeader(options) : options });
    }
    if (origin.startsWith('http:')) {
        // Proxies commonly tunnel to the HTTPS port only, so plain requests are theirs to make.
        return new Pool(proxy.origin, { connections, connect: { timeout } });
    }
    return new ProxyAgent({
        uri: proxy.href,
        connections,
        requestTls: tls,
        proxyTls: { timeout },
        clientFactory: (url, options: object) =>
            new Pool(url, { ...options, headersTimeout: timeout, bodyTimeout: 0 }),
    });
}

/**
 * Connections to other servers, kept open between requests: for each host at most `maxSockets`, by
 * the way the configuration in force asks for. A changed configuration takes effect with the next
 * request; what is under way ends as it began.
 */
export class Connections {
    readonly #config: OutgoingSettingsSource;
    readonly #noProxy: string;
    readonly #proxyHeader: boolean;
    readonly #pools = new RecentlyUsed<Dispatcher>(MAX_POOLS);
    /** Pools that only finish what they have begun. */
    readonly #retired = new Set<Dispatcher>();
    #isClosed = false;

    constructor(options: ConnectionsOptions) {
        this.#config = options.config;
        this.#noProxy = options.noProxy;
        this.#proxyHeader = options.proxyHeader;
    }

    /**
     * The way to a server; to be used before anything else is waited for.
     *
     * @param addresses where the connection may lead to; a proxy finds its own way
     * @throws OutgoingError when the configured proxy is unusable, or after {@link close}
     */
    to(url: URL, peer: PeerKind, connectMs: number, addresses?: readonly HostAddress[]): Connection {
        const config = this.#config.current;
        const { proxied, isInsecure } = PEERS[peer];
        const proxy = proxied && !bypassesProxy(url, this.#noProxy) ? proxyUrl(config.httpProxy) : undefined;
        const dispatcher = this.#pool({
            origin: url.origin,
            proxy,
            insecure: isInsecure(config),
            maxSockets: Math.max(1, Math.floor(config.maxSockets)),
            connectMs,
            addresses: proxy === undefined ? inOrder(addresses) : undefined,
            proxyHeader: this.#proxyHeader,
        });
        const path = `${url.pathname}${url.search}`;
        if (proxy === undefined || url.protocol === 'https:') {
            return { dispatcher, target: path, headers: {} };
        }
        const headers = { host: url.host, ...authorizationOf(proxy, 'proxy-authorization') };
        return { dispatcher, target: `${url.origin}${path}`, headers };
    }

    /** Cuts all connections; requests under way fail. */
    async close(): Promise<void> {
        this.#isClosed = true;
        const all = [...this.#pools.values(), ...this.#retired];
        this.#pools.clear();
        await Promise.all(all.map((pool) => pool.destroy()));
    }

    #pool(facts: PoolFacts): Dispatcher {
        if (this.#isClosed) {
            throw new OutgoingError('aborted', 'the HTTP client is closed');
        }
        const key = JSON.stringify({ ...facts, proxy: facts.proxy?.href });
        const pool = this.#pools.get(key) ?? createDispatcher(facts);
        this.#pools.set(key, pool).forEach((oldest) => this.#retire(oldest));
        return pool;
    }

    #retire(pool: Dispatcher): void {
        this.#retired.add(pool);
        const forget = (): boolean => this.#retired.delete(pool);
        pool.close().then(forget, forget);
    }
}
