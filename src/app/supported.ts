import type { Config } from '../base/config-types.js';

/** The settings that decide it: of a configuration, or of a file that may be wrong elsewhere. */
interface Asked {
    readonly proxyProtocol?: unknown;
}

/** What a configuration can ask for that this release does not have; one line each. */
export function unsupportedSettings(asked: Asked): readonly string[] {
    const { proxyProtocol } = asked;
    const problems = [
        // To go on without these would be to speak another protocol than the one asked for.
        proxyProtocol === true && 'proxyProtocol',
    ];
    return problems
        .filter((problem) => problem !== false)
        .map((setting) => `config.${setting} is not supported by this release`);
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
