import { isDeepStrictEqual } from 'node:util';
import { settingAt, type Settings } from './config-rules.js';
import { CONFIG_KEYS, OWN_OBJECTS, type ConfigKey } from './config-table.js';
import type { Config } from './config-types.js';

/** Which keys differ between two configurations, by what a reload does about them (operations 1.4). */
export interface ConfigDifference {
    /** Applied at once. */
    readonly live: readonly string[];
    /** Need a drain and an exit. */
    readonly restart: readonly string[];
}

const own = new Set<string>(OWN_OBJECTS);

/** Own objects are compared by sub-key, everything else as a whole: that is how they replace. */
const COMPARED: readonly ConfigKey[] = CONFIG_KEYS.filter(({ key }) => {
    const [top = key, ...below] = key.split('.');
    return below.length > 0 ? own.has(top) : !own.has(top);
});

/** Compares the configuration in force with a newly loaded one; both with the same overrides. */
export function diffConfig(before: Config, after: Config): ConfigDifference {
    const changed = COMPARED.filter(
        ({ key }) =>
            !isDeepStrictEqual(
                settingAt(before as unknown as Settings, key),
                settingAt(after as unknown as Settings, key),
            ),
    );
    return {
        live: changed.filter((facts) => facts.live).map((facts) => facts.key),
        restart: changed.filter((facts) => !facts.live).map((facts) => facts.key),
    };
}
