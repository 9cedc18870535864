import type { Config } from '../base/config-types.js';
import type { ManifestRules } from '../manifest/types.js';

/** What the manifest rules need to know of the configuration (manifest 2). */
export function manifestRules(config: Config): ManifestRules {
    return { mode: config.mode, channels: config.channels !== undefined };
}

/** Names of the configured channels; absent: the server has no channels (backends 13). */
export function channelNames(config: Config): readonly string[] | undefined {
    return config.channels?.map((channel) => channel.name);
}
