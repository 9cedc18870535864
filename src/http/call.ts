import type { Config } from '../base/config-types.js';
import type { RequestContext } from '../images/context.js';
import type { StoredImage } from '../database/database.js';
import type { JsonValue } from '../manifest/types.js';
import type { Exchange, RequestBody } from './exchange.js';
import type { ApiServices } from './services.js';

/** What the steps of a chain have found out so far; each step adds its part. */
export interface CallFacts {
    readonly user?: string;
    /** The image's uuid, checked. */
    readonly uuid?: string;
    /** The selected channel; absent: no restriction. */
    readonly channel?: string;
    readonly body?: RequestBody;
    readonly image?: StoredImage;
    readonly inclAdminFields?: boolean;
    readonly inclProvenance?: boolean;
    readonly inclShareInfo?: boolean;
    /** Accounts the caller's account trusts; absent: not read. */
    readonly trusted?: ReadonlySet<string>;
}

/** A request on its way through a chain: what came in, and what the steps have found out. Immutable. */
export class Call {
    readonly services: ApiServices;
    readonly exchange: Exchange;
    /** The configuration this request is served with; a reload meanwhile does not touch it. */
    readonly config: Config;
    readonly #facts: CallFacts;

    constructor(services: ApiServices, exchange: Exchange, facts: CallFacts = {}, config?: Config) {
        this.services = services;
        this.exchange = exchange;
        this.config = config ?? services.config.current;
        this.#facts = facts;
    }

    /** The same call, knowing more. */
    with(facts: CallFacts): Call {
        return new Call(this.services, this.exchange, { ...this.#facts, ...facts }, this.config);
    }

    get user(): string | undefined {
        return this.#facts.user;
    }

    /** @throws TypeError when the chain has no UUID step: a mistake in the route table */
    get uuid(): string {
        return this.#known(this.#facts.uuid, 'UUID');
    }

    /** The parsed body, `undefined` when absent. @throws TypeError when the chain has no BODY step */
    get body(): JsonValue | undefined {
        const body = this.#known(this.#facts.body, 'BODY');
        return body.present ? body.value : undefined;
    }

    /** @throws TypeError when the chain has no LOAD step */
    get image(): StoredImage {
        return this.#known(this.#facts.image, 'LOAD');
    }

    /** Whether the answer shows the fields only operators may see; false without the ADMINF step. */
    get inclAdminFields(): boolean {
        return this.#facts.inclAdminFields ?? false;
    }

    /**
     * Whether the answer shows where images came from, to those who may know (jobs-and-imports 8.6).
     * Anonymous callers who ask for it by version only are answered without it.
     */
    get showsProvenance(): boolean {
        const isAsked = this.#facts.inclProvenance === true || this.exchange.asksProvenance;
        return isAsked && !this.isAnonymous;
    }

    /** Whether the answer tells the account what is shared with it; false without the SHARE step. */
    get inclShareInfo(): boolean {
        return this.#facts.inclShareInfo ?? false;
    }

    /** Accounts the caller's account trusts; `undefined` when they were not read. */
    get trusted(): ReadonlySet<string> | undefined {
        return this.#facts.trusted;
    }

    /** The `account` parameter as given; `undefined` when absent or empty: an operator call. */
    get account(): string | undefined {
        return this.exchange.query.get('account');
    }

    /** Whether the caller is nobody in particular outside a datacenter (README, table B). */
    get isAnonymous(): boolean {
        return this.config.mode !== 'dc' && this.user === undefined;
    }

    /** What use-cases need to know of the request. */
    get context(): RequestContext {
        const { exchange } = this;
        const { channel, image } = this.#facts;
        const { account } = this;
        return {
            requestId: exchange.requestId,
            log: exchange.log,
            signal: exchange.signal,
            version2: exchange.version2,
            userAgent: exchange.headers['user-agent'] ?? '',
            accountGiven: exchange.query.has('account'),
            ...(exchange.headers['x-request-id'] === undefined
                ? {}
                : { clientRequestId: exchange.requestId }),
            ...(account === undefined ? {} : { account }),
            ...(this.user === undefined ? {} : { user: this.user }),
            ...(channel === undefined ? {} : { channel }),
            ...(image === undefined ? {} : { seen: image }),
        };
    }

    #known<T>(value: T | undefined, step: string): T {
        if (value === undefined) {
            throw new TypeError(`the chain of ${this.exchange.routeName} lacks ${step}`);
        }
        return value;
    }
}
