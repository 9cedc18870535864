import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type Logger from 'bunyan';
import { createFileDurably, makeDirectory, removeDurably, writeFileDurably } from '../base/durable-files.js';
import { unlessMissing } from '../base/unless-missing.js';

/** An intent that is on stable storage. */
export interface NotedIntent<T> {
    readonly intent: T;
    /** What it was for is settled: forgets it, durably. */
    drop(): Promise<void>;
    /** Puts another in its place, durably. */
    replace(intent: T): Promise<void>;
}

/** What an {@link IntentFiles} needs. */
export interface IntentFilesOptions<T> {
    readonly directory: string;
    /** Name of one intent, for the log. */
    readonly what: string;
    readonly isIntent: (value: unknown) => value is T;
    readonly log: Logger;
}

/** Intents as files `<directory>/<uuid>.<random>.json`, one each, to be settled after a crash. */
export class IntentFiles<T> {
    readonly #options: IntentFilesOptions<T>;

    constructor(options: IntentFilesOptions<T>) {
        this.#options = options;
    }

    /** Notes an intent before anything is changed. @throws the file system's error */
    async note(uuid: string, intent: T): Promise<NotedIntent<T>> {
        const { directory } = this.#options;
        const path = join(directory, `${uuid}.${randomBytes(8).toString('hex')}.json`);
        await makeDirectory(directory);
        await createFileDurably(path, JSON.stringify(intent));
        return this.#noted(path, intent);
    }

    /** All intents there are; one that cannot be read is logged and stays. */
    async pending(): Promise<readonly NotedIntent<T>[]> {
        const { directory, what, log } = this.#options;
        const names = (await unlessMissing(readdir(directory))) ?? [];
        const noted: NotedIntent<T>[] = [];
        for (const name of names.filter((one) => one.endsWith('.json'))) {
            const path = join(directory, name);
            try {
                const intent = await this.#read(path);
                if (intent !== undefined) {
                    noted.push(this.#noted(path, intent));
                }
            } catch (err) {
                log.error({ err, path }, `${what} cannot be read: left as it is`);
            }
        }
        return noted;
    }

    #noted(path: string, intent: T): NotedIntent<T> {
        return {
            intent,
            drop: () => removeDurably(path),
            replace: (next) => writeFileDurably(path, JSON.stringify(next)),
        };
    }

    /** `undefined`: it was settled meanwhile. */
    async #read(path: string): Promise<T | undefined> {
        const { what, isIntent } = this.#options;
        const text = await unlessMissing(readFile(path, 'utf8'));
        if (text === undefined) {
            return undefined;
        }
        const intent: unknown = JSON.parse(text);
        if (!isIntent(intent)) {
            throw new Error(`not a ${what}`);
        }
        return intent;
    }
}
