import { posix } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createMantaObjects } from '../../../app/manta-objects.js';
import type { ObjectStore } from '../../../remotes/object-store.js';
import { requireNoArguments } from '../backup/backup-order.js';
import { runWatched } from '../runs/watched-work.js';
import { EXIT, type Invocation } from '../command.js';
import { configPath } from '../config-path.js';
import { failureText } from '../failure-text.js';
import { Interrupt } from '../interrupt.js';
import { actAsOwner } from '../offline/act-as-owner.js';
import { bytesText, countText } from '../../../base/quantities.js';
import { readStandaloneServer, type StandaloneServer } from '../standalone-config.js';
import type { Terminal } from '../terminal.js';
import { logDirectory, uploadDirectory } from './log-directory.js';
import { distantPath, KEPT_HOURS, LogUpload, requireRemovable } from './log-upload.js';
import { listRotatedLogs } from './rotated-logs.js';
import { uploadOrder, type UploadOrder } from './upload-order.js';

const SECOND_MS = 1000;

/** An upload of logs as a command, from the first check to the last line (operations 3.2). */
class UploadCommand {
    readonly #order: UploadOrder;
    readonly #server: StandaloneServer;
    readonly #terminal: Terminal;
    readonly #directory: string;
    readonly #interrupt = new Interrupt();
    readonly #counts = { uploaded: 0, uploadedBytes: 0, left: 0, dropped: 0 };

    constructor(order: UploadOrder, server: StandaloneServer, directory: string, terminal: Terminal) {
        this.#order = order;
        this.#server = server;
        this.#directory = directory;
        this.#terminal = terminal;
    }

    async execute(): Promise<number> {
        if (this.#order.dryRun) {
            return this.#show();
        }
        return runWatched({
            directories: this.#server.directories,
            terminal: this.#terminal,
            interrupt: this.#interrupt,
            lock: 'upload-logs',
            called: 'upload of logs',
            noted: 'logupload',
            work: () => this.#upload(),
        });
    }

    /** What would be uploaded, and where to. */
    async #show(): Promise<number> {
        const root = this.#root;
        for (const log of await listRotatedLogs(this.#directory)) {
            const path = distantPath(root, log, 0);
            this.#say({ file: log.file, path }, `${log.file}: would be uploaded to ${path}`);
            this.#counts.left += 1;
        }
        this.#summarize(`Would have uploaded ${countText(this.#counts.left, 'file')}`);
        return EXIT.clean;
    }

    get #root(): string {
        return posix.join(this.#server.config.manta?.rootDir ?? '', 'logs');
    }

    async #upload(): Promise<number> {
        const counts = this.#counts;
        // Without any there need not be a Manta.
        if ((await listRotatedLogs(this.#directory)).length > 0) {
            await this.#uploadSome();
        }
        const { uploaded, uploadedBytes, left, dropped } = counts;
        this.#summarize(
            `Uploaded ${countText(uploaded, 'file')} (${bytesText(uploadedBytes)}), ${left} left` +
                (dropped === 0 ? '' : `, ${dropped} given up`),
        );
        return left + dropped > 0 ? EXIT.findings : EXIT.clean;
    }

    async #uploadSome(): Promise<void> {
        const { config, configPath: path } = this.#server;
        const objects = await createMantaObjects(config);
        if (objects === undefined) {
            throw new Error(`no "manta" in ${path}: there is nowhere to upload logs to`);
        }
        const { signal } = this.#interrupt;
        const close = (): void => objects.close();
        signal.addEventListener('abort', close, { once: true });
        try {
            await requireRemovable(this.#directory);
            await this.#tryUntilDone(objects);
        } finally {
            signal.removeEventListener('abort', close);
            objects.close();
        }
    }

    async #tryUntilDone(objects: ObjectStore): Promise<void> {
        const { attempts, waitSeconds, quiet } = this.#order;
        const { signal } = this.#interrupt;
        const upload = new LogUpload({
            objects,
            root: this.#root,
            directory: this.#directory,
            signal,
            onUploaded: ({ file }, path, bytes) => {
                this.#counts.uploaded += 1;
                this.#counts.uploadedBytes += bytes;
                this.#say({ file, path, bytes }, `${file}: uploaded to ${path}`);
            },
        });
        for (let attempt = 1; ; attempt += 1) {
            const left = await upload.attempt();
            if (left.size === 0) {
                return;
            }
            if (attempt >= attempts) {
                await this.#giveUp(upload, left);
                return;
            }
            const [[, reason] = []] = left;
            if (!quiet) {
                this.#terminal.note(
                    `${countText(left.size, 'file')} left (${failureText(reason)}); ` +
                        `attempt ${attempt + 1} of ${attempts} in ${waitSeconds} s`,
                );
            }
            await delay(waitSeconds * SECOND_MS, undefined, { signal });
        }
    }

    /** Tells why there are logs left, and removes those that nobody will want any more. */
    async #giveUp(upload: LogUpload, left: ReadonlyMap<string, unknown>): Promise<void> {
        const dropped = new Set(await upload.dropOld(Date.now()));
        for (const [file, error] of left) {
            const isDropped = dropped.has(file);
            const problem =
                failureText(error) +
                (isDropped ? `; removed, as it could not be uploaded for ${KEPT_HOURS} hours` : '');
            this.#say({ file, problem }, `${file}: ${problem}`);
            this.#counts[isDropped ? 'dropped' : 'left'] += 1;
        }
    }

    #say(facts: Readonly<Record<string, string | number>>, text: string): void {
        this.#terminal.line(this.#order.json ? JSON.stringify(facts) : text);
    }

    #summarize(text: string): void {
        const { json, dryRun } = this.#order;
        const summary = { dryRun, ...this.#counts };
        this.#terminal.line(json ? JSON.stringify({ summary }) : text);
    }
}

/** Uploads logs as an invocation asks for. @returns the exit status. @throws UsageError; Error when it could not run */
export async function uploadLogs(invocation: Invocation): Promise<number> {
    const { parsed, environment, terminal } = invocation;
    requireNoArguments(invocation);
    const order = uploadOrder(parsed);
    const server = readStandaloneServer(configPath(parsed, environment));
    await actAsOwner(server.directories.base);
    const directory = uploadDirectory(logDirectory(environment, parsed));
    return new UploadCommand(order, server, directory, terminal).execute();
}
