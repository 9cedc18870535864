import type Logger from 'bunyan';
import type { KeyFiles } from '../auth/key-files.js';
import { censor } from '../base/censor.js';
import { loadConfig } from '../base/config.js';
import type { ConfigOverrides } from '../base/config-computed.js';
import { diffConfig } from '../base/config-diff.js';
import type { Config } from '../base/config-types.js';
import type { LocalDatabase } from '../database/local/local-database.js';
import { requireSupported } from './backends.js';
import type { LiveConfig } from './live-config.js';

/** What a reload works on. */
export interface ReloadOptions {
    readonly configPath: string;
    readonly overrides: ConfigOverrides;
    readonly config: LiveConfig;
    readonly keys: KeyFiles | undefined;
    readonly database: LocalDatabase;
    readonly log: Logger;
    setLevel(level: string | number): void;
}

function readConfig(options: ReloadOptions): Config | undefined {
    const { log } = options;
    try {
        const next = loadConfig(options.configPath, {
            overrides: options.overrides,
            onWarning: (message) => log.warn(message),
        });
        requireSupported(next);
        return next;
    } catch (error) {
        log.error({ err: error }, 'the new configuration is not valid: the old one stays');
        return undefined;
    }
}

async function apply(options: ReloadOptions, next: Config, changed: readonly string[]): Promise<void> {
    options.config.replace(next);
    options.setLevel(next.logLevel);
    if (changed.includes('channels')) {
        await options.database.revalidate();
    }
}

/**
 * Reads the configuration and the key files again (operations 1.4). An invalid file changes nothing.
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
        log.info({ keys: live, config: JSON.stringify(censor(next)) }, 'configuration reloaded');
    }
    await options.keys?.load();
    return false;
}
