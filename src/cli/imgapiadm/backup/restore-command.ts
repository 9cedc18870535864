import { existsSync } from 'node:fs';
import { createMantaObjects } from '../../../app/manta-objects.js';
import type { BaseDirectories, Config } from '../../../base/config-types.js';
import { baseDirectories } from '../../../base/directories.js';
import { makeDirectory } from '../../../base/durable-files.js';
import { parseOptions } from '../../options.js';
import { waitForPong } from '../ask-ping.js';
import { EXIT, type Invocation } from '../command.js';
import { fsckCommand } from '../fsck.js';
import { Interrupt } from '../interrupt.js';
import { ownerToBe, type Owner } from '../offline/act-as-owner.js';
import { ownedDirectory } from '../offline/own-directory.js';
import { terminalLog } from '../offline/terminal-log.js';
import { showProgress } from '../progress.js';
import { bytesText, countText, durationText } from '../../../base/quantities.js';
import { addressOfConfig } from '../server-access.js';
import { backupRoot, readStandaloneServer } from '../standalone-config.js';
import type { Files } from './backup-files.js';
import { readPassphrase } from './etc-files.js';
import { accessLines, isRefusal } from './manta-refusal.js';
import { restoreEtc } from './restore-etc.js';
import { restoreOrder, type RestoreOrder } from './restore-order.js';
import { RestoreRun, type RestoreCounts } from './restore-run.js';
import { dataOf, MantaSource, SnapshotSource, type RestoreSource } from './restore-source.js';
import { markRestored } from '../runs/run-status.js';
import { excludeServers, type StoppedServer } from './running-server.js';

/** What is restored. */
interface Server {
    readonly directories: BaseDirectories;
    /** Absent: it is gone, or comes with the backup. */
    readonly config?: Config;
}

interface OpenedSource {
    readonly source: RestoreSource;
    close(): void;
}

/** A lost configuration does not keep anybody from restoring a snapshot. */
function serverOf({ places, from }: RestoreOrder): Server {
    if (from !== undefined && !existsSync(places.config)) {
        return { directories: baseDirectories(places.data) };
    }
    return readStandaloneServer(places.config);
}

/** A restore as a command, from the first check to the last line (operations 3.2). */
class RestoreCommand {
    readonly #order: RestoreOrder;
    readonly #server: Server;
    readonly #invocation: Invocation;
    readonly #owner: Owner | undefined;
    readonly #interrupt = new Interrupt();
    readonly #startedAt = performance.now();
    #problems = 0;
    #counts: RestoreCounts = { fetched: 0, fetchedBytes: 0, files: 0, bytes: 0 };

    constructor(order: RestoreOrder, server: Server, invocation: Invocation, owner: Owner | undefined) {
        this.#order = order;
        this.#server = server;
        this.#invocation = invocation;
        this.#owner = owner;
    }

    async execute(): Promise<number> {
        const deafen = this.#interrupt.listen({
            onFirst: () => this.#note('stopping; run it again to go on'),
            onSecond: () => undefined,
        });
        try {
            const opened = await this.#openSource();
            try {
                return await (opened === undefined ? this.#nothing() : this.#restore(opened.source));
            } finally {
                opened?.close();
            }
        } catch (error) {
            if (this.#interrupt.status !== undefined) {
                return this.#interrupt.status;
            }
            return await this.#explained(error);
        } finally {
            deafen();
        }
    }

    /** `undefined`: nothing is configured that could be restored from. */
    async #openSource(): Promise<OpenedSource | undefined> {
        const { config } = this.#server;
        const { from, parallel } = this.#order;
        if (from !== undefined) {
            return { source: await SnapshotSource.find(from), close: () => undefined };
        }
        const objects = config && (await createMantaObjects({ ...config, maxSockets: 2 * parallel }));
        if (config === undefined || objects === undefined) {
            return undefined;
        }
        this.#interrupt.signal.addEventListener('abort', () => objects.close(), { once: true });
        const source = new MantaSource({
            objects,
            root: backupRoot(config),
            parallel,
            onNote: (text) => this.#note(`warning: ${text}`),
            onProblem: (path, problem) => this.#complain(path, problem),
        });
        return { source, close: () => objects.close() };
    }

    /** @throws `error`, unless it can be told how to help */
    async #explained(error: unknown): Promise<number> {
        const { config } = this.#server;
        if (!isRefusal(error) || config?.manta === undefined) {
            throw error;
        }
        this.#note(`error: Manta refuses: ${error.message}`);
        (await accessLines(config.manta)).forEach((line) => this.#note(line));
        return EXIT.findings;
    }

    async #nothing(): Promise<number> {
        this.#say('Manta is not configured: there is nothing to restore.');
        return this.#finish();
    }

    async #restore(source: RestoreSource): Promise<number> {
        const { signal } = this.#interrupt;
        const { yes, dryRun, etc } = this.#order;
        const { base } = this.#server.directories;
        const all = await source.list();
        const files = dataOf(all);
        if (all.size === 0) {
            this.#say(`Nothing to restore from ${source.where}.`);
            return this.#finish();
        }
        const bytes = [...files.values()].reduce((sum, { size }) => sum + size, 0);
        const what = `${countText(files.size, 'file')} (${bytesText(bytes)})`;
        this.#say(`Restore ${what} from ${source.where} to ${base}`);
        if (dryRun) {
            return this.#summarize();
        }
        if (!yes && !(await this.#invocation.terminal.waitForEnter('go on', signal))) {
            signal.throwIfAborted();
            throw new Error('nobody has agreed: nothing was done; see --yes');
        }
        const stopped = await this.#data(source, files);
        if (etc) {
            await this.#settings(source, all);
        }
        return this.#finish(stopped);
    }

    /** Images, records and what else the server keeps. */
    async #data(source: RestoreSource, files: Files): Promise<StoppedServer | undefined> {
        const { terminal, environment } = this.#invocation;
        const { force, checksum, parallel, quiet } = this.#order;
        const { directories } = this.#server;
        const { signal } = this.#interrupt;
        const run = new RestoreRun({
            base: directories.base,
            source,
            files,
            force,
            checksum,
            parallel,
            owner: this.#owner,
            signal,
            onProblem: (path, problem) => this.#complain(path, problem),
        });
        this.#counts = run.counts;
        const allBytes = [...files.values()].reduce((sum, { size }) => sum + size, 0);
        const hide = quiet
            ? undefined
            : showProgress(terminal, () => ({
                  images: run.counts.files,
                  allImages: files.size,
                  bytes: run.counts.bytes,
                  allBytes,
                  elapsedMs: performance.now() - this.#startedAt,
                  current: [],
                  noun: 'file',
              }));
        await run.fetch().finally(() => hide?.());
        signal.throwIfAborted();
        const exclusive = await excludeServers(directories, environment, terminalLog(terminal));
        try {
            await run.move();
        } finally {
            await exclusive.release();
        }
        return exclusive.stopped;
    }

    async #settings(source: RestoreSource, files: Files): Promise<void> {
        const { etc } = this.#server.directories;
        const passphrase = await readPassphrase(etc, this.#order.passphraseFile);
        const written = await restoreEtc({
            etc,
            source,
            files,
            passphrase,
            owner: this.#owner,
            onNote: (text) => this.#note(text),
        });
        if (written > 0) {
            this.#say(`Restored ${countText(written, 'file')} of etc`);
        }
    }

    /** Marks what was done, and has the server know of it. */
    async #finish(stopped?: StoppedServer): Promise<number> {
        const { directories } = this.#server;
        if (this.#order.dryRun) {
            return this.#summarize();
        }
        await ownedDirectory(directories.run, this.#owner);
        await markRestored(directories, Date.now(), this.#owner);
        const restarted = await this.#start(stopped);
        const checked = await this.#check();
        const status = this.#summarize();
        return restarted && checked ? status : EXIT.findings;
    }

    async #start(stopped: StoppedServer | undefined): Promise<boolean> {
        const { config } = this.#server;
        if (stopped === undefined) {
            if (this.#counts.files > 0) {
                this.#say('No server was running that a service manager looks after: start it.');
            }
            return true;
        }
        await stopped.manager.start(stopped.instances);
        const address = config === undefined ? undefined : addressOfConfig(config);
        if (address !== undefined && !(await waitForPong(address))) {
            this.#note(`error: the server was started again, but does not answer at ${address.url}`);
            return false;
        }
        this.#say(`Started ${stopped.instances.join(', ')} again`);
        return true;
    }

    /** Looks at the records that are there now. */
    async #check(): Promise<boolean> {
        const { places, json } = this.#order;
        if (this.#counts.files === 0 || !existsSync(places.config)) {
            return true;
        }
        // What is only odd was so before.
        const options = ['--simple', '--errors-only', '--quiet', ...(json ? ['--json'] : [])];
        const args = [...options, '--config', places.config];
        const parsed = parseOptions(fsckCommand.options, args);
        this.#say('Checking the records:');
        return (await fsckCommand.run({ ...this.#invocation, parsed })) === EXIT.clean;
    }

    #summarize(): number {
        const { fetched, fetchedBytes, files } = this.#counts;
        const { dryRun } = this.#order;
        const elapsedMs = Math.round(performance.now() - this.#startedAt);
        if (this.#order.json) {
            const summary = { dryRun, files, fetched, fetchedBytes, problems: this.#problems, elapsedMs };
            this.#invocation.terminal.line(JSON.stringify({ summary }));
        } else if (!dryRun) {
            const size = `${countText(files, 'file')}, fetched ${fetched} (${bytesText(fetchedBytes)})`;
            this.#say(`Restored ${size} in ${durationText(elapsedMs)}`);
        }
        return this.#problems > 0 ? EXIT.findings : EXIT.clean;
    }

    #say(text: string): void {
        if (!this.#order.json) {
            this.#invocation.terminal.line(text);
        }
    }

    #note(text: string): void {
        this.#invocation.terminal.note(text);
    }

    #complain(path: string, problem: string): void {
        this.#problems += 1;
        const line = this.#order.json ? JSON.stringify({ path, problem }) : `${path}: ${problem}`;
        this.#invocation.terminal.line(line);
    }
}

/** Restores what an invocation asks for. @returns the exit status. @throws UsageError; Error when it could not run */
export async function restore(invocation: Invocation): Promise<number> {
    const order = restoreOrder(invocation);
    const server = serverOf(order);
    await makeDirectory(server.directories.base);
    const owner = await ownerToBe(server.directories.base);
    return new RestoreCommand(order, server, invocation, owner).execute();
}
