import { Worker } from 'node:worker_threads';
import type { FromWorker, ThreadStart, ToWorker } from './digest-protocol.js';
import type { DigestName, Digests } from './digests.js';
import type { SharedRing } from './shared-ring.js';

interface Waiting {
    readonly task: number;
    readonly resolve: (digests: Partial<Digests>) => void;
    readonly reject: (error: Error) => void;
}

/** Digests being computed by a thread over the bytes of a ring. */
export interface DigestTask {
    /** Hashes the next bytes; resolves when they may be overwritten. */
    update(offset: number, length: number): Promise<void>;
    end(): Promise<Partial<Digests>>;
    /** Frees the task at any time. */
    cancel(): void;
}

/**
 * A thread that computes digests, one message at a time in the order they were sent, for any number
 * of tasks. It keeps the process alive only while it has tasks.
 */
export class DigestThread {
    readonly #worker: Worker;
    readonly #knownRings = new Set<number>();
    readonly #tasks = new Set<number>();
    /** Answers come in the order of the questions. */
    readonly #waiting: Waiting[] = [];
    #nextTask = 1;
    #failure: Error | undefined;

    /**
     * @param onFailure called once when the thread has ended and can take no more tasks
     * @param yields whether other threads come first
     */
    constructor(onFailure: (thread: DigestThread) => void, yields: boolean) {
        const start: ThreadStart = { yields };
        this.#worker = new Worker(new URL('./digest-worker.js', import.meta.url), {
            name: 'digest',
            workerData: start,
            stdin: false,
            execArgv: [],
        });
        this.#worker.unref();
        this.#worker.on('message', (message: FromWorker) => {
            this.#answered(message);
        });
        const fail = (cause: unknown): void => {
            this.#failure ??= new Error('digest thread failed', { cause });
            onFailure(this);
            for (const { reject } of this.#waiting.splice(0)) {
                reject(this.#failure);
            }
        };
        this.#worker.on('error', fail);
        this.#worker.on('exit', fail);
    }

    /** Number of tasks it works on. */
    get load(): number {
        return this.#tasks.size;
    }

    /** Starts digests over bytes that will lie in `ring`. */
    start(ring: SharedRing, names: readonly DigestName[]): DigestTask {
        const task = this.#nextTask;
        this.#nextTask += 1;
        if (!this.#knownRings.has(ring.id)) {
            this.#knownRings.add(ring.id);
            this.#send({ kind: 'memory', ring: ring.id, memory: ring.memory });
        }
        this.#tasks.add(task);
        this.#worker.ref();
        this.#send({ kind: 'start', task, ring: ring.id, names });
        return {
            update: async (offset, length) => {
                await this.#ask(task, { kind: 'update', task, offset, length });
            },
            end: () => this.#ask(task, { kind: 'end', task }).finally(() => this.#ended(task)),
            cancel: () => {
                if (this.#tasks.has(task)) {
                    this.#send({ kind: 'cancel', task });
                    this.#ended(task);
                }
            },
        };
    }

    /** Ends the thread; tasks under way fail. */
    async stop(): Promise<void> {
        await this.#worker.terminate();
    }

    #send(message: ToWorker): void {
        this.#worker.postMessage(message);
    }

    async #ask(task: number, message: ToWorker): Promise<Partial<Digests>> {
        if (this.#failure !== undefined) {
            throw this.#failure;
        }
        return await new Promise((resolve, reject) => {
            this.#waiting.push({ task, resolve, reject });
            this.#send(message);
        });
    }

    #answered({ task, digests }: FromWorker): void {
        const waiting = this.#waiting.shift();
        if (waiting?.task === task) {
            waiting.resolve(digests ?? {});
        } else {
            waiting?.reject(new Error('digest thread answered out of order'));
        }
        this.#unrefIfIdle();
    }

    #ended(task: number): void {
        this.#tasks.delete(task);
        this.#unrefIfIdle();
    }

    /** Somebody may still wait for the answer to a question of a cancelled task. */
    #unrefIfIdle(): void {
        if (this.#tasks.size === 0 && this.#waiting.length === 0) {
            this.#worker.unref();
        }
    }
}
