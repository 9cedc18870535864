import type { Config, ConfigSource } from '../base/config-types.js';

/** The configuration in force; {@link LiveConfig.replace} puts a new one in its place at once. */
export class LiveConfig implements ConfigSource {
    #current: Config;

    constructor(config: Config) {
        this.#current = config;
    }

    get current(): Config {
        return this.#current;
    }

    /** Puts `config` in force for every request that starts from now on. */
    replace(config: Config): void {
        this.#current = config;
    }
}
