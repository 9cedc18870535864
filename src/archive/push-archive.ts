import { createHash, randomBytes } from 'node:crypto';
import { constants, type BigIntStats } from 'node:fs';
import { lstat, open, readdir, rmdir } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type Logger from 'bunyan';
import type { BaseDirectories } from '../base/config-types.js';
import { uuidPrefix } from '../base/directories.js';
import { isStorageDown, systemErrorCode } from '../base/errors.js';
import { forEachParallel } from '../base/parallel.js';
import { RecentlyUsed } from '../base/recently-used.js';
import { putBack, removeExactly } from '../base/remove-exactly.js';
import { unlessMissing } from '../base/unless-missing.js';
import { untilAborted } from '../base/until-aborted.js';
import { isUuid } from '../base/uuid.js';
import type { ObjectStore } from '../remotes/object-store.js';

/** Prefix directories that are pushed at a time: a part of the connections, requests need the others. */
const PARALLEL = 4;
/** Largest manifest that is pushed, bytes: several times what a request may bring. */
const MAX_MANIFEST_SIZE = 33_554_432;
/** Files that may fail in a pass before it ends: then it is not the files. */
const MAX_FAILURES = 100;
/** Files and directories left behind that are not complained of again. */
const COMPLAINTS = 10_000;

const EXTENSION = '.json';
/** A manifest moved aside to be removed, where a crash came in between. */
const ASIDE = /^(.+\.json)\.[0-9a-f]{16}\.pushed$/;
/** What `rmdir` says of a directory that is in use or gone. */
const NOT_REMOVED: ReadonlySet<string | undefined> = new Set(['ENOTEMPTY', 'EEXIST', 'ENOENT']);

/** What an {@link ArchivePush} is made from. */
export interface ArchivePushOptions {
    readonly directories: BaseDirectories;
    readonly objects: ObjectStore;
    /** `manta.rootDir` of the configuration. */
    readonly rootDir: string;
    readonly log: Logger;
}

/** What a pass did. */
export interface PushResult {
    /** Manifests that lie in Manta now. */
    readonly pushed: number;
    /** Those of them that stay here for the next pass, because they were written again meanwhile. */
    readonly changed: number;
    /** Those that could not be pushed; the log says why. */
    readonly failed: number;
}

/** A manifest as it was read. */
interface ReadManifest {
    readonly bytes: Buffer;
    readonly facts: BigIntStats;
}

/** Counts of a pass under way. */
type Counts = { -readonly [Key in keyof PushResult]: PushResult[Key] };

/** Moves manifests from the archive of this machine to that in Manta (backends 10). */
export class ArchivePush {
    readonly #options: ArchivePushOptions;
    readonly #log: Logger;
    readonly #complained = new RecentlyUsed<true>(COMPLAINTS);

    constructor(options: ArchivePushOptions) {
        this.#options = options;
        this.#log = options.log.child({ component: 'archive' }, true);
    }

    /**
     * Pushes every manifest there is, once. A file that cannot be pushed is logged and left.
     *
     * @throws 503 `StorageIsDown` as soon as Manta is, the reason of `signal`, or what keeps failing
     */
    async pass(signal: AbortSignal): Promise<PushResult> {
        const { archive } = this.#options.directories;
        const counts: Counts = { pushed: 0, changed: 0, failed: 0 };
        const entries = (await unlessMissing(readdir(archive, { withFileTypes: true }))) ?? [];
        const prefixes = entries.filter((entry) => {
            const isPrefix = entry.isDirectory();
            if (!isPrefix) {
                this.#complain(join(archive, entry.name), 'not a directory of manifests: left');
            }
            return isPrefix;
        });
        try {
            await forEachParallel(prefixes.map(({ name }) => name).sort(), PARALLEL, (prefix) =>
                this.#pushPrefix(prefix, counts, signal),
            );
        } finally {
            if (counts.pushed > 0 || counts.failed > 0) {
                this.#log.info(counts, 'archived manifests pushed to Manta');
            }
        }
        return counts;
    }

    /** What is left lying about is told once, not every five minutes. */
    #complain(path: string, what: string, err?: unknown): void {
        if (this.#complained.get(path) === undefined) {
            this.#complained.set(path, true);
            this.#log.warn({ path, ...(err === undefined ? {} : { err }) }, what);
        }
    }

    async #pushPrefix(prefix: string, counts: Counts, signal: AbortSignal): Promise<void> {
        const directory = join(this.#options.directories.archive, prefix);
        const remote = posix.join(this.#options.rootDir, 'archive', prefix);
        const names = await this.#manifestsIn(directory, prefix).catch((err: unknown) => {
            this.#noteFailure(err, directory, counts);
            return [];
        });
        let isMade = false;
        for (const name of names) {
            signal.throwIfAborted();
            try {
                const read = await this.#read(join(directory, name));
                if (read === undefined) {
                    continue;
                }
                if (!isMade) {
                    await untilAborted(signal, this.#options.objects.makeDirectory(remote));
                    isMade = true;
                }
                await this.#put(posix.join(remote, name), read.bytes, signal);
                counts.pushed += 1;
                if (!(await this.#removePushed(join(directory, name), read.facts))) {
                    counts.changed += 1;
                }
            } catch (err) {
                signal.throwIfAborted();
                this.#noteFailure(err, join(directory, name), counts);
            }
        }
        await this.#removeEmptied(directory, counts);
    }

    /** @throws `err` when it says that going on is of no use */
    #noteFailure(err: unknown, path: string, counts: Counts): void {
        if (isStorageDown(err)) {
            throw err;
        }
        counts.failed += 1;
        this.#log.warn({ err, path }, 'archived manifests could not be pushed, it will be tried again');
        if (counts.failed >= MAX_FAILURES) {
            throw err;
        }
    }

    /** The manifests of a directory by name, those among them that a crash left aside. */
    async #manifestsIn(directory: string, prefix: string): Promise<readonly string[]> {
        const names = new Set<string>();
        const entries = (await unlessMissing(readdir(directory, { withFileTypes: true }))) ?? [];
        for (const { name } of entries.filter((entry) => entry.isFile())) {
            const manifest = ASIDE.exec(name)?.[1];
            if (manifest !== undefined) {
                await putBack(join(directory, name), join(directory, manifest));
            }
            names.add(manifest ?? name);
        }
        for (const entry of entries.filter((one) => !one.isFile())) {
            this.#complain(join(directory, entry.name), 'not a manifest: left');
        }
        return [...names].sort().filter((name) => {
            const uuid = name.slice(0, -EXTENSION.length);
            const isManifest = name.endsWith(EXTENSION) && isUuid(uuid) && uuidPrefix(uuid) === prefix;
            // Somebody is writing the others at this moment, or has crashed: the sweep's.
            if (!isManifest && !name.endsWith('.tmp')) {
                this.#complain(join(directory, name), 'not the name of a manifest: left');
            }
            return isManifest;
        });
    }

    /** `undefined`: there is nothing to push, or what is there is no manifest. */
    async #read(path: string): Promise<ReadManifest | undefined> {
        const handle = await unlessMissing(open(path, constants.O_RDONLY | constants.O_NOFOLLOW));
        if (handle === undefined) {
            return undefined;
        }
        try {
            const facts = await handle.stat({ bigint: true });
            if (facts.size > MAX_MANIFEST_SIZE) {
                this.#complain(path, `more than ${MAX_MANIFEST_SIZE} bytes: left`);
                return undefined;
            }
            const bytes = await handle.readFile();
            JSON.parse(bytes.toString());
            return { bytes, facts };
        } catch (err) {
            if (!(err instanceof SyntaxError)) {
                throw err;
            }
            this.#complain(path, 'not JSON: left', err);
            return undefined;
        } finally {
            await handle.close();
        }
    }

    async #put(path: string, bytes: Buffer, signal: AbortSignal): Promise<void> {
        const md5 = createHash('md5').update(bytes).digest('base64');
        const stored = await this.#options.objects.put(path, bytes, {
            contentType: 'application/json',
            size: bytes.length,
            md5,
            signal,
        });
        if (stored.md5 !== undefined && stored.md5 !== md5) {
            throw new Error(`${path} was stored with MD5 ${stored.md5}, not ${md5}`);
        }
    }

    /** Tells whether it was removed: not if it was written again since it was read. */
    async #removePushed(path: string, { ino, size, mtimeNs }: BigIntStats): Promise<boolean> {
        const aside = `${path}.${randomBytes(8).toString('hex')}.pushed`;
        return removeExactly(path, aside, async (moved) => {
            const now = await lstat(moved, { bigint: true });
            return now.ino === ino && now.size === size && now.mtimeNs === mtimeNs;
        });
    }

    /** Whoever writes there makes it again. */
    async #removeEmptied(directory: string, counts: Counts): Promise<void> {
        try {
            await rmdir(directory);
        } catch (err) {
            if (!NOT_REMOVED.has(systemErrorCode(err))) {
                this.#noteFailure(err, directory, counts);
            }
        }
    }
}
