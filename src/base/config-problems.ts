import { channelProblems } from './config-channels.js';
import { hasType, isAbsent, isSettings, ruleProblem, settingAt, type Settings } from './config-rules.js';
import { OWN_KEYS } from './config-table-own.js';
import { DC_KEYS, FIRST_KEYS, type ConfigKey } from './config-table.js';
import { VALID_STORAGES } from './constants.js';
import { parseLogLevel } from './log-level.js';

/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
    /** Dotted key. */
    readonly key: string;
    /** As it follows `invalid IMGAPI config: ` (backends 1.4). */
    readonly message: string;
}

function typeProblem(key: string, word: string): ConfigProblem {
    return { key, message: `config.${key} (${word}) is required` };
}

/** Whether the object that holds a dotted key is missing or no object; that is its own key's problem. */
function hasNoParent(settings: Settings, key: string): boolean {
    const dot = key.lastIndexOf('.');
    return dot >= 0 && !isSettings(settingAt(settings, key.slice(0, dot)));
}

/** The problem of one key with its type and its rule, or `undefined`. */
function keyProblem(settings: Settings, facts: ConfigKey): ConfigProblem | undefined {
    const { key, type, required, rule } = facts;
    if (type === undefined || hasNoParent(settings, key)) {
        return undefined;
    }
    const value = settingAt(settings, key);
    if (isAbsent(value)) {
        return required?.(settings) === true ? typeProblem(key, type) : undefined;
    }
    if (!hasType(value, type)) {
        return typeProblem(key, type);
    }
    const message = rule === undefined ? undefined : ruleProblem(key, value, rule);
    return message === undefined ? undefined : { key, message };
}

function* authKeysProblems(settings: Settings): Generator<ConfigProblem> {
    const users = settings['authKeys'];
    for (const [user, keys] of Object.entries(isSettings(users) ? users : {})) {
        if (!hasType(keys, '[string]')) {
            yield {
                key: 'authKeys',
                message: `config.authKeys["${user}"] value ([string]) is required`,
            };
        }
    }
}

function* storageTypesProblems(settings: Settings): Generator<ConfigProblem> {
    const types = settings['storageTypes'];
    for (const type of hasType(types, '[string]') ? (types as readonly string[]) : []) {
        if (!(VALID_STORAGES as readonly string[]).includes(type)) {
            yield { key: 'storageTypes', message: `invalid storage type: ${type}` };
        }
    }
}

function* datacenterUrlProblems(settings: Settings): Generator<ConfigProblem> {
    const urls = settings['imgapiUrlFromDatacenter'];
    for (const [name, url] of Object.entries(isSettings(urls) ? urls : {})) {
        if (typeof url !== 'string') {
            yield {
                key: 'imgapiUrlFromDatacenter',
                message: `config.imgapiUrlFromDatacenter["${name}"] value (string) is required`,
            };
        }
    }
}

/** What is looked at right after the type of a key was. */
const DETAILS: Readonly<Record<string, (settings: Settings) => Iterable<ConfigProblem>>> = {
    authKeys: authKeysProblems,
    storageTypes: storageTypesProblems,
    imgapiUrlFromDatacenter: datacenterUrlProblems,
};

/** Keys the existing server does not look at when they are falsy, or do not matter (backends 1.2). */
function isSkipped(settings: Settings, key: string): boolean {
    return (
        (key === 'authKeys' && settings['authType'] === 'none') ||
        (key === 'imgapiUrlFromDatacenter' && !settings[key])
    );
}

function* tableProblems(settings: Settings, table: readonly ConfigKey[]): Generator<ConfigProblem> {
    for (const facts of table) {
        if (isSkipped(settings, facts.key)) {
            continue;
        }
        const problem = keyProblem(settings, facts);
        if (problem !== undefined) {
            yield problem;
        }
        yield* DETAILS[facts.key]?.(settings) ?? [];
    }
}

/** `databaseType` moray needs the address of Moray in every mode; mode dc has been looked at. */
function* morayProblems(settings: Settings): Generator<ConfigProblem> {
    if (settings['databaseType'] !== 'moray' || settings['mode'] === 'dc') {
        return;
    }
    const moray = settings['moray'];
    if (isAbsent(moray)) {
        yield typeProblem('moray', 'object');
    } else if (isSettings(moray)) {
        if (isAbsent(moray['host'])) {
            yield typeProblem('moray.host', 'string');
        }
        if (isAbsent(moray['port'])) {
            yield typeProblem('moray.port', 'finite');
        }
    }
}

function* emptyStorageProblem(settings: Settings): Generator<ConfigProblem> {
    const types = settings['storageTypes'];
    if (Array.isArray(types) && types.length === 0) {
        yield { key: 'storageTypes', message: 'config.storageTypes must not be empty' };
    }
}

function* logLevelProblem(settings: Settings): Generator<ConfigProblem> {
    const level = settings['logLevel'];
    if (!isAbsent(level) && parseLogLevel(level) === undefined) {
        const text = typeof level === 'string' ? level : JSON.stringify(level);
        yield { key: 'logLevel', message: `invalid config.logLevel: ${text}` };
    }
}

/**
 * Everything that is wrong with merged settings, in the order of the checks: the first problem is
 * the one a start reports (backends 1.4).
 */
export function* configProblems(settings: Settings): Generator<ConfigProblem> {
    yield* tableProblems(settings, FIRST_KEYS);
    yield* tableProblems(settings, DC_KEYS);
    yield* morayProblems(settings);
    yield* emptyStorageProblem(settings);
    yield* tableProblems(settings, OWN_KEYS);
    yield* logLevelProblem(settings);
    for (const message of channelProblems(settings['channels'])) {
        yield { key: 'channels', message };
    }
}
