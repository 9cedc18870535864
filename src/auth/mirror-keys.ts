import { createHash } from 'node:crypto';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type Logger from 'bunyan';
import type { BaseDirectories } from '../base/config-types.js';
import { makeDirectory, removeDurably, removeIfPresent, writeFileDurably } from '../base/durable-files.js';
import { isStorageDown } from '../base/errors.js';
import { forEachParallelToEnd } from '../base/parallel.js';
import { unlessMissing } from '../base/unless-missing.js';
import { untilAborted } from '../base/until-aborted.js';
import type { ObjectStore } from '../remotes/object-store.js';
import {
    isKeyFileName,
    KEY_LAYOUTS,
    keyDirectory,
    keyFileNamesIn,
    MAX_KEY_FILE_SIZE,
    MAX_KEY_FILES,
    type KeyLayout,
} from './key-sources.js';

/** Key files that are compared and fetched at a time: a part of the connections, requests need the others. */
const PARALLEL = 4;
/** Most entries of a directory in Manta that are looked at, key files or not. */
const MAX_LISTED = 10 * MAX_KEY_FILES;
/** Longest name, bytes: what a file system takes, less what the name of a temporary file adds. */
const MAX_NAME_LENGTH = 230;
/** What a crash leaves of a key file that was being written. */
const UNFINISHED = /\.keys\.[0-9a-f]{16}\.tmp$/;

/** What a {@link KeyMirror} is made from. */
export interface KeyMirrorOptions {
    readonly directories: BaseDirectories;
    readonly objects: ObjectStore;
    /** `manta.rootDir` of the configuration. */
    readonly rootDir: string;
    readonly log: Logger;
    /** Puts what the copies say in force; never rejects. */
    readonly loadKeys: () => Promise<void>;
}

/** What is done to a directory of copies. */
interface Changes {
    written: number;
    removed: number;
}

/** A directory of key files in Manta and its copy. */
interface Pair {
    readonly layout: KeyLayout;
    readonly remote: string;
    readonly local: string;
}

/** Whether a name from elsewhere can be that of a file here: one path segment, the same when read back. */
function isSafeName(name: string): boolean {
    return (
        Buffer.byteLength(name) <= MAX_NAME_LENGTH &&
        !/[/\\\u0000-\u001f\u007f]/.test(name) &&
        Buffer.from(name).toString() === name
    );
}

/** Keeps copies of the key files in Manta, in both layouts (backends 12). For one process a base directory. */
export class KeyMirror {
    readonly #options: KeyMirrorOptions;
    readonly #log: Logger;
    /** Layouts that this process has compared before. */
    readonly #compared = new Set<KeyLayout>();

    constructor(options: KeyMirrorOptions) {
        this.#options = options;
        this.#log = options.log.child({ component: 'authkeys' }, true);
    }

    /**
     * Makes the copies what Manta has, and puts them in force when it returns. What goes wrong is logged,
     * and leaves the copies it concerns as they are. Never rejects; one call at a time.
     *
     * @returns whether all copies are now what Manta had
     */
    async sync(signal: AbortSignal): Promise<boolean> {
        const { directories, rootDir } = this.#options;
        const changes: Changes = { written: 0, removed: 0 };
        let isComplete = true;
        try {
            for (const layout of KEY_LAYOUTS) {
                const remote = posix.join(rootDir, layout);
                const local = keyDirectory(directories, layout, 'manta');
                isComplete = (await this.#syncPair({ layout, remote, local }, changes, signal)) && isComplete;
            }
        } catch {
            // It has been logged: Manta is away, or the server stops.
            isComplete = false;
        }
        if (changes.written > 0 || changes.removed > 0) {
            this.#log.info(changes, 'auth keys copied from Manta');
            await this.#options.loadKeys();
        }
        return isComplete;
    }

    /** @throws what makes going on with the other layout useless */
    async #syncPair(pair: Pair, changes: Changes, signal: AbortSignal): Promise<boolean> {
        try {
            await this.#compare(pair, changes, signal);
            return true;
        } catch (err) {
            signal.throwIfAborted();
            this.#log.warn({ err, path: pair.remote }, 'auth keys could not be copied from Manta');
            if (isStorageDown(err)) {
                throw err;
            }
            return false;
        }
    }

    /** @throws the first thing that went wrong, when all else is done */
    async #compare(pair: Pair, changes: Changes, signal: AbortSignal): Promise<void> {
        const listed = await untilAborted(signal, this.#list(pair.remote, signal));
        await removeUnfinished(pair.local);
        const copies = await copiesIn(pair.local);
        const steps = [
            () => this.#update(pair, [...listed].filter(isSafeName), changes, signal),
            () => this.#removeGone(pair, copies, listed, changes, signal),
        ];
        // A file that cannot be read must not keep others from being locked out.
        await forEachParallelToEnd(steps, 1, (step) => step());
    }

    /** Names of all key files of a directory in Manta. @throws when not all of them are known */
    async #list(remote: string, signal: AbortSignal): Promise<ReadonlySet<string>> {
        const names = new Set<string>();
        let seen = 0;
        for await (const { name, isDirectory } of this.#options.objects.list(remote)) {
            signal.throwIfAborted();
            seen += 1;
            if (!isDirectory && isKeyFileName(name)) {
                names.add(name);
            }
            if (names.size > MAX_KEY_FILES || seen > MAX_LISTED) {
                throw new Error(`more than ${MAX_KEY_FILES} key files, or ${MAX_LISTED} entries`);
            }
        }
        for (const name of names) {
            if (!isSafeName(name)) {
                this.#log.warn({ path: remote, name }, 'not a name for a key file here: not copied');
            }
        }
        return names;
    }

    async #update(
        pair: Pair,
        names: readonly string[],
        changes: Changes,
        signal: AbortSignal,
    ): Promise<void> {
        const stop = new AbortController();
        await forEachParallelToEnd(names, PARALLEL, async (name) => {
            if (stop.signal.aborted) {
                return; // for a reason that is thrown at the end
            }
            try {
                if (await this.#updateOne(pair, name, signal)) {
                    changes.written += 1;
                }
            } catch (error) {
                if (signal.aborted || isStorageDown(error)) {
                    stop.abort();
                }
                throw error;
            }
        });
    }

    /** Tells whether the copy was written. */
    async #updateOne({ remote, local }: Pair, name: string, signal: AbortSignal): Promise<boolean> {
        const { objects } = this.#options;
        const from = posix.join(remote, name);
        const to = join(local, name);
        const found = await untilAborted(signal, objects.stat(from));
        if (found === undefined || found.isDirectory) {
            return false; // gone since it was listed
        }
        if (found.size > MAX_KEY_FILE_SIZE) {
            this.#log.warn({ path: from, size: found.size }, 'key file is too large: not copied');
            return false;
        }
        const copy = await readCopy(to, found.size);
        if (copy !== undefined && md5Of(copy) === found.md5) {
            return false;
        }
        const read = await untilAborted(signal, objects.read(from, MAX_KEY_FILE_SIZE));
        if (read === undefined || (copy !== undefined && copy.equals(read.bytes))) {
            return false;
        }
        await makeDirectory(local);
        await writeFileDurably(to, read.bytes);
        return true;
    }

    /** Removes copies of what Manta does not have any more. */
    async #removeGone(
        { layout, remote, local }: Pair,
        copies: readonly string[],
        listed: ReadonlySet<string>,
        changes: Changes,
        signal: AbortSignal,
    ): Promise<void> {
        const gone = copies.filter((name) => !listed.has(name));
        const isFirst = !this.#compared.has(layout);
        this.#compared.add(layout);
        if (isFirst && gone.length > 0 && gone.length === copies.length) {
            this.#log.warn(
                { path: remote, copies: copies.length },
                'Manta has none of the key files copied from it: they are kept until the next look',
            );
            return;
        }
        for (const name of gone) {
            // Asked for one by one: what a listing leaves out must not lock anybody out.
            const path = posix.join(remote, name);
            const found = await untilAborted(signal, this.#options.objects.stat(path));
            if (found === undefined || found.isDirectory) {
                await removeDurably(join(local, name));
                changes.removed += 1;
            }
        }
    }
}

function md5Of(bytes: Buffer): string {
    return createHash('md5').update(bytes).digest('base64');
}

/** Names of the copies in a directory; what is no file is none, and stays. */
async function copiesIn(local: string): Promise<readonly string[]> {
    const names: string[] = [];
    for (const name of await keyFileNamesIn(local)) {
        const facts = await unlessMissing(lstat(join(local, name)));
        if (facts !== undefined && !facts.isDirectory()) {
            names.push(name);
        }
    }
    return names;
}

/** Removes what a crash left of copies that were being written. */
async function removeUnfinished(local: string): Promise<void> {
    for (const name of (await unlessMissing(readdir(local))) ?? []) {
        if (UNFINISHED.test(name)) {
            await removeIfPresent(join(local, name));
        }
    }
}

/** The bytes of a copy, if it is a file of that size. */
async function readCopy(path: string, size: number): Promise<Buffer | undefined> {
    const facts = await unlessMissing(lstat(path));
    return facts?.isFile() === true && facts.size === size ? await unlessMissing(readFile(path)) : undefined;
}
