import { lookup as lookUp } from 'node:dns/promises';
import type { EgressConfig } from '../config-types.js';
import { OutgoingError } from '../http-errors.js';
import type { AddressSupplier } from '../http-supplier.js';
import { loggableUrl, portOf } from '../http-urls.js';
import { untilAborted } from '../until-aborted.js';
import { isPublicAddress } from './address-classes.js';
import { isListed } from './host-list.js';
import { addressBytes } from './ip-address.js';

/** An address of a host. */
export interface HostAddress {
    readonly address: string;
    readonly family: number;
}

/** All addresses of a name, at least one; fails as the resolver of the system does. */
export type HostLookup = (name: string) => Promise<readonly HostAddress[]>;

/** As the system resolves names, `/etc/hosts` included. */
export const systemLookup: HostLookup = (name) => lookUp(name, { all: true });

/** The rules in force. */
interface EgressSource {
    readonly current: { readonly egress?: EgressConfig };
}

const DEFAULTS: EgressConfig = { allowHosts: [], denyHosts: [], guardOperators: false };

/**
 * Decides whether we talk to a host for the one who named it (jobs-and-imports 7.4), so that nobody can
 * use us to reach what only we can reach.
 */
export class EgressGuard {
    readonly #config: EgressSource;
    readonly #lookup: HostLookup;

    constructor(config: EgressSource, lookup: HostLookup) {
        this.#config = config;
        this.#lookup = lookup;
    }

    /**
     * Checks where a URL leads to. To be called for every request and every redirect: both the rules and
     * the addresses of a name change.
     *
     * @returns the addresses that were checked: the connection must lead to one of them, not to what the
     * name says a moment later; `undefined`: there was nothing to check
     * @throws OutgoingError `refused`; the error of the lookup; the reason of `signal`
     */
    async check(
        url: URL,
        supplier: AddressSupplier,
        signal: AbortSignal,
    ): Promise<readonly HostAddress[] | undefined> {
        const { allowHosts, denyHosts, guardOperators } = this.#config.current.egress ?? DEFAULTS;
        if (supplier === 'config') {
            return undefined;
        }
        const { hostname: host } = url;
        const port = portOf(url);
        const isGuarded = (supplier === 'account' || guardOperators) && !isListed(allowHosts, { host, port });
        if (isListed(denyHosts, { host, port })) {
            throw refusal(url);
        }
        if (!isGuarded && denyHosts.length === 0) {
            return undefined;
        }
        const addresses = await this.#addressesOf(host, signal);
        const isRefused = addresses.some(
            ({ address }) =>
                isListed(denyHosts, { host: address, port }) || (isGuarded && !isPublicAddress(address)),
        );
        if (isRefused) {
            throw refusal(url);
        }
        return addresses;
    }

    async #addressesOf(host: string, signal: AbortSignal): Promise<readonly HostAddress[]> {
        const bytes = addressBytes(host);
        if (bytes !== undefined) {
            const address = host.replace(/^\[|\]$/g, '');
            return [{ address, family: bytes.length === 4 ? 4 : 6 }];
        }
        return untilAborted(signal, this.#lookup(host));
    }
}

function refusal(url: URL): OutgoingError {
    return new OutgoingError('refused', `${loggableUrl(url)}: the host is not allowed`, {
        host: url.hostname,
    });
}
