import type { Config } from './config-types.js';

/** What of a configuration counts for requests to other servers; without `egress`, its defaults hold. */
export type OutgoingSettings = Pick<
    Config,
    'maxSockets' | 'serverName' | 'httpProxy' | 'allowInsecure' | 'dockerRegistryInsecure'
> &
    Partial<Pick<Config, 'egress'>>;

/** The settings in force; they may change between two requests. */
export interface OutgoingSettingsSource {
    readonly current: OutgoingSettings;
}

/** What servers we talk to, for what differs between them (jobs-and-imports 0.5). */
export type PeerKind = 'service' | 'image-server' | 'registry' | 'web';

/** How servers of one kind are talked to. */
export interface PeerFacts {
    /** Whether `httpProxy` is used for them. */
    readonly proxied: boolean;
    /** Whether any TLS certificate will do. */
    readonly isInsecure: (config: OutgoingSettings) => boolean;
    /** Headers that tell them the id of our request. */
    readonly requestIdHeaders: readonly string[];
}

/**
 * - `service`: VMAPI, CNAPI, WFAPI: on the datacenter's own network, never behind the proxy;
 * - `image-server`: another IMGAPI;
 * - `registry`: a Docker registry;
 * - `web`: any other site.
 */
export const PEERS: Readonly<Record<PeerKind, PeerFacts>> = {
    service: { proxied: false, isInsecure: () => false, requestIdHeaders: ['x-request-id'] },
    'image-server': {
        proxied: true,
        isInsecure: (config) => config.allowInsecure === true,
        requestIdHeaders: ['request-id', 'x-request-id'],
    },
    registry: {
        proxied: true,
        isInsecure: (config) => config.dockerRegistryInsecure === true,
        requestIdHeaders: [],
    },
    web: { proxied: true, isInsecure: () => false, requestIdHeaders: [] },
};
