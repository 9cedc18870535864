import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type Logger from 'bunyan';
import type { BaseDirectories } from '../../base/config-types.js';
import { makeDirectory } from '../../base/durable-files.js';
import { systemErrorCode } from '../../base/errors.js';
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
    /** Old uuids whose intent is done but could not be removed. */
    readonly #lingering = new Set<string>();

    constructor({ directories, log, steps }: MoveIntentsOptions) {
        this.#directories = directories;
        this.#log = log;
        this.#steps = steps;
    }

    /**
     * Writes an intent down.
     *
     * @throws the file system's error
     */
    async record(from: string, to: string): Promise<void> {
        await makeDirectory(this.#directories.run);
        await this.#steps.write(this.#path(from), JSON.stringify({ from, to }));
    }

    /** Removes an intent that is done or given up; a failure is logged and made good by {@link settle}. */
    async drop(from: string): Promise<void> {
        try {
            await this.#steps.remove(this.#path(from));
        } catch (error) {
            this.#lingering.add(from);
            this.#log.error({ err: error, uuid: from }, 'could not remove a move intent');
        }
    }

    /**
     * Removes what {@link drop} could not, before a record of that uuid is written again: the next
     * start would take it for the old one.
     *
     * @throws the file system's error
     */
    async settle(uuid: string): Promise<void> {
        if (this.#lingering.has(uuid)) {
            await this.#steps.remove(this.#path(uuid));
            this.#lingering.delete(uuid);
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
