import { readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import sshpk from 'sshpk';
import { createMantaObjects } from '../../../app/manta-objects.js';
import { loadConfig } from '../../../base/config.js';
import type { Config, MantaConfig } from '../../../base/config-types.js';
import { syncDirectory, writeFileDurably } from '../../../base/durable-files.js';
import { isStorageDown } from '../../../base/errors.js';
import { timeStamp } from '../../../base/time-stamp.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import { programIn } from '../../places.js';
import { runProgram } from '../../run-program.js';
import { isRefusal } from '../backup/manta-refusal.js';
import { EXIT, type Invocation } from '../command.js';
import { failureText } from '../failure-text.js';
import { Interrupt } from '../interrupt.js';
import { ownerToBe, type Owner } from '../offline/act-as-owner.js';
import { ownedDirectory, requireNoLinks } from '../offline/own-directory.js';
import { countText } from '../../../base/quantities.js';
import { readStandaloneServer, type StandaloneServer } from '../standalone-config.js';
import type { Terminal } from '../terminal.js';
import { replaceConfig, withKey, type ChangedConfig } from './key-config.js';
import { newKeyIn, writeKey, type NewKey } from './new-key.js';
import { findServer, reloadServer, type RunningServer } from './server-reload.js';

const POLL_MS = 5000;
const PROGRAM_LIMIT_MS = 30_000;

/** What a rotation is asked to do. */
export interface RotationOrder {
    readonly configPath: string;
    /** How long Manta may take to accept the new key, milliseconds. */
    readonly waitMs: number;
    /** How long to wait then, until all of Manta knows it. */
    readonly settleMs: number;
    readonly yes: boolean;
    /** Send SIGHUP although nobody is known who starts the server again. */
    readonly hangUp: boolean;
}

/** Has a Manta area asked with a key. @throws as `ObjectStore` says */
async function askManta(config: Config, manta: MantaConfig): Promise<void> {
    const objects = await createMantaObjects({ ...config, manta });
    try {
        await objects?.check();
    } finally {
        objects?.close();
    }
}

/** Replaces the key that a server signs with in Manta (operations 3.2). */
class Rotation {
    readonly #order: RotationOrder;
    readonly #server: StandaloneServer;
    readonly #manta: MantaConfig;
    readonly #owner: Owner | undefined;
    readonly #terminal: Terminal;
    readonly #environment: NodeJS.ProcessEnv;
    readonly #interrupt = new Interrupt();

    constructor(
        order: RotationOrder,
        server: StandaloneServer,
        manta: MantaConfig,
        owner: Owner | undefined,
        { terminal, environment }: Invocation,
    ) {
        this.#order = order;
        this.#server = server;
        this.#manta = manta;
        this.#owner = owner;
        this.#terminal = terminal;
        this.#environment = environment;
    }

    async execute(): Promise<number> {
        this.#interrupt.listen({
            onFirst: () => this.#terminal.note('stopping; the new key waits for the next run'),
            onSecond: () => undefined,
        });
        try {
            return await this.#rotate();
        } catch (error) {
            if (this.#interrupt.status !== undefined) {
                return this.#interrupt.status;
            }
            throw error;
        }
    }

    async #rotate(): Promise<number> {
        const { signal } = this.#interrupt;
        const { etc } = this.#server.directories;
        const question = `Replace the key of ${this.#manta.user} at ${this.#manta.url}?`;
        if (!this.#order.yes && !(await this.#terminal.confirm(question, signal))) {
            signal.throwIfAborted();
            this.#terminal.note('nothing was changed');
            return EXIT.findings;
        }
        const directory = join(etc, 'newinstkey');
        for (const path of [this.#server.configPath, directory, join(etc, 'oldinstkeys')]) {
            await requireNoLinks(path, this.#owner);
        }
        const key = await newKeyIn(directory, await this.#usedFingerprint(), this.#owner);
        this.#terminal.line(
            `${key.isFresh ? 'New key' : 'New key, of an earlier run'}: ${join(directory, key.name)}`,
        );
        await this.#publish(key);
        this.#show(key);
        if (
            !this.#order.yes &&
            !(await this.#terminal.waitForEnter('go on when the account has it', signal))
        ) {
            signal.throwIfAborted();
            throw new Error('nobody has agreed: the new key waits for the next run; see --yes');
        }
        await this.#waitForAccess(join(directory, key.name), key);
        return this.#putInUse(key, directory);
    }

    async #usedFingerprint(): Promise<string> {
        const text = await unlessMissing(readFile(this.#manta.key));
        return text === undefined ? '' : sshpk.parsePrivateKey(text, 'auto').fingerprint('sha256').toString();
    }

    /** Tells those outside the zone, where this is one. */
    async #publish({ pair }: NewKey): Promise<void> {
        const program = programIn(this.#environment, 'mdata-put');
        if (program === undefined) {
            return;
        }
        const { status, stderr } = await runProgram(program, ['instPubKey', pair.publicKey], {
            timeoutMs: PROGRAM_LIMIT_MS,
            environment: this.#environment,
        });
        if (status !== 0) {
            throw new Error(`mdata-put instPubKey failed: ${stderr.trim()}`);
        }
    }

    #show({ pair }: NewKey): void {
        const md5 = sshpk.parseKey(pair.publicKey, 'ssh').fingerprint('md5').toString('hex');
        [
            'Add this public key to the account, and leave the old one there:',
            `    url:    ${this.#manta.url}`,
            `    user:   ${this.#manta.user}`,
            `    sha256: ${pair.fingerprint}`,
            `    md5:    ${md5}`,
            `    ${pair.publicKey.trim()}`,
        ].forEach((line) => this.#terminal.line(line));
    }

    /** @throws Error when Manta does not accept the key in time, or answers otherwise */
    async #waitForAccess(path: string, { pair }: NewKey): Promise<void> {
        const { signal } = this.#interrupt;
        const { waitMs, settleMs } = this.#order;
        const end = Date.now() + waitMs;
        const manta = { ...this.#manta, key: path, keyId: pair.fingerprint };
        for (;;) {
            signal.throwIfAborted();
            try {
                await askManta(this.#server.config, manta);
                break;
            } catch (error) {
                if (!isRefusal(error) && !isStorageDown(error)) {
                    throw error;
                }
                if (Date.now() + POLL_MS > end) {
                    throw new Error(
                        `Manta has not accepted the new key within ${waitMs / 1000} s (${failureText(error)}): ` +
                            'nothing was changed, the key waits for the next run',
                        { cause: error },
                    );
                }
                this.#terminal.trace(`not yet: ${failureText(error)}`);
            }
            await delay(POLL_MS, undefined, { signal });
        }
        this.#terminal.line('Manta accepts the new key');
        if (settleMs > 0) {
            this.#terminal.line(`Waiting ${settleMs / 1000} s for all of Manta to know it`);
            await delay(settleMs, undefined, { signal });
        }
    }

    async #putInUse(key: NewKey, waiting: string): Promise<number> {
        const { configPath, directories } = this.#server;
        const { etc } = directories;
        // From here on nothing stops half-way but a crash, and at each moment the configuration names a key
        // that is there and that Manta knows.
        const old = join(etc, 'oldinstkeys');
        await ownedDirectory(old, this.#owner);
        const path = await writeKey(etc, key, this.#owner);
        const changed = await withKey(configPath, path, key.pair.fingerprint, this.#owner);
        const copy = join(old, `${basename(configPath)}.${timeStamp(Date.now())}`);
        await writeFileDurably(copy, changed.before, changed.file);
        await replaceConfig(changed);
        const running = await findServer(this.#server, this.#environment);
        const failure = await this.#takeUp(running);
        if (failure !== undefined) {
            return this.#rollBack(changed, running, failure);
        }
        await this.#retire(old, path);
        await rm(waiting, { recursive: true, force: true });
        this.#conclude(running);
        return EXIT.clean;
    }

    #isTold({ pids, isKept }: RunningServer): boolean {
        return pids.length > 0 && (isKept || this.#order.hangUp);
    }

    /** @returns why the new key is not in use; `undefined`: it is, or nobody is there to use it */
    async #takeUp(running: RunningServer): Promise<string | undefined> {
        const config = loadConfig(this.#server.configPath);
        if (config.manta === undefined) {
            return 'the configuration has no "manta" any more';
        }
        const failure = this.#isTold(running) ? await reloadServer(running, config) : undefined;
        return failure ?? askManta(config, config.manta).then(() => undefined, failureText);
    }

    async #rollBack(changed: ChangedConfig, running: RunningServer, failure: string): Promise<number> {
        const { config } = this.#server;
        await replaceConfig({ ...changed, before: changed.after, after: changed.before });
        this.#terminal.note(
            `error: ${failure}: the old key is in use again, the new one waits for the next run`,
        );
        if (this.#isTold(running)) {
            const again = await findServer(this.#server, this.#environment);
            const problem = await reloadServer(again, config);
            if (problem !== undefined) {
                this.#terminal.note(`error: ${problem}, with the old configuration: look at its log`);
            }
        }
        return EXIT.findings;
    }

    /** Takes the old key away, if it is in `etc`. */
    async #retire(old: string, used: string): Promise<void> {
        const { key } = this.#manta;
        if (dirname(key) !== this.#server.directories.etc || key === used) {
            return;
        }
        for (const path of [key, `${key}.pub`]) {
            await unlessMissing(rename(path, join(old, basename(path))));
        }
        await syncDirectory(dirname(key));
        await syncDirectory(old);
    }

    #conclude(running: RunningServer): void {
        const { pids } = running;
        if (this.#isTold(running)) {
            this.#terminal.line(
                `The server has been started again with it (${countText(pids.length, 'process')})`,
            );
        } else if (pids.length > 0) {
            this.#terminal.line(
                'The server still has the old key: nobody is known who would start it again.',
            );
            this.#terminal.line('Restart it now.');
        }
        this.#terminal.line(
            `Then remove the old key from the account ${this.#manta.user}: ${this.#manta.keyId}`,
        );
    }
}

/** Replaces the key for Manta. @returns the exit status. @throws Error when it could not run */
export async function rotateKey(order: RotationOrder, invocation: Invocation): Promise<number> {
    const server = readStandaloneServer(order.configPath);
    const { manta } = server.config;
    if (manta === undefined) {
        throw new Error(`no "manta" in ${order.configPath}: there is no key to replace`);
    }
    const owner = await ownerToBe(server.directories.base);
    return new Rotation(order, server, manta, owner, invocation).execute();
}
