import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type Logger from 'bunyan';
import type { BaseDirectories } from '../../base/config-types.js';
import { makeDirectory } from '../../base/durable-files.js';
import { systemErrorCode } from '../../base/errors.js';
import { KeyedQueue } from '../../base/keyed-queue.js';
import { isUuid } from '../../base/uuid.js';
import type { DurableSteps } from './durable-steps.js';
import { recordFileName } from './file-names.js';

const INTENT_RE = /^move-([0-9a-f-]{36})\.json$/;

/** What move intents need of their surroundings. */
export interface MoveIntentsOptions {
    readonly directories: BaseDirectories;
    readonly log: Logger;
    readonly steps: DurableSteps;
}

async function isPresent(path: string): Promise<boolean> {
    try {
        await access(path);
        return true;
    } catch (error) {
        if (systemErrorCode(error) === 'ENOENT') {
            return false;
        }
        throw error;
    }
}

/** The new uuid that an intent names; `undefined` when it is unreadable, so was never acted upon. */
function targetOf(text: string): string | undefined {
    try {
        const to = (JSON.parse(text) as { readonly to?: unknown } | null)?.to;
        return isUuid(to) ? to : undefined;
    } catch {
        return undefined;
    }
}

/**
 * Notes about uuid changes under way, `run/move-<old>.json` = `{from, to}`, which make the two
 * changes of the `manifests` directory one step over a crash (backends W12).
 */
export class MoveIntents {
    readonly #directories: BaseDirectories;
    readonly #log: Logger;
    readonly #steps: DurableSteps;
    /** Intents that could not be removed, by old uuid, with the uuid whose next record would bring them to life. */
    readonly #lingering = new Map<string, string>();
    /** One change of an intent at a time. */
    readonly #changes = new KeyedQueue();

    constructor({ directories, log, steps }: MoveIntentsOptions) {
        this.#directories = directories;
        this.#log = log;
        this.#steps = steps;
    }

    /**
     * Writes an intent down.
     *
     * @throws the file system's error; there is then no intent
     */
    async record(from: string, to: string): Promise<void> {
        await makeDirectory(this.#directories.run);
        await this.#remove(from, () => this.#lingering.has(from));
        try {
            await this.#steps.write(this.#path(from), JSON.stringify({ from, to }));
        } catch (error) {
            // It may be there although it could not be made durable.
            await this.giveUp(from, to);
            throw error;
        }
    }

    /** Removes the intent of a move that was completed; a failure is logged and made good by {@link settle}. */
    async complete(from: string): Promise<void> {
        await this.#drop(from, from);
    }

    /** Removes the intent of a move that was taken back; a failure is logged and made good by {@link settle}. */
    async giveUp(from: string, to: string): Promise<void> {
        await this.#drop(from, to);
    }

    /**
     * Removes the intents that could not be removed in time, before a record is written that they
     * endanger: at the next start a new record of the old uuid would be taken for the old one, and
     * one of the new uuid for a sign that the move was completed.
     *
     * @throws the file system's error
     */
    async settle(uuid: string): Promise<void> {
        for (const [from, endangered] of [...this.#lingering]) {
            if (endangered === uuid) {
                await this.#remove(from, () => this.#lingering.get(from) === uuid);
            }
        }
    }

    /**
     * Completes every move whose new record exists and drops the others.
     *
     * @throws the file system's error
     */
    async recover(): Promise<void> {
        const { run } = this.#directories;
        await makeDirectory(run);
        for (const name of await readdir(run)) {
            const from = INTENT_RE.exec(name)?.[1];
            if (isUuid(from)) {
                await this.#finish(from, targetOf(await readFile(join(run, name), 'utf8')));
            }
        }
    }

    async #drop(from: string, endangered: string): Promise<void> {
        try {
            await this.#remove(from, () => true);
        } catch (error) {
            this.#lingering.set(from, endangered);
            this.#log.error({ err: error, uuid: from }, 'could not remove a move intent');
        }
    }

    /** Removes an intent if that is still wanted when its turn has come. */
    async #remove(from: string, isWanted: () => boolean): Promise<void> {
        await this.#changes.run(from, async () => {
            if (isWanted()) {
                await this.#steps.remove(this.#path(from));
                this.#lingering.delete(from);
            }
        });
    }

    async #finish(from: string, to: string | undefined): Promise<void> {
        const { manifests } = this.#directories;
        const isCompleted =
            to !== undefined && to !== from && (await isPresent(join(manifests, recordFileName(to))));
        if (isCompleted) {
            await this.#steps.remove(join(manifests, recordFileName(from)));
        }
        await this.#steps.remove(this.#path(from));
        this.#log.warn({ from, to, isCompleted }, 'settled an unfinished change of uuid');
    }

    #path(from: string): string {
        return join(this.#directories.run, `move-${from}.json`);
    }
}
