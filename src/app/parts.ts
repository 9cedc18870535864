import { hostname } from 'node:os';
import type Logger from 'bunyan';
import { censor } from '../base/censor.js';
import { systemClock } from '../base/clock.js';
import { loadConfig } from '../base/config.js';
import type { ConfigOverrides } from '../base/config-computed.js';
import type { BaseDirectories, Config } from '../base/config-types.js';
import { baseDirectories } from '../base/directories.js';
import { setLogLevel } from '../base/log.js';
import type { RequestMetrics } from '../http/metrics.js';
import { type Backends, createBackends } from './backends.js';
import { createJobs, type Jobs } from './jobs.js';
import { LiveConfig } from './live-config.js';

/** How a server is started. */
export interface StartOptions {
    readonly configPath: string;
    readonly overrides: ConfigOverrides;
    /** Number of `-d` switches; above 0 `logLevel` of the configuration is ignored. */
    readonly debug: number;
    readonly log: Logger;
}

/** Reads the configuration, and logs it. @throws Error for the start to fail with */
export function loadAndLogConfig(options: StartOptions): Config {
    const { log } = options;
    const config = loadConfig(options.configPath, {
        overrides: options.overrides,
        onWarning: (message) => log.warn(message),
    });
    if (options.debug === 0) {
        setLogLevel(log, config.logLevel);
    }
    log.info({ config: JSON.stringify(censor(config)) }, 'loaded config');
    return config;
}

/** What counts requests, where a listener shows it; elsewhere its library is not even loaded. */
export async function createMetrics(config: Config): Promise<RequestMetrics | undefined> {
    if (config.metrics === undefined || config.metrics.port === 0) {
        return undefined;
    }
    const { RequestMetrics, staticLabels } = await import('../http/metrics.js');
    const metrics = new RequestMetrics(staticLabels(config, hostname()));
    metrics.registerProcessMetrics();
    return metrics;
}

/** What a server is put together from, as far as its making takes time. */
export interface Parts {
    readonly config: LiveConfig;
    readonly directories: BaseDirectories;
    readonly backends: Backends;
    readonly jobs: Jobs;
    readonly metrics: RequestMetrics | undefined;
}

/** Makes what the configuration asks for; nothing is opened yet. @throws Error for the start to fail with */
export async function makeParts({ log }: StartOptions, initial: Config): Promise<Omit<Parts, 'metrics'>> {
    const config = new LiveConfig(initial);
    const base = baseDirectories(initial.dataDir);
    const directories = { ...base, jobs: initial.jobs.dir ?? base.jobs };
    const backends = await createBackends({ config, directories, log, clock: systemClock });
    const { images } = backends;
    const jobs = await createJobs({ config, directories, images, log, clock: systemClock });
    return { config, directories, backends, jobs };
}
