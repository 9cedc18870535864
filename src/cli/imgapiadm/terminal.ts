import { createInterface } from 'node:readline/promises';

/** Where text goes. */
export interface Screen {
    readonly isTTY?: boolean;
    readonly columns?: number;
    write(text: string): unknown;
}

/** What a {@link Terminal} is made from. */
export interface TerminalOptions {
    readonly stdin: NodeJS.ReadStream;
    readonly stdout: Screen;
    readonly stderr: Screen & NodeJS.WritableStream;
    /** Starts the lines on stderr, e.g. `imgapiadm migrate-stor`. */
    readonly name: string;
    /** Whether {@link Terminal.trace} says anything. */
    readonly verbose: boolean;
}

const CLEAR_LINE = '\r\u001b[K';
const DEFAULT_COLUMNS = 80;
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/g;

/** A text from elsewhere, without what could command a terminal. */
function harmless(text: string): string {
    return text.replace(CONTROLS, '?');
}

/** The streams of a command: results on stdout; all else, and one line that changes, on stderr. */
export class Terminal {
    readonly #options: TerminalOptions;
    #status = '';

    constructor(options: TerminalOptions) {
        this.#options = options;
    }

    /** Whether there is a screen to draw on. */
    get isScreen(): boolean {
        return this.#options.stderr.isTTY === true;
    }

    /** Whether somebody can be asked. */
    get canAsk(): boolean {
        return this.isScreen && this.#options.stdin.isTTY;
    }

    /** How long a line of {@link status} can be. */
    get columns(): number {
        // Some terminals say 0; one column less, so that the cursor stays on the line.
        return (this.#options.stderr.columns || DEFAULT_COLUMNS) - 1;
    }

    /**
     * Calls a listener whenever there are more or fewer columns.
     *
     * @returns stops that
     */
    onResize(listener: () => void): () => void {
        const { stderr } = this.#options;
        stderr.on('resize', listener);
        return () => stderr.removeListener('resize', listener);
    }

    /** A line of the result. */
    line(text: string): void {
        this.#around(() => this.#options.stdout.write(`${harmless(text)}\n`));
    }

    /** A line for the operator. */
    note(text: string): void {
        this.#around(() => this.#options.stderr.write(`${this.#options.name}: ${harmless(text)}\n`));
    }

    /** A line for those who want to know everything. */
    trace(text: string): void {
        if (this.#options.verbose) {
            this.note(text);
        }
    }

    /** Replaces the line at the bottom of the screen; an empty one removes it. */
    status(text: string): void {
        const shown = harmless(text).slice(0, this.columns);
        if (shown !== this.#status) {
            this.#options.stderr.write(CLEAR_LINE + shown);
            this.#status = shown;
        }
    }

    /**
     * Asks a question that `y` or `yes` agrees to; the end of the input does not.
     *
     * @param signal takes the question back: no
     */
    async confirm(question: string, signal: AbortSignal): Promise<boolean> {
        return /^y(es)?$/i.test(((await this.#ask(`${question} [y/N] `, signal)) ?? '').trim());
    }

    /**
     * Asks for the Enter key, whoever presses it: also a pipe may.
     *
     * @param signal takes the question back: no
     * @returns whether it came before the end of the input
     */
    async waitForEnter(what: string, signal: AbortSignal): Promise<boolean> {
        return (await this.#ask(`Hit enter to ${what}, Ctrl-C to stop. `, signal)) !== undefined;
    }

    /** The line that answers; `undefined`: there is none. */
    async #ask(question: string, signal: AbortSignal): Promise<string | undefined> {
        const { stdin: input, stderr: output } = this.#options;
        // Not as a terminal: the interface would keep Ctrl-C for itself.
        const asking = createInterface({ input, output, terminal: false });
        const ended = new Promise<undefined>((resolve) => asking.once('close', () => resolve(undefined)));
        try {
            return await Promise.race([asking.question(question, { signal }), ended]);
        } catch (error) {
            if (signal.aborted) {
                return undefined;
            }
            throw error;
        } finally {
            asking.close();
        }
    }

    #around(write: () => void): void {
        const status = this.#status;
        this.status('');
        write();
        this.status(status);
    }
}
