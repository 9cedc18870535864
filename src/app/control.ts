import type Logger from 'bunyan';
import type { KeyFiles } from '../auth/key-files.js';
import { serviceUnavailable, storageIsDown } from '../base/errors.js';
import { setLogLevel } from '../base/log.js';
import { VERSION } from '../base/constants.js';
import { within } from '../base/within.js';
import type { StoredImage } from '../database/database.js';
import type { ProcessControl } from '../http/services.js';
import type { HttpServer } from '../http/server.js';
import type { DocumentRenderer } from '../images/render.js';
import type { HealthMonitor, HealthReport } from '../maintenance/health.js';
import type { Backends } from './backends.js';
import type { Jobs } from './jobs.js';
import type { LiveConfig } from './live-config.js';
import type { Roles } from './roles.js';
import type { ServerTasks } from './tasks.js';

/** What the control acts on. */
export interface ControlOptions {
    readonly config: LiveConfig;
    readonly backends: Backends;
    readonly jobs: Jobs;
    readonly keys: KeyFiles | undefined;
    readonly roles: Roles;
    readonly tasks: Pick<ServerTasks, 'syncKeys'>;
    readonly renderer: DocumentRenderer;
    readonly log: Logger;
    readonly health: HealthMonitor;
    inFlight(): ReturnType<HttpServer['inFlight']>;
    reload(): void;
}

/** Longest wait for key files; loading them goes on (http-api 3.25). */
const KEYS_LIMIT_MS = 5000;
/** Longest wait for keys in Manta, several calls of it; copying them goes on. */
const KEY_SYNC_LIMIT_MS = 60_000;

function manifestsOf(images: Iterable<StoredImage>): Readonly<Record<string, unknown>> {
    return Object.fromEntries(
        [...images].map(({ raw }) => [raw.uuid, { value: raw, published_at: raw.published_at }]),
    );
}

/** What endpoints can ask of the process itself (operations 1.5-1.7). */
export class Control implements ProcessControl {
    readonly #options: ControlOptions;

    constructor(options: ControlOptions) {
        this.#options = options;
    }

    async reloadAuthKeys(withManta: boolean): Promise<void> {
        const { keys, tasks } = this.#options;
        const synced = tasks.syncKeys();
        if (keys !== undefined) {
            // Loading never rejects: only the limit does.
            await within(KEYS_LIMIT_MS, keys.load()).catch(() => undefined);
        }
        if (!withManta) {
            return;
        }
        const outcome = await within(KEY_SYNC_LIMIT_MS, synced).catch((error: unknown) => {
            throw storageIsDown(error);
        });
        if (outcome === 'elsewhere') {
            throw serviceUnavailable('keys in Manta are copied by another process', 1);
        }
        if (outcome === 'failed') {
            throw storageIsDown();
        }
    }

    reload(): void {
        this.#options.reload();
    }

    setLogLevel(level: string | number): void {
        setLogLevel(this.#options.log, level);
    }

    logLevel(): number {
        return this.#options.log.level();
    }

    dropCaches(): void {
        this.#options.renderer.clear();
        this.#options.backends.database.dropCaches?.();
    }

    health(): Promise<HealthReport> {
        return this.#options.health.report();
    }

    manifests(): Readonly<Record<string, unknown>> | undefined {
        const { held } = this.#options.backends.database;
        return held && manifestsOf(held.snapshot());
    }

    async state(): Promise<Readonly<Record<string, unknown>>> {
        const { backends, config, jobs, keys, roles } = this.#options;
        const { held } = backends.database;
        const report = await this.#options.health.report();
        return {
            version: VERSION,
            mode: config.current.mode,
            pid: process.pid,
            uptime: Math.floor(process.uptime()),
            role: roles.isWriter() ? 'writer' : 'reader',
            draining: roles.isDraining(),
            ...(held === undefined ? {} : { images: held.size }),
            inFlight: this.#options.inFlight(),
            // A disk that cannot be read must not hide the rest.
            jobs: await jobs.local.counts().catch(() => null),
            uploads: [...backends.images.storages.values()].flatMap((storage) => storage.uploadsInProgress()),
            dependencies: report.checks,
            authKeys: keys?.counts() ?? {},
            channels: config.current.channels ?? [],
        };
    }
}
