import type { Config } from '../base/config-types.js';

/** What a valid configuration can ask for that this release has no backend for; one line each. */
export function unsupportedSettings(config: Config): readonly string[] {
    const settings = [
        { key: 'mode', value: config.mode, isSupported: config.mode !== 'dc' },
        { key: 'databaseType', value: config.databaseType, isSupported: config.databaseType === 'local' },
        ...config.storageTypes.map((value) => ({
            key: 'storageTypes',
            value,
            isSupported: value === 'local',
        })),
    ];
    return settings
        .filter(({ isSupported }) => !isSupported)
        .map(({ key, value }) => `config.${key} ${value} is not supported by this release`);
}

/**
 * Refuses what {@link unsupportedSettings} names.
 *
 * @throws Error with the first reason, for the start to fail with
 */
export function requireSupported(config: Config): void {
    const [first] = unsupportedSettings(config);
    if (first !== undefined) {
        throw new Error(first);
    }
}
