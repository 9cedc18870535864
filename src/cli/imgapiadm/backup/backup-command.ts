import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createMantaObjects } from '../../../app/manta-objects.js';
import { instanceOf } from '../../../maintenance/instance.js';
import { EXIT, type Invocation } from '../command.js';
import { failureFacts, failureText } from '../failure-text.js';
import { Interrupt } from '../interrupt.js';
import { actAsOwner } from '../offline/act-as-owner.js';
import { terminalLog } from '../offline/terminal-log.js';
import { showProgress } from '../progress.js';
import { bytesText, countText, durationText } from '../../../base/quantities.js';
import { backupRoot, readStandaloneServer, type StandaloneServer } from '../standalone-config.js';
import type { Terminal } from '../terminal.js';
import { AreaClaim } from './area-claim.js';
import type { Area, FileBytes } from './backup-files.js';
import { backupOrder, requireOutside, type BackupOrder } from './backup-order.js';
import { BackupRun } from './backup-run.js';
import type { BackupTarget } from './backup-target.js';
import { publicEtc, readEtc, readPassphrase, sealedEtc } from './etc-files.js';
import { MantaTarget } from './manta-target.js';
import { isRestored, markerPath } from '../runs/run-status.js';
import { SnapshotTarget } from './snapshot-target.js';
import { runWatched } from '../runs/watched-work.js';

/** What a target is opened with. */
interface OpenedTarget {
    readonly target: BackupTarget;
    /** Aborted when the run is to end. */
    readonly signal: AbortSignal;
    /** Keeps others out, as far as the place of the backup knows others. @throws Error when one is at work there */
    claim(): Promise<void>;
    close(): Promise<void>;
}

/** What whoever opens a target has to offer. */
interface TargetContext {
    readonly signal: AbortSignal;
    readonly terminal: Terminal;
    readonly onProblem: (path: string, problem: string) => void;
}

/** @throws Error when there is nothing that could be backed up */
async function requireBackupAllowed({ config, directories }: StandaloneServer): Promise<void> {
    if (config.databaseType !== 'local') {
        throw new Error('the records are in Moray, not here: there is nothing to back them up with');
    }
    if (!(await isRestored(directories))) {
        throw new Error(
            `there is no ${markerPath(directories)}: run a restore first, even if there is nothing to restore, ` +
                'so that no backup of an empty server replaces a good one',
        );
    }
}

async function openManta(
    server: StandaloneServer,
    { parallel, dryRun }: BackupOrder,
    instance: string,
    context: TargetContext,
): Promise<OpenedTarget> {
    const { config, configPath, directories } = server;
    const objects = await createMantaObjects({ ...config, maxSockets: 2 * parallel });
    if (objects === undefined || config.manta === undefined) {
        throw new Error(`no "manta" in ${configPath}: name a directory with --dest`);
    }
    context.signal.addEventListener('abort', () => objects.close(), { once: true });
    const claim = new AreaClaim({
        objects,
        rootDir: config.manta.rootDir,
        instance,
        signal: context.signal,
        log: terminalLog(context.terminal),
    });
    try {
        await claim.check();
    } catch (error) {
        objects.close();
        throw error;
    }
    const { signal } = claim;
    const target = new MantaTarget({
        objects,
        root: backupRoot(config),
        statePath: join(directories.run, 'backup-state.json'),
        parallel,
        signal,
        onProblem: context.onProblem,
    });
    return {
        target,
        signal,
        // Instances of a datacenter share their area and do not mark it.
        claim: () => (dryRun || config.mode === 'dc' ? Promise.resolve() : claim.take()),
        close: async () => {
            await claim.end();
            objects.close();
        },
    };
}

async function openTarget(
    server: StandaloneServer,
    order: BackupOrder,
    context: TargetContext,
): Promise<OpenedTarget> {
    const { config, directories } = server;
    const { signal, terminal } = context;
    const instance = await instanceOf(config, directories, terminalLog(terminal));
    const { destination, keep, force, parallel } = order;
    if (destination === undefined) {
        return openManta(server, order, instance, context);
    }
    requireOutside(destination, directories);
    const target = new SnapshotTarget({
        destination,
        instance,
        keep,
        force,
        parallel,
        signal,
        onNote: (text) => terminal.note(`warning: ${text}`),
    });
    const nothing = (): Promise<void> => Promise.resolve();
    return { target, signal, claim: nothing, close: nothing };
}

/** A backup as a command, from the first check to the last line (operations 3.2). */
class BackupCommand {
    readonly #order: BackupOrder;
    readonly #server: StandaloneServer;
    readonly #terminal: Terminal;
    readonly #interrupt = new Interrupt();
    #problems = 0;

    constructor(order: BackupOrder, server: StandaloneServer, terminal: Terminal) {
        this.#order = order;
        this.#server = server;
        this.#terminal = terminal;
    }

    execute(): Promise<number> {
        return runWatched({
            directories: this.#server.directories,
            terminal: this.#terminal,
            interrupt: this.#interrupt,
            lock: 'backup',
            called: 'backup',
            noted: this.#order.dryRun ? undefined : 'backup',
            work: () => this.#backUp(),
        });
    }

    async #backUp(): Promise<number> {
        const { signal } = this.#interrupt;
        await requireBackupAllowed(this.#server);
        const opened = await openTarget(this.#server, this.#order, {
            signal,
            terminal: this.#terminal,
            onProblem: (path, problem) => this.#complain(path, problem),
        });
        try {
            const { base } = this.#server.directories;
            const { yes, dryRun } = this.#order;
            this.#say(`Back up ${base} to ${opened.target.where}`);
            if (!yes && !dryRun && !(await this.#terminal.waitForEnter('go on', signal))) {
                signal.throwIfAborted();
                throw new Error('nobody has agreed: nothing was done; see --yes');
            }
            await opened.claim();
            return await this.#run(opened);
        } finally {
            await opened.close();
        }
    }

    async #run({ target, signal }: OpenedTarget): Promise<number> {
        const order = this.#order;
        const server = this.#server;
        const terminal = this.#terminal;
        const startedAt = new Date();
        this.#say(`Started at ${startedAt.toISOString()}`);
        const run = new BackupRun({
            base: server.directories.base,
            target,
            areas: areasOf(server, order),
            etc: await this.#etc(),
            checksum: order.checksum,
            force: order.force,
            dryRun: order.dryRun,
            parallel: order.parallel,
            signal,
            pause: async (ms) => {
                await delay(ms, undefined, { signal }).catch(() => undefined);
                signal.throwIfAborted();
            },
            onProblem: (path, problem) => this.#complain(path, problem),
            onCopied: (path) => terminal.trace(`copied ${path}`),
        });
        const { counts } = run;
        const elapsedMs = (): number => Date.now() - startedAt.getTime();
        const hide = order.quiet
            ? undefined
            : showProgress(terminal, () => ({
                  images: counts.files,
                  allImages: counts.allFiles,
                  bytes: counts.doneBytes,
                  allBytes: counts.allBytes,
                  elapsedMs: elapsedMs(),
                  current: [],
                  noun: 'file',
              }));
        const error = await run.run().then(
            () => undefined,
            (failure: unknown) => asError(signal.aborted ? signal.reason : failure),
        );
        hide?.();
        this.#summarize(run, startedAt, elapsedMs(), error);
        if (error !== undefined) {
            throw error;
        }
        return this.#problems > 0 ? EXIT.findings : EXIT.clean;
    }

    async #etc(): Promise<readonly FileBytes[]> {
        const { etc } = this.#server.directories;
        const { secrets, passphraseFile } = this.#order;
        const passphrase = secrets ? await readPassphrase(etc, passphraseFile) : undefined;
        const files = await readEtc(etc, (path, problem) => this.#complain(path, problem));
        if (passphrase !== undefined) {
            return sealedEtc(files, passphrase, Date.now());
        }
        if (secrets) {
            this.#terminal.note('keys and other secrets of etc are in no backup without --passphrase-file');
        }
        return publicEtc(files);
    }

    #say(text: string): void {
        if (!this.#order.json) {
            this.#terminal.line(text);
        }
    }

    #complain(path: string, problem: string): void {
        this.#problems += 1;
        this.#terminal.line(this.#order.json ? JSON.stringify({ path, problem }) : `${path}: ${problem}`);
    }

    #summarize(run: BackupRun, startedAt: Date, elapsedMs: number, error: Error | undefined): void {
        const { copied, copiedBytes, kept, removed, records } = run.counts;
        const { dryRun, json } = this.#order;
        if (json) {
            const summary = {
                dryRun,
                complete: error === undefined,
                startedAt: startedAt.toISOString(),
                elapsedMs,
                records,
                copied,
                copiedBytes,
                kept,
                removed,
                problems: this.#problems,
                ...(error === undefined ? {} : { error: failureFacts(error) }),
            };
            this.#terminal.line(JSON.stringify({ summary }));
            return;
        }
        const would = dryRun ? 'Would have copied' : 'Copied';
        this.#say(
            `${would} ${countText(copied, 'file')} (${bytesText(copiedBytes)}), kept ${kept}, removed ${removed}; ` +
                countText(records, 'image'),
        );
        if (error !== undefined) {
            this.#say(`Broken off: ${failureText(error)}`);
        }
        this.#say(`Finished at ${new Date().toISOString()} (elapsed ${durationText(elapsedMs)})`);
    }
}

function asError(failure: unknown): Error {
    return failure instanceof Error ? failure : new Error(String(failure));
}

/** With Manta as a storage the server itself brings the archive there. */
function areasOf({ config }: StandaloneServer, { destination }: BackupOrder): readonly Area[] {
    const isInManta = destination === undefined && config.storageTypes.includes('manta');
    return ['images', ...(isInManta ? [] : ['archive' as const]), 'sharing', 'manifests'];
}

/** Backs up what an invocation asks for. @returns the exit status. @throws UsageError; Error when it could not run */
export async function backUp(invocation: Invocation): Promise<number> {
    const order = backupOrder(invocation);
    const server = readStandaloneServer(order.configPath);
    await actAsOwner(server.directories.base);
    return new BackupCommand(order, server, invocation.terminal).execute();
}
