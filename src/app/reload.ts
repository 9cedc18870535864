import type Logger from 'bunyan';
import type { KeyFiles } from '../auth/key-files.js';
import { censor } from '../base/censor.js';
import { loadConfig } from '../base/config.js';
import type { ConfigOverrides } from '../base/config-computed.js';
import { diffConfig } from '../base/config-diff.js';
import type { Config } from '../base/config-types.js';
import type { LiveConfig } from './live-config.js';
import type { ServedDatabase } from './served-database.js';

/** What a reload works on. */
export interface ReloadOptions {
    readonly configPath: string;
    readonly overrides: ConfigOverrides;
    readonly config: LiveConfig;
    readonly keys: KeyFiles | undefined;
    readonly database: ServedDatabase;
    readonly log: Logger;
    setLevel(level: string | number): void;
}

function readConfig(options: ReloadOptions): Config | undefined {
    const { log } = options;
    try {
        return loadConfig(options.configPath, {
            overrides: options.overrides,
            onWarning: (message) => log.warn(message),
        });
    } catch (error) {
        log.error({ err: error }, 'the new configuration is not valid: the old one stays');
        return undefined;
    }
}

/** Puts a configuration in force. What the records make of it is logged, and changes nothing about that. */
async function apply(options: ReloadOptions, next: Config, changed: readonly string[]): Promise<void> {
    const { log } = options;
    options.config.replace(next);
    options.setLevel(next.logLevel);
    log.info({ keys: changed, config: JSON.stringify(censor(next)) }, 'configuration reloaded');
    if (changed.includes('channels')) {
        await options.database.revalidate().catch((error: unknown) => {
            log.error({ err: error }, 'not every record could be judged by the new configuration');
        });
    }
}

/**
 * Reads the configuration and the key files again (operations 1.4). An invalid file changes nothing.
 * Never rejects.
 *
 * @returns whether a key changed that only a restart can apply; then nothing has been applied
 */
export async function reloadConfig(options: ReloadOptions): Promise<boolean> {
    const { log, config } = options;
    const next = readConfig(options);
    if (next !== undefined) {
        const { live, restart } = diffConfig(config.current, next);
        if (restart.length > 0) {
            log.warn({ keys: restart }, 'changed keys need a restart: shutting down for it');
            return true;
        }
        await apply(options, next, live);
    }
    await options.keys?.load();
    return false;
}
