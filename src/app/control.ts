import type Logger from 'bunyan';
import type { KeyFiles } from '../auth/key-files.js';
import { setLogLevel } from '../base/log.js';
import { VERSION } from '../base/constants.js';
import type { StoredImage } from '../database/database.js';
import type { ProcessControl } from '../http/services.js';
import type { HttpServer } from '../http/server.js';
import type { DocumentRenderer } from '../images/render.js';
import type { HealthMonitor, HealthReport } from '../maintenance/health.js';
import type { Backends } from './backends.js';
import type { LiveConfig } from './live-config.js';
import type { Roles } from './roles.js';

/** What the control acts on. */
export interface ControlOptions {
    readonly config: LiveConfig;
    readonly backends: Backends;
    readonly keys: KeyFiles | undefined;
    readonly roles: Roles;
    readonly renderer: DocumentRenderer;
    readonly log: Logger;
    readonly health: HealthMonitor;
    inFlight(): ReturnType<HttpServer['inFlight']>;
    reload(): void;
}

const KEYS_LIMIT_MS = 5000;

/** Resolves when `work` does, or after the limit. */
async function atMost(work: Promise<void>, limitMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
        work,
        new Promise<void>((resolve) => {
            timer = setTimeout(resolve, limitMs);
        }),
    ]);
    clearTimeout(timer);
}

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

    async reloadAuthKeys(): Promise<void> {
        const { keys } = this.#options;
        if (keys !== undefined) {
            await atMost(keys.load(), KEYS_LIMIT_MS);
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
        const { backends, config, keys, roles } = this.#options;
        const { held } = backends.database;
        const report = await this.#options.health.report();
        return {
            version: VERSION,
            pid: process.pid,
            uptime: Math.floor(process.uptime()),
            role: roles.isWriter() ? 'writer' : 'reader',
            draining: roles.isDraining(),
            ...(held === undefined ? {} : { images: held.size }),
            inFlight: this.#options.inFlight(),
            uploads: [...backends.images.storages.values()].flatMap((storage) => storage.uploadsInProgress()),
            dependencies: report.checks,
            authKeys: keys?.counts() ?? {},
            channels: config.current.channels ?? [],
        };
    }
}
