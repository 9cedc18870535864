/**
 * Tells of work under way. A line with a key takes the place of the one with the same key that nobody has
 * read yet: a slow reader gets fewer lines about a state, and never an old one.
 */
export type Say<Line> = (line: Line, key?: string) => void;

/** Work that tells what it does. */
export type TellingWork<Line> = (say: Say<Line>, signal: AbortSignal) => Promise<void>;

interface Waiting<Line> {
    line: Line;
    readonly key: string | undefined;
}

/**
 * The lines of work under way, for one reader; the work begins at once. What it throws is thrown behind its
 * last line. `return` has it stop, and resolves when it has.
 *
 * The work bounds the number of its lines without a key; nothing else does.
 */
export class WorkLines<Line> implements AsyncIterableIterator<Line> {
    readonly #waiting: Waiting<Line>[] = [];
    readonly #stop = new AbortController();
    readonly #work: Promise<void>;
    #isOver = false;
    #failure: { readonly error: unknown } | undefined;
    #wake: () => void = () => undefined;

    /** @param signal tells the work to stop */
    constructor(work: TellingWork<Line>, signal: AbortSignal) {
        const stopped = AbortSignal.any([signal, this.#stop.signal]);
        this.#work = work((line, key) => this.#say(line, key), stopped)
            .catch((error: unknown) => {
                this.#failure = { error };
            })
            .then(() => {
                this.#isOver = true;
                this.#wake();
            });
    }

    [Symbol.asyncIterator](): this {
        return this;
    }

    /** @throws what the work threw */
    async next(): Promise<IteratorResult<Line, undefined>> {
        for (;;) {
            const first = this.#waiting.shift();
            if (first !== undefined) {
                return { done: false, value: first.line };
            }
            if (this.#isOver) {
                return this.#end();
            }
            await new Promise<void>((resolve) => (this.#wake = resolve));
        }
    }

    /** Has the work stop, and waits for it. */
    async return(): Promise<IteratorResult<Line, undefined>> {
        this.#stop.abort(new Error('nobody reads the lines any more'));
        await this.#work;
        this.#waiting.length = 0;
        this.#failure = undefined;
        return { done: true, value: undefined };
    }

    #end(): IteratorResult<Line, undefined> {
        const failure = this.#failure;
        this.#failure = undefined;
        if (failure !== undefined) {
            throw failure.error;
        }
        return { done: true, value: undefined };
    }

    #say(line: Line, key: string | undefined): void {
        const unread = key === undefined ? undefined : this.#waiting.find((waiting) => waiting.key === key);
        if (unread === undefined) {
            this.#waiting.push({ line, key });
        } else {
            unread.line = line;
        }
        this.#wake();
    }
}
