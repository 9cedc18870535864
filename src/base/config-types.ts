import type { ServerMode, StorageType } from './constants.js';

/** A channel images can be published to (backends 13). */
export interface Channel {
    readonly name: string;
    readonly description: string;
    readonly default?: boolean;
}

/** Manta area and how to reach it (backends 1.2). */
export interface MantaConfig {
    readonly url: string;
    readonly user: string;
    /** Path of the private key file. */
    readonly key: string;
    readonly keyId: string;
    readonly baseDir: string;
    /** Computed (backends 1.5). */
    readonly rootDir: string;
    readonly insecure?: boolean;
    readonly remote?: boolean;
}

/** Built-in HTTPS listener (operations 4.5). */
export interface TlsConfig {
    readonly cert: string;
    readonly key?: string;
    readonly address?: string;
    readonly port: number;
    readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
    readonly ciphers?: string;
    readonly only: boolean;
}

/** Embedded job engine (jobs-and-imports 9). */
export interface JobsConfig {
    readonly engine: 'auto' | 'embedded' | 'wfapi';
    readonly dir?: string;
    readonly maxRunning: number;
    readonly maxQueued: number;
    readonly retries: number;
    readonly backoffMinMs: number;
    readonly backoffMaxMs: number;
    readonly connectTimeout: number;
    readonly stallTimeout: number;
    readonly maxRestarts: number;
    readonly retentionDays: number;
    readonly retentionCount: number;
    readonly stageForManta: boolean;
    readonly maxStreams: number;
    readonly publicUrl?: string;
    readonly imgapiUrl?: string;
}

/** Guard on URLs given by callers (jobs-and-imports 7.4). */
export interface EgressConfig {
    readonly allowHosts: readonly string[];
    readonly denyHosts: readonly string[];
    readonly guardOperators: boolean;
}

/** The merged, computed and validated configuration (backends 1, README table A). Frozen. */
export interface Config {
    readonly port: number;
    readonly address: string;
    /** Default `IMGAPI/<version>`. */
    readonly serverName: string;
    readonly logLevel: string | number;
    readonly maxSockets: number;
    readonly mode: ServerMode;
    readonly datacenterName?: string;
    readonly serviceName?: string;
    readonly instanceUuid?: string;
    readonly serverUuid?: string;
    readonly adminIp?: string;
    readonly adminUuid?: string;
    /** Absent: the server has no channels. */
    readonly channels?: readonly Channel[];
    readonly placeholderImageLifespanDays: number;
    readonly allowLocalCreateImageFromVm: boolean;
    readonly allowInsecure?: boolean;
    readonly minImageCreationPlatform: readonly [string, string];
    readonly authType: 'none' | 'signature';
    readonly authKeys?: Readonly<Record<string, readonly string[]>>;
    readonly databaseType: 'local' | 'moray';
    readonly storageTypes: readonly StorageType[];
    readonly manta?: MantaConfig;
    readonly ufds?: { readonly url: string; readonly bindDN: string; readonly bindPassword: string };
    readonly moray?: {
        readonly host: string;
        readonly port: number;
        readonly connectTimeout?: number;
        readonly retry?: { readonly minTimeout?: number; readonly maxTimeout?: number } | false;
    };
    readonly wfapi?: {
        readonly url: string;
        readonly workflows: readonly string[];
        readonly forceReplace?: boolean;
        readonly forceMd5Check?: boolean;
    };
    readonly cnapi?: { readonly url: string };
    readonly vmapi?: { readonly url: string };
    readonly dockerRegistryInsecure?: boolean;
    readonly lxdRegistries?: Readonly<Record<string, string>>;
    readonly httpProxy?: string;
    readonly imgapiUrlFromDatacenter?: Readonly<Record<string, string>>;
    readonly fluentd_host?: string;
    /** Base directory as configured; the environment variable has been applied (backends 1.7). */
    readonly dataDir: string;
    readonly listCacheTtlMs: number;
    readonly shutdownTimeoutSec: number;
    readonly drainDelaySec: number;
    readonly traceEvents: boolean;
    /** Present when the metrics listener is to run; `port` 0 means off (operations 1.8). */
    readonly metrics?: { readonly address: string; readonly port: number };
    readonly archiveRetentionDays?: number;
    readonly tls?: TlsConfig;
    readonly proxyProtocol: boolean;
    readonly trustedProxies: readonly string[];
    readonly compat: 'reference';
    readonly jobs: JobsConfig;
    readonly egress: EgressConfig;
    readonly dockerIdentityToken: boolean;
    readonly accelRedirect?: { readonly prefix: string };
}

/** The configuration in force; a reload replaces it as a whole. */
export interface ConfigSource {
    readonly current: Config;
}

/** Where things lie below the base directory (backends 1.7, README table C). */
export interface BaseDirectories {
    readonly base: string;
    readonly manifests: string;
    readonly images: string;
    readonly archive: string;
    readonly run: string;
    readonly deletes: string;
    readonly uploads: string;
    readonly clones: string;
    readonly exports: string;
    readonly staging: string;
    readonly jobs: string;
    readonly sharing: string;
    readonly quarantine: string;
    readonly trash: string;
    readonly etc: string;
}
