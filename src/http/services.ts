import type { Authenticator } from '../auth/auth.js';
import type { Config, ConfigSource } from '../base/config-types.js';
import type { ImageServices } from '../images/context.js';
import type { DocumentRenderer } from '../images/render.js';
import type { JobServices } from '../jobs/services.js';
import type { HealthReport } from '../maintenance/health.js';
import type { StreamSlots } from './stream-slots.js';

/** What this process may do of the things only one process of a base directory does (operations 4.7). */
export interface ProcessRole {
    /** Whether it may change images; with the local database only the holder of the lock. */
    isWriter(): boolean;
    /** Whether it holds `run/imgapi.lock`, so runs background tasks and jobs. */
    isHolder(): boolean;
    /** Whether it is on its way out: new requests are told so. */
    isDraining(): boolean;
}

/** Actions on the process itself that clients can ask for. */
export interface ProcessControl {
    /**
     * Loads the key files and has those in Manta copied; resolves when the local ones are read, at most
     * 5 s later (README, authkeys).
     *
     * @param withManta whether to wait for the copies, too
     * @throws 503 when waiting for them was in vain, or is when another process copies them
     */
    reloadAuthKeys(withManta: boolean): Promise<void>;
    /** Reads the configuration again as on SIGHUP; returns at once. */
    reload(): void;
    /** Sets the level of the log. @throws Error when it is no level */
    setLogLevel(level: string | number): void;
    /** Level of the log, Bunyan number. */
    logLevel(): number;
    /** What `GET /state` shows beside the database (operations 1.7). */
    state(): Promise<Readonly<Record<string, unknown>>>;
    /** The records of the local database by uuid; `undefined` when another database is used. */
    manifests(): Readonly<Record<string, unknown>> | undefined;
    /** Drops everything that is only kept to be faster. */
    dropCaches(): void;
    /** Checks of all dependencies, at most 10 s old (operations 1.6). */
    health(): Promise<HealthReport>;
}

/** What the endpoints need of the server. */
export interface ApiServices {
    readonly images: ImageServices;
    readonly jobs: JobServices;
    readonly renderer: DocumentRenderer;
    readonly config: ConfigSource;
    /** Absent with `authType: none`. */
    readonly authenticator: Authenticator | undefined;
    readonly role: ProcessRole;
    readonly control: ProcessControl;
    readonly streams: StreamSlots;
    /** Directory of the built documentation. */
    readonly docsDirectory: string;
}

/** Whether the server has channels. */
export function hasChannels(config: Config): boolean {
    return config.channels !== undefined;
}
