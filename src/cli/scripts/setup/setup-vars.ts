import { readFile } from 'node:fs/promises';
import { isSettings } from '../../../base/config-rules.js';
import { UsageError, type Invocation } from '../../imgapiadm/command.js';
import type { CommandOption } from '../../options.js';
import { programIn } from '../../places.js';
import { runProgram } from '../../run-program.js';

/** What a set-up can be told, and what that means (operations 3.2). */
const SETUP_VARS = {
    mode: '"public" (default) or "private"',
    channels: '"standard", or a JSON array of channels',
    serverName: 'what the server calls itself',
    mantaUrl: 'the Manta to keep files and backups in',
    mantaInsecure: '"true": take any TLS certificate of it',
    mantaUser: 'account in Manta',
    mantaBaseDir: 'directory of the account; default: "imgapi"',
    instPubKey: 'public key for Manta; default: the one in etc',
    port: 'default: 8080',
    address: 'default: 127.0.0.1',
    authType: '"signature" (default) or "none"',
    tlsCert: 'certificate chain for the built-in HTTPS listener',
    tlsKey: 'its key, if it is not in the same file',
    logLevel: 'default: "info"',
} as const;

/** Name of a set-up variable. */
export type SetupVar = keyof typeof SETUP_VARS;
/** Those that were given. */
export type SetupVars = Readonly<Partial<Record<SetupVar, string>>>;

const NAMES = Object.keys(SETUP_VARS) as readonly SetupVar[];
/** The ones a zone is given as its metadata. */
const FROM_METADATA: readonly SetupVar[] = [
    'mode',
    'channels',
    'serverName',
    'mantaUrl',
    'mantaInsecure',
    'mantaUser',
    'mantaBaseDir',
    'instPubKey',
];
const ENVIRONMENT = 'IMGAPI_SETUP_';
const METADATA_LIMIT_MS = 30_000;
/** Exit status of `mdata-get` for a key that is not there. */
const NO_METADATA = 1;

/** Options by which variables are given. */
export const VAR_OPTIONS: readonly CommandOption[] = [
    {
        name: 'metadata',
        short: 'm',
        argument: 'KEY=VAL',
        help: ['Sets a variable; may be repeated.'],
    },
    {
        name: 'vars',
        argument: 'FILE',
        help: ['Variables as a JSON object, or as lines KEY=VAL.'],
    },
];

/** Lines of a help text about where variables come from. */
export const VAR_NOTES: readonly string[] = [
    'Variables come from -m, else from the file of --vars, else from the environment',
    '(IMGAPI_SETUP_mantaUrl or IMGAPI_SETUP_MANTA_URL, and so on), else, where there is mdata-get, from',
    'the metadata of the zone. Empty ones count as not given. There are:',
    ...NAMES.map((name) => `    ${name.padEnd(16)}${SETUP_VARS[name]}`),
];

function nameOf(text: string, where: string): SetupVar {
    const known = NAMES.find((name) => name === text);
    if (known === undefined) {
        throw new UsageError(`unknown variable ${where}: "${text}"; there are: ${NAMES.join(', ')}`);
    }
    return known;
}

function pair(text: string, where: string): readonly [SetupVar, string] {
    const equals = text.indexOf('=');
    if (equals < 1) {
        throw new UsageError(`no KEY=VAL ${where}: "${text}"`);
    }
    return [nameOf(text.slice(0, equals).trim(), where), text.slice(equals + 1)];
}

function textOf(value: unknown, name: string): string {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
        return String(value);
    }
    return name === 'channels' ? JSON.stringify(value) : '';
}

async function fromFile(path: string): Promise<SetupVars> {
    const text = await readFile(path, 'utf8');
    const where = `in ${path}`;
    if (!text.trimStart().startsWith('{')) {
        const lines = text.split(/\r?\n/).filter((line) => !/^\s*(?:#.*)?$/.test(line));
        return Object.fromEntries(lines.map((line) => pair(line, where)));
    }
    let value: unknown;
    try {
        value = JSON.parse(text);
    } catch (cause) {
        throw new UsageError(`no JSON ${where}`, { cause });
    }
    const entries = isSettings(value) ? Object.entries(value) : [];
    return Object.fromEntries(entries.map(([key, each]) => [nameOf(key, where), textOf(each, key)]));
}

/** Variables of the environment, however their names are written. */
function fromEnvironment(environment: NodeJS.ProcessEnv): SetupVars {
    const plain = (text: string): string => text.replaceAll('_', '').toLowerCase();
    const given = new Map(
        Object.entries(environment)
            .filter(([name]) => name.startsWith(ENVIRONMENT))
            .map(([name, value]) => [plain(name.slice(ENVIRONMENT.length)), value] as const),
    );
    return Object.fromEntries(
        NAMES.flatMap((name) => {
            const value = given.get(plain(name));
            return value === undefined ? [] : [[name, value]];
        }),
    );
}

/** @throws Error when there is `mdata-get`, but it does not answer */
async function fromMetadata(environment: NodeJS.ProcessEnv): Promise<SetupVars> {
    const program = programIn(environment, 'mdata-get');
    if (program === undefined) {
        return {};
    }
    const found: [SetupVar, string][] = [];
    for (const name of FROM_METADATA) {
        const { status, stdout, stderr } = await runProgram(program, [name], {
            timeoutMs: METADATA_LIMIT_MS,
            environment,
        });
        if (status === 0) {
            // It adds a line feed of its own.
            found.push([name, stdout.replace(/\n$/, '')]);
        } else if (status !== NO_METADATA) {
            throw new Error(`mdata-get ${name} failed: ${stderr.trim()}`);
        }
    }
    return Object.fromEntries(found);
}

/** Collects the variables of a set-up. @throws UsageError for one that there is not; Error when a source fails */
export async function readSetupVars({
    parsed,
    environment,
}: Pick<Invocation, 'parsed' | 'environment'>): Promise<SetupVars> {
    const file = parsed.values.get('vars');
    const sources: readonly SetupVars[] = [
        await fromMetadata(environment),
        fromEnvironment(environment),
        file === undefined ? {} : await fromFile(file),
        Object.fromEntries((parsed.lists.get('metadata') ?? []).map((text) => pair(text, 'after -m'))),
    ];
    const given = sources.map((vars) => Object.entries(vars).filter(([, value]) => value !== ''));
    return Object.fromEntries(given.flat());
}
