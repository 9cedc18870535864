import { availableParallelism } from 'node:os';
import { DigestThread, type DigestTask } from './digest-thread.js';
import type { DigestName, Digests } from './digests.js';
import { RingPool, type SharedRing } from './shared-ring.js';

/** Digests that go to one thread together: MD5 takes as long as the other two. */
const SHARES: readonly (readonly DigestName[])[] = [['md5'], ['sha1', 'sha256']];

/** Threads: one for each share at least, and not so many that they are in each other's way. */
const MAX_THREADS = Math.min(4, Math.max(SHARES.length, availableParallelism()));

/** A ring and the digests that are computed over it. */
export interface DigestRun<Hashed> {
    readonly ring: SharedRing;
    /** Hashes the next bytes of the file; resolves when they may be overwritten. */
    update(offset: number, length: number): Promise<void>;
    end(): Promise<Hashed>;
    cancel(): void;
    /** Gives the ring back; nothing may be writing or hashing its bytes. */
    release(): void;
}

/** Computes digests on a few threads that all files share. */
export class DigestPool {
    readonly #rings = new RingPool();
    readonly #threads = new Set<DigestThread>();
    readonly #yields: boolean;

    /** @param yields whether other threads come first: those that answer requests. Default: yes */
    constructor({ yields = true }: { readonly yields?: boolean } = {}) {
        this.#yields = yields;
    }

    /** Starts the digests of a file. */
    start(): DigestRun<Digests> {
        return this.#start(SHARES);
    }

    /** Starts one digest of a file alone. */
    startOne<Name extends DigestName>(name: Name): DigestRun<Pick<Digests, Name>> {
        return this.#start([[name]]);
    }

    /** Starts some digests of a file. */
    startSome(names: readonly DigestName[]): DigestRun<Partial<Digests>> {
        const wanted = SHARES.map((share) => share.filter((name) => names.includes(name)));
        return this.#start(wanted.filter((share) => share.length > 0));
    }

    /** Ends all threads; digests under way fail. */
    async stop(): Promise<void> {
        await Promise.all(Array.from(this.#threads, (thread) => thread.stop()));
    }

    #start<Hashed extends Partial<Digests>>(shares: readonly (readonly DigestName[])[]): DigestRun<Hashed> {
        const ring = this.#rings.take();
        const tasks: readonly DigestTask[] = shares.map((names) => this.#leastLoaded().start(ring, names));
        return {
            ring,
            update: async (offset, length) => {
                await Promise.all(tasks.map((task) => task.update(offset, length)));
            },
            end: async () => {
                const parts = await Promise.all(tasks.map((task) => task.end()));
                return Object.assign({}, ...parts) as Hashed;
            },
            cancel: () => {
                for (const task of tasks) {
                    task.cancel();
                }
            },
            release: () => {
                this.#rings.give(ring);
            },
        };
    }

    /** An idle thread, else a new one, else the one with the fewest tasks. */
    #leastLoaded(): DigestThread {
        const [first] = [...this.#threads].sort((a, b) => a.load - b.load);
        if (first !== undefined && (first.load === 0 || this.#threads.size >= MAX_THREADS)) {
            return first;
        }
        const thread = new DigestThread((failed) => this.#threads.delete(failed), this.#yields);
        this.#threads.add(thread);
        return thread;
    }
}

/** The threads of this process. */
export const digestPool = new DigestPool();
