import type { Config } from '../base/config-types.js';

/** What a valid configuration can ask for that this release does not have; one line each. */
export function unsupportedSettings(config: Config): readonly string[] {
    const problems = [
        config.mode === 'dc' ? ['mode dc'] : [],
        config.databaseType === 'local' ? [] : [`databaseType ${config.databaseType}`],
        config.storageTypes.filter((type) => type !== 'local').map((type) => `storageTypes ${type}`),
        // To go on without these would be to speak another protocol than the one asked for.
        config.tls === undefined ? [] : ['tls'],
        config.proxyProtocol ? ['proxyProtocol'] : [],
    ];
    return problems.flat().map((setting) => `config.${setting} is not supported by this release`);
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
