import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loadConfig } from '../../base/config.js';
import { CONFIG_OPTION, configPath } from '../imgapiadm/config-path.js';
import { UsageError, type Invocation } from '../imgapiadm/command.js';
import { addressOfConfig } from '../imgapiadm/server-access.js';
import type { ParsedOptions } from '../options.js';
import { DEFAULT_PREFIX } from '../places.js';
import { runProgram } from '../run-program.js';
import { findServiceManager } from '../service-manager.js';
import type { ScriptDefinition } from './script.js';
import { InstalledVersions } from './upgrade/installed-versions.js';
import { Instances } from './upgrade/instances.js';

const NAME = 'imgapi-upgrade';
const CHECK_LIMIT_MS = 60_000;

/** What to put into service. */
type Wanted =
    { readonly kind: 'tarball' | 'directory'; readonly path: string } | { readonly kind: 'previous' };

function wantedBy({ positionals, values, counts }: ParsedOptions): Wanted {
    const [tarball, ...more] = positionals;
    const directory = values.get('to');
    const wishes: Wanted[] = [
        ...(tarball === undefined ? [] : [{ kind: 'tarball', path: tarball } as const]),
        ...(directory === undefined ? [] : [{ kind: 'directory', path: resolve(directory) } as const]),
        ...(counts.has('rollback') ? [{ kind: 'previous' } as const] : []),
    ];
    const [wanted] = wishes;
    if (wanted === undefined || wishes.length > 1 || more.length > 0) {
        throw new UsageError('give one of a TARBALL, --to and --rollback');
    }
    return wanted;
}

async function directoryOf(wanted: Wanted, versions: InstalledVersions): Promise<string> {
    if (wanted.kind === 'tarball') {
        return versions.unpack(wanted.path);
    }
    return wanted.kind === 'directory' ? wanted.path : versions.previous();
}

/** Has the code of a directory look at the configuration, if there is one yet. @throws Error with what it says */
async function checkConfig(directory: string, config: string): Promise<void> {
    const launcher = join(directory, 'main.js');
    const node = join(directory, 'build', 'node', 'bin', 'node');
    if (!existsSync(launcher)) {
        throw new Error(`${directory} holds no image server`);
    }
    const args = existsSync(config) ? ['--check', '-f', config] : ['--version'];
    const { status, stdout, stderr } = await runProgram(
        existsSync(node) ? node : process.execPath,
        [launcher, ...args],
        { timeoutMs: CHECK_LIMIT_MS },
    );
    if (status !== 0) {
        throw new Error(`${directory} cannot be put into service: ${(stdout + stderr).trim()}`);
    }
}

function toError(error: unknown): Error {
    return error instanceof Error ? error : new Error(String(error));
}

/** Starts the processes anew, one after another. @returns why one did not come back; those after it run on */
async function restartAll(
    instances: Instances,
    names: readonly string[],
    terminal: Invocation['terminal'],
): Promise<Error | undefined> {
    try {
        for (const name of names) {
            await instances.restart(name);
            terminal.line(`${name} restarted`);
        }
        return undefined;
    } catch (error) {
        return toError(error);
    }
}

/** Starts all processes anew that can be, and tells of each that does not come back. */
async function bringBack(
    instances: Instances,
    names: readonly string[],
    terminal: Invocation['terminal'],
): Promise<void> {
    for (const name of names) {
        const failure = await restartAll(instances, [name], terminal);
        if (failure !== undefined) {
            terminal.note(`error: ${name} does not run again: ${failure.message}`);
        }
    }
}

/** How processes follow what is in service. */
interface Followers {
    /** @returns why one did not come back */
    restart(): Promise<Error | undefined>;
    /** After the version before was put into service again. */
    bringBack(): Promise<void>;
}

/** Puts a directory into service, and what was before again if that fails. */
async function replace(
    versions: InstalledVersions,
    { directory, before }: { readonly directory: string; readonly before: string | undefined },
    followers: Followers,
    terminal: Invocation['terminal'],
): Promise<void> {
    const isNew = before !== undefined && before !== directory;
    if (isNew) {
        await versions.keep(before);
    }
    await versions.switchTo(directory);
    terminal.line(`${directory} is in service`);
    const failure = await followers.restart();
    if (failure === undefined) {
        return;
    }
    if (isNew) {
        await versions.switchTo(before);
        terminal.note(`${before} is in service again`);
        await followers.bringBack();
    }
    throw failure;
}

async function upgrade({ parsed, environment, terminal }: Invocation): Promise<number> {
    const wanted = wantedBy(parsed);
    const versions = new InstalledVersions(parsed.values.get('link') ?? DEFAULT_PREFIX);
    const config = configPath(parsed, environment);
    const before = await versions.current();
    const directory = await directoryOf(wanted, versions);
    await checkConfig(directory, config);
    if (!existsSync(config)) {
        const none = { restart: () => Promise.resolve(undefined), bringBack: () => Promise.resolve() };
        await replace(versions, { directory, before }, none, terminal);
        return 0;
    }
    const instances = new Instances(await findServiceManager(environment), (port) =>
        addressOfConfig(loadConfig(config, port === undefined ? {} : { overrides: { port } })),
    );
    // Asked once: what does not come up with the new version is to run with the one before again.
    const names = await instances.running();
    const followers = {
        restart: () => restartAll(instances, names, terminal),
        bringBack: () => bringBack(instances, names, terminal),
    };
    await replace(versions, { directory, before }, followers, terminal);
    return 0;
}

/** Puts another version of the server into service, or the one before (operations 3.2, 5.4). */
export const UPGRADE: ScriptDefinition = {
    name: NAME,
    summary: 'Puts another version of the server into service, or the one before.',
    usage: '[OPTIONS] [TARBALL]',
    description: [
        'Puts another version of the server into service, or the one before: unpacks the tarball beside the',
        'version that runs, has the new one look at the configuration, makes the link to the code name it, and',
        'starts the processes that systemd or SMF runs anew, one by one and the one that writes last; each must',
        'answer before the next is stopped. If one does not, the version before is put into service again.',
        'Processes that were started otherwise are not touched: start them anew yourself.',
    ],
    options: [
        { name: 'to', argument: 'DIR', help: ['A version that is unpacked already.'] },
        { name: 'rollback', help: ['The version that was in service before.'] },
        { name: 'link', argument: 'PATH', help: ['The link to the code; default:', DEFAULT_PREFIX] },
        CONFIG_OPTION,
    ],
    examples: [
        `${NAME} imgapi-5.1.0-linux.tar.gz`,
        `${NAME} --to /opt/smartdc/imgapi-5.1.0`,
        `${NAME} --rollback`,
    ],
    exitStatuses: [
        ['0', 'It is in service; what ran before runs again.'],
        ['1', 'Something failed: what was in service before is so still; stderr names what does not run.'],
    ],
    run: upgrade,
};
