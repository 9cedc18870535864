/** Calls of a storage that can be told to go wrong; `remove` is that of temporary files too. */
export type FaultyOperation =
    | 'createWriter'
    | 'adopt'
    | 'write'
    | 'close'
    | 'commit'
    | 'open'
    | 'stat'
    | 'remove'
    | 'copy'
    | 'list'
    | 'check';

/** Which calls of an operation go wrong, and when. */
export interface FaultPoint {
    /** The first of them, counted from 1; by default the next one. */
    readonly nth?: number;
    /** How many; by default all from then on. */
    readonly times?: number;
    /** `after`: when all is done but the answer; by default `before` anything is. */
    readonly when?: 'before' | 'after';
}

interface Fault extends FaultPoint {
    /** Absent: the call hangs until {@link StorageFaults.heal}. */
    readonly error?: Error;
    skip: number;
    left: number;
}

/** Which calls of a storage fail or hang, and after how many bytes reads break off. */
export class StorageFaults {
    readonly #faults = new Map<FaultyOperation, Fault>();
    #waiting: (() => void)[] = [];
    #breakAfter: number | undefined;

    /** Calls of `operation` reject with `error`. */
    fail(operation: FaultyOperation, error: Error, point: FaultPoint = {}): void {
        this.#set(operation, point, { error });
    }

    /** Calls of `operation` do not end before {@link StorageFaults.heal}. */
    hang(operation: FaultyOperation, point: FaultPoint = {}): void {
        this.#set(operation, point, {});
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
        for (const resume of waiting) resume();
    }

    /** How many bytes a read may give before it breaks off; `undefined`: all. */
    get readLimit(): number | undefined {
        return this.#breakAfter;
    }

    /** Number of calls that hang now. */
    get hanging(): number {
        return this.#waiting.length;
    }

    /** Does a call, which goes wrong as it was told to. */
    async around<T>(operation: FaultyOperation, work: () => Promise<T>): Promise<T> {
        const fault = this.#take(operation);
        if (fault?.when !== 'after') await this.#suffer(fault);
        const result = await work();
        if (fault?.when === 'after') await this.#suffer(fault);
        return result;
    }

    #set(operation: FaultyOperation, point: FaultPoint, effect: { readonly error?: Error }): void {
        const { nth = 1, times = Infinity } = point;
        this.#faults.set(operation, { ...point, ...effect, skip: nth - 1, left: times });
    }

    #take(operation: FaultyOperation): Fault | undefined {
        const fault = this.#faults.get(operation);
        if (fault === undefined || fault.left === 0) return undefined;
        if (fault.skip > 0) {
            fault.skip -= 1;
            return undefined;
        }
        fault.left -= 1;
        return fault;
    }

    async #suffer(fault: Fault | undefined): Promise<void> {
        if (fault === undefined) return;
        if (fault.error !== undefined) throw fault.error;
        await new Promise<void>((resolve) => {
            this.#waiting.push(resolve);
        });
    }
}
