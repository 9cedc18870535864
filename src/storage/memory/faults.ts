/** Calls of a storage that can be told to go wrong. */
export type FaultyOperation =
    'createWriter' | 'write' | 'close' | 'commit' | 'open' | 'stat' | 'remove' | 'copy' | 'list' | 'check';

interface Fault {
    /** Absent: the call hangs until {@link Faults.heal}. */
    readonly error: Error | undefined;
    remaining: number;
}

/** Which calls fail or hang, and after how many bytes reads break off. */
export class Faults {
    readonly #faults = new Map<FaultyOperation, Fault>();
    #waiting: (() => void)[] = [];
    #breakAfter: number | undefined;

    /** The next `times` calls of `operation` reject with `error`. */
    fail(operation: FaultyOperation, error: Error, times = Infinity): void {
        this.#faults.set(operation, { error, remaining: times });
    }

    /** Calls of `operation` do not end before {@link Faults.heal}. */
    hang(operation: FaultyOperation): void {
        this.#faults.set(operation, { error: undefined, remaining: Infinity });
    }

    /** Reads give this many bytes and then an error. */
    breakReadsAfter(bytes: number): void {
        this.#breakAfter = bytes;
    }

    /** Ends every fault; what hangs goes on. */
    heal(): void {
        this.#faults.clear();
        this.#breakAfter = undefined;
        const waiting = this.#waiting;
        this.#waiting = [];
        for (const resume of waiting) {
            resume();
        }
    }

    /** How many bytes a read may give before it breaks off; `undefined`: all. */
    get readLimit(): number | undefined {
        return this.#breakAfter;
    }

    /** Number of calls that hang now. */
    get hanging(): number {
        return this.#waiting.length;
    }

    /** Lets a call go wrong as it was told to. */
    async pass(operation: FaultyOperation): Promise<void> {
        const fault = this.#faults.get(operation);
        if (fault === undefined || fault.remaining === 0) {
            return;
        }
        fault.remaining -= 1;
        if (fault.error !== undefined) {
            throw fault.error;
        }
        await new Promise<void>((resolve) => {
            this.#waiting.push(resolve);
        });
    }
}
