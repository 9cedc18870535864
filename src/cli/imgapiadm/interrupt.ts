/** Signals that end a command, and the exit statuses they leave. */
const STATUSES = { SIGINT: 130, SIGTERM: 143 } as const;

type Signal = keyof typeof STATUSES;

/** What happens to a command that is told to stop. */
export interface InterruptHandlers {
    /** Told for the first time: to begin nothing more. */
    readonly onFirst: () => void;
    /** Told again: the process ends when this returns. */
    readonly onSecond: () => void;
}

/** Ctrl-C and its like: once asks to stop, twice stops at once (operations 2.2). */
export class Interrupt {
    readonly #stopping = new AbortController();
    #status: number | undefined;

    /** Aborted when told to stop. */
    get signal(): AbortSignal {
        return this.#stopping.signal;
    }

    /** The exit status once told to stop. */
    get status(): number | undefined {
        return this.#status;
    }

    /** Listens to the signals of this process. @returns stops it */
    listen({ onFirst, onSecond }: InterruptHandlers): () => void {
        const told = (signal: Signal): void => {
            if (this.#status !== undefined) {
                onSecond();
                process.exit(STATUSES[signal]);
            }
            this.#status = STATUSES[signal];
            onFirst();
            this.#stopping.abort();
        };
        process.on('SIGINT', told);
        process.on('SIGTERM', told);
        return () => {
            process.off('SIGINT', told);
            process.off('SIGTERM', told);
        };
    }
}
