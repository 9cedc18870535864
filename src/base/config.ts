import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { completeConfig, mergeSettings, type ConfigOverrides } from './config-computed.js';
import { OLD_TOP_KEYS, oldFormProblems } from './config-old-forms.js';
import { configProblems } from './config-problems.js';
import { isSettings, type Settings } from './config-rules.js';
import { CONFIG_KEYS, OWN_OBJECTS } from './config-table.js';
import type { Config } from './config-types.js';
import { DEFAULT_BASE_DIR } from './constants.js';
import { messageOf } from './errors.js';
import { jsonProblem } from './json-problem.js';

/** Where the configuration file is unless a command line names another (backends 1.1). */
export const DEFAULT_CONFIG_PATH = `${DEFAULT_BASE_DIR}/etc/imgapi.config.json`;

/** Where servers before 3.0.0 had it: beside the code (operations 5.5). */
const OLD_CONFIG_PATH = fileURLToPath(new URL('../../etc/imgapi.config.json', import.meta.url));

const INVALID = 'invalid IMGAPI config: ';

/** What {@link loadConfig} can be told beside the path. */
export interface LoadOptions {
    readonly overrides?: ConfigOverrides;
    /** Called once for each key that is not read. */
    readonly onWarning?: (message: string) => void;
    /** Default: the one of this process. */
    readonly environment?: NodeJS.ProcessEnv;
}

/** @throws Error with the messages of backends 1.1 */
function readSettings(path: string): Settings {
    const text = readFileSync(path, 'utf8');
    let parsed: unknown;
    try {
        parsed = JSON.parse(text);
    } catch (error) {
        // Not as its cause, which shows some of the text.
        throw new Error(`could not parse ${path}: ${jsonProblem(text, error)}`);
    }
    if (!isSettings(parsed)) {
        throw new Error(`${INVALID}config must be a JSON object`);
    }
    return parsed;
}

const KNOWN = new Set(CONFIG_KEYS.map((facts) => facts.key));

function unknownKeys(file: Settings): string[] {
    const top = Object.keys(file).filter(
        (key) => !KNOWN.has(key) && !key.startsWith('//') && !OLD_TOP_KEYS.includes(key),
    );
    const below = OWN_OBJECTS.flatMap((name) => {
        const own = file[name];
        return isSettings(own) ? Object.keys(own).map((key) => `${name}.${key}`) : [];
    }).filter((key) => !KNOWN.has(key) && !key.includes('.//'));
    return [...top, ...below];
}

/** What a start does not stop at but tells: keys that are not read, a setting without effect yet. */
function warningsOf(file: Settings): string[] {
    return [
        ...unknownKeys(file).map((key) => `unknown config key: ${key}`),
        ...oldFormProblems(file),
        ...(file['fluentd_host'] ? ['config.fluentd_host: "evt" records are logged, but not sent on'] : []),
    ];
}

/**
 * Reads, merges, computes and validates the configuration (backends 1). The result is frozen.
 *
 * @throws Error with the plain file system message, `could not parse <path>: <parser message>` or
 *   `invalid IMGAPI config: <first problem>`
 */
export function loadConfig(path: string, options: LoadOptions = {}): Config {
    const file = readSettings(path);
    const settings = mergeSettings(file);
    const [first] = configProblems(settings);
    if (first !== undefined) {
        throw new Error(INVALID + first.message);
    }
    warningsOf(file).forEach((warning) => options.onWarning?.(warning));
    try {
        return completeConfig(settings, options.overrides ?? {}, options.environment ?? process.env);
    } catch (error) {
        throw new Error(INVALID + messageOf(error), { cause: error });
    }
}

/** A problem as a line of its own: the dotted key is put in front when the message does not say it. */
function problemLine(problem: { readonly key: string; readonly message: string }): string {
    const name = `config.${problem.key}`;
    return problem.message.includes(name) ? problem.message : `${name}: ${problem.message}`;
}

/** What else to say when the file cannot be read: an old one may lie beside the code. */
function movedFileHint(path: string): string[] {
    return !existsSync(path) && existsSync(OLD_CONFIG_PATH)
        ? [`${OLD_CONFIG_PATH} is not read any more: move it to ${path}`]
        : [];
}

/**
 * Every problem of a configuration file, one line each with its dotted key; none: the file is good.
 * Keys from before 3.0.0 are problems here, with the names of the new ones (operations 1.1, 5.5).
 */
export function checkConfig(path: string, options: LoadOptions = {}): string[] {
    let file: Settings;
    try {
        file = readSettings(path);
    } catch (error) {
        return [messageOf(error), ...movedFileHint(path)];
    }
    const settings = mergeSettings(file);
    unknownKeys(file).forEach((key) => options.onWarning?.(`unknown config key: ${key}`));
    const problems = [...[...configProblems(settings)].map(problemLine), ...oldFormProblems(file)];
    if (problems.length > 0) {
        return problems;
    }
    try {
        completeConfig(settings, options.overrides ?? {}, options.environment ?? process.env);
    } catch (error) {
        return [messageOf(error)];
    }
    return [];
}
