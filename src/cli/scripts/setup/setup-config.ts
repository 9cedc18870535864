import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Mustache from 'mustache';
import sshpk from 'sshpk';
import { fingerprintOf } from '../../../auth/key-pair.js';
import { checkConfig } from '../../../base/config.js';
import { isSettings } from '../../../base/config-rules.js';
import { DEFAULT_BASE_DIR } from '../../../base/constants.js';
import { systemErrorCode } from '../../../base/errors.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { Places } from '../../places.js';
import type { SetupVars } from './setup-vars.js';

/** Ending of private keys in `etc`; the public half has `.pub` behind it. */
export const KEY_ENDING = '.id_ecdsa';
/** Longer than the failed checks after which HAProxy, set up by our sample, stops asking (operations 1.4). */
const PROXY_NOTICE_SEC = 12;
const KEY_NAME = /^imgapi-.+\.id_ecdsa$/;

/** Values of the template. */
type Values = Readonly<Record<string, string | number | boolean>>;

function booleanOf(name: string, text: string | undefined): boolean {
    if (!['true', 'false', '1', '0', undefined].includes(text)) {
        throw new Error(`${name} must be "true" or "false": "${text ?? ''}"`);
    }
    return text === 'true' || text === '1';
}

function portOf(text: string): number {
    if (!/^\d{1,5}$/.test(text)) {
        throw new Error(`port must be a number: "${text}"`);
    }
    return Number(text);
}

async function channelsOf(text: string | undefined, { prefix }: Places): Promise<string | undefined> {
    if (text === undefined) {
        return undefined;
    }
    if (text === 'standard') {
        return readFile(join(prefix, 'etc', 'standalone', 'standard-channels.json'), 'utf8');
    }
    try {
        JSON.parse(text);
    } catch (cause) {
        throw new Error(`channels must be "standard" or a JSON array: ${text}`, { cause });
    }
    return text;
}

/** The private keys of this instance, by name: the last one is the newest. */
export async function instanceKeys(data: string): Promise<readonly string[]> {
    const names = (await unlessMissing(readdir(join(data, 'etc')))) ?? [];
    return names.filter((name) => KEY_NAME.test(name)).sort();
}

async function ownPublicKey(data: string): Promise<string> {
    const newest = (await instanceKeys(data)).at(-1);
    if (newest === undefined) {
        throw new Error(`there is no instPubKey, and no key in ${join(data, 'etc')}`);
    }
    return readFile(join(data, 'etc', `${newest}.pub`), 'utf8');
}

/** What Manta knows the key by, and where its private half is. @throws Error when one of the halves is missing */
async function keyOf(given: string | undefined, data: string): Promise<Values> {
    const line = (given ?? (await ownPublicKey(data))).trim();
    let key: sshpk.Key;
    try {
        key = sshpk.parseKey(line, 'ssh');
    } catch (cause) {
        throw new Error(`instPubKey is no public key as of an SSH key file: ${line}`, { cause });
    }
    const comment = line.split(/\s+/)[2];
    if (comment === undefined || !/^[\w.@-]+$/.test(comment)) {
        throw new Error(`instPubKey has no comment that could be the name of a file: ${line}`);
    }
    const mantaKey = join(data, 'etc', `${comment}${KEY_ENDING}`);
    try {
        await readFile(mantaKey);
    } catch (cause) {
        throw new Error(
            `the key that instPubKey belongs to cannot be read: ${mantaKey} (${systemErrorCode(cause)})`,
            {
                cause,
            },
        );
    }
    return { mantaKey, mantaKeyId: fingerprintOf(key) };
}

async function mantaOf(vars: SetupVars, data: string): Promise<Values> {
    const { mantaUrl, mantaUser } = vars;
    if (mantaUrl === undefined && mantaUser === undefined) {
        return {};
    }
    if (mantaUrl === undefined || mantaUser === undefined) {
        throw new Error('mantaUrl and mantaUser belong together: one of them is missing');
    }
    return { mantaUrl, mantaUser, ...(await keyOf(vars.instPubKey, data)) };
}

async function valuesOf(vars: SetupVars, places: Places, behindProxy: boolean): Promise<Values> {
    const { mode = 'public', address = '127.0.0.1', authType = 'signature', logLevel = 'info' } = vars;
    const { serverName, mantaBaseDir, tlsCert, tlsKey } = vars;
    if (mode !== 'public' && mode !== 'private') {
        throw new Error(`mode must be "public" or "private": "${mode}"`);
    }
    const channels = await channelsOf(vars.channels, places);
    if (tlsKey !== undefined && tlsCert === undefined) {
        throw new Error('tlsKey is of no use without tlsCert');
    }
    const optional = { serverName, mantaBaseDir, tlsCert, tlsKey, channels };
    const given = Object.entries(optional).filter(
        (entry): entry is [string, string] => entry[1] !== undefined,
    );
    return {
        mode,
        address,
        authType,
        logLevel,
        port: portOf(vars.port ?? '8080'),
        drainDelaySec: behindProxy ? PROXY_NOTICE_SEC : 0,
        ...(places.data === DEFAULT_BASE_DIR ? {} : { dataDir: places.data }),
        mantaInsecure: booleanOf('mantaInsecure', vars.mantaInsecure),
        ...Object.fromEntries(given),
        ...(await mantaOf(vars, places.data)),
    };
}

/** What is wrong with a configuration, as `--check` says it. */
async function problemsOf(text: string): Promise<readonly string[]> {
    const directory = await mkdtemp(join(tmpdir(), 'imgapi-config-'));
    try {
        const path = join(directory, 'imgapi.config.json');
        await writeFile(path, text, { mode: 0o600 });
        return checkConfig(path);
    } finally {
        await rm(directory, { recursive: true, force: true });
    }
}

/**
 * Makes the configuration of a standalone server (operations 3.2).
 *
 * @param behindProxy HAProxy decides which process is asked
 * @returns its text
 * @throws Error when a variable, or the configuration as a whole, is of no use
 */
export async function makeSetupConfig(
    vars: SetupVars,
    places: Places,
    { behindProxy = false }: { readonly behindProxy?: boolean } = {},
): Promise<string> {
    const template = await readFile(
        join(places.prefix, 'etc', 'standalone', 'imgapi.config.json.handlebars'),
        'utf8',
    );
    const rendered = Mustache.render(template, await valuesOf(vars, places, behindProxy), undefined, {
        // In the quotes of the template.
        escape: (value: unknown) => JSON.stringify(String(value)).slice(1, -1),
    });
    const config: unknown = JSON.parse(rendered);
    if (!isSettings(config)) {
        throw new Error('the template makes no JSON object');
    }
    const text = `${JSON.stringify(config, null, 4)}\n`;
    const problems = await problemsOf(text);
    if (problems.length > 0) {
        throw new Error(problems.join('; '));
    }
    return text;
}
