import { join } from 'node:path';
import { isAbsent, isSettings, type Settings } from './config-rules.js';
import { CONFIG_KEYS, OWN_OBJECTS } from './config-table.js';
import type { Config } from './config-types.js';
import { DEFAULT_BASE_DIR } from './constants.js';
import { httpBaseUrl } from './http-urls.js';

/** What the command line puts over the configuration (operations 1.1). */
export interface ConfigOverrides {
    readonly port?: number;
    readonly address?: string;
    /** 0: no metrics listener. */
    readonly metricsPort?: number;
}

/** Defaults of one object by sub-key, or of the top level when `prefix` is empty. */
function defaultsOf(prefix: string): Settings {
    return Object.fromEntries(
        CONFIG_KEYS.filter((facts) => facts.default !== undefined && facts.key.startsWith(prefix))
            .map((facts) => [facts.key.slice(prefix.length), facts.default] as const)
            .filter(([key]) => !key.includes('.')),
    );
}

function withoutAbsent(settings: Settings): Settings {
    return Object.fromEntries(Object.entries(settings).filter(([, value]) => !isAbsent(value)));
}

/** `manta.baseDir` unless it is set. */
const DEFAULT_MANTA_DIR = 'imgapi';

/** Where an area in Manta is: in mode dc there is one a datacenter (backends 1.5). */
export function mantaRootDir(area: {
    readonly user: string;
    readonly baseDir: string | undefined;
    readonly datacenter?: string;
}): string {
    const { user, baseDir = DEFAULT_MANTA_DIR, datacenter } = area;
    return [`/${user}/stor/${baseDir}`, ...(datacenter === undefined ? [] : [datacenter])].join('/');
}

/** `manta.baseDir` and `manta.rootDir` (backends 1.5); wrong types are left to the validation. */
function computedManta(settings: Settings): unknown {
    const { manta } = settings;
    if (!isSettings(manta)) {
        return manta;
    }
    const baseDir: unknown = manta['baseDir'] || DEFAULT_MANTA_DIR;
    const rootDir = mantaRootDir({
        user: String(manta['user']),
        baseDir: typeof baseDir === 'string' ? baseDir : '',
        ...(settings['mode'] === 'dc' ? { datacenter: String(settings['datacenterName']) } : {}),
    });
    return { ...manta, baseDir, rootDir };
}

/** An object that may be given as JSON text; what is no such text is left to the validation. */
function objectFromText(value: unknown): unknown {
    if (typeof value !== 'string') {
        return value;
    }
    try {
        const parsed: unknown = JSON.parse(value);
        return isSettings(parsed) ? parsed : value;
    } catch {
        return value;
    }
}

/** Keys whose values are computed from what was given (backends 1.5, operations 4.2). */
const COMPUTED: Readonly<Record<string, (settings: Settings) => unknown>> = {
    manta: computedManta,
    imgapiUrlFromDatacenter: (settings) => objectFromText(settings['imgapiUrlFromDatacenter']),
};

/**
 * The defaults with the keys of a file over them, top-level key by top-level key; comments are left
 * out and the values of backends 1.5 are computed. The result is what is validated.
 */
export function mergeSettings(file: Settings): Settings {
    const entries = Object.entries(file).filter(([key]) => !key.startsWith('//'));
    const merged: Settings = { ...defaultsOf(''), ...Object.fromEntries(entries) };
    const computed = Object.entries(COMPUTED).filter(([key]) => key in merged);
    return { ...merged, ...Object.fromEntries(computed.map(([key, compute]) => [key, compute(merged)])) };
}

/** How far `--port` moves the other ports: not at all when either port is chosen by the system. */
function portShift(settings: Settings, overrides: ConfigOverrides): number {
    const configured = Number(settings['port']);
    return !overrides.port || configured === 0 ? 0 : overrides.port - configured;
}

function shifted(port: number, shift: number, key: string): number {
    const moved = port + shift;
    if (moved < 1 || moved > 65535) {
        throw new Error(`config.${key} must be integer 1..65535 (${port} moved by ${shift} with --port)`);
    }
    return moved;
}

/** An own object of the settings with its defaults, or `undefined` when it was not given. */
function ownObject(settings: Settings, name: string): Settings | undefined {
    const given = settings[name];
    return isSettings(given) ? { ...defaultsOf(`${name}.`), ...withoutAbsent(given) } : undefined;
}

/** The metrics listener: always in mode dc, elsewhere when configured or asked for (operations 1.8). */
function metricsListener(settings: Settings, overrides: ConfigOverrides): Settings | undefined {
    const wanted = settings['mode'] === 'dc' || overrides.metricsPort !== undefined;
    const given = ownObject(settings, 'metrics') ?? (wanted ? defaultsOf('metrics.') : undefined);
    if (given === undefined) {
        return undefined;
    }
    const home = settings['mode'] === 'dc' ? settings['adminIp'] : (overrides.address ?? settings['address']);
    const port = Number(given['port']);
    return {
        ...given,
        address: given['address'] ?? home,
        port:
            overrides.metricsPort ??
            (port === 0 ? 0 : shifted(port, portShift(settings, overrides), 'metrics.port')),
    };
}

function tlsListener(settings: Settings, overrides: ConfigOverrides): Settings | undefined {
    const tls = ownObject(settings, 'tls');
    return tls && { ...tls, port: shifted(Number(tls['port']), portShift(settings, overrides), 'tls.port') };
}

/** Base directory: the environment, else the file, else the built-in one (backends 1.7). */
export function baseDirectory(settings: Settings, environment: NodeJS.ProcessEnv): string {
    const configured = settings['dataDir'];
    return (
        environment['IMGAPITEST_LOCAL_BASE_DIR'] ||
        (typeof configured === 'string' && configured !== '' ? configured : DEFAULT_BASE_DIR)
    );
}

/** The job engine's settings with the defaults that depend on others (README table A). */
function jobSettings(settings: Settings, overrides: ConfigOverrides, base: string): Settings {
    const host = String(settings['adminIp'] ?? overrides.address ?? settings['address']);
    const port = overrides.port ?? Number(settings['port']);
    return {
        dir: join(base, 'jobs'),
        imgapiUrl: httpBaseUrl(host, port),
        ...(ownObject(settings, 'jobs') ?? defaultsOf('jobs.')),
    };
}

function freeze(value: unknown): void {
    if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
        Object.freeze(value);
        Object.values(value).forEach(freeze);
    }
}

/**
 * The configuration in force out of settings without problems: own objects filled with their
 * defaults, overrides applied, frozen. A `null` counts as not given.
 *
 * @throws when `--port` moves another port out of range
 */
export function completeConfig(
    settings: Settings,
    overrides: ConfigOverrides,
    environment: NodeJS.ProcessEnv,
): Config {
    const own = Object.fromEntries(OWN_OBJECTS.map((name) => [name, ownObject(settings, name)]));
    const dataDir = baseDirectory(settings, environment);
    const { manta, channels, allowInsecure, dockerRegistryInsecure } = settings;
    const config = withoutAbsent({
        ...defaultsOf(''),
        ...withoutAbsent(settings),
        ...own,
        jobs: jobSettings(settings, overrides, dataDir),
        egress: own['egress'] ?? defaultsOf('egress.'),
        port: overrides.port ?? settings['port'],
        address: overrides.address ?? settings['address'],
        metrics: metricsListener(settings, overrides),
        tls: tlsListener(settings, overrides),
        manta: isSettings(manta) ? withoutAbsent(manta) : undefined,
        channels: channels || undefined,
        imgapiUrlFromDatacenter: settings['imgapiUrlFromDatacenter'] || undefined,
        // The existing server looks at the truth of these two, whatever their type.
        allowInsecure: isAbsent(allowInsecure) ? undefined : Boolean(allowInsecure),
        dockerRegistryInsecure: isAbsent(dockerRegistryInsecure)
            ? undefined
            : Boolean(dockerRegistryInsecure),
        dataDir,
    });
    freeze(config);
    // The validation has seen every key that the type names, except those documented as unchecked.
    return config as unknown as Config;
}
