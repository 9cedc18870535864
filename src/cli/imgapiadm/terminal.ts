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
export function harmless(text: string): string {
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
        // Some terminals say 0.
        const width = (this.#options.stderr.columns || DEFAULT_COLUMNS) - 1;
        const shown = harmless(text).slice(0, width);
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
        const { stdin: input, stderr: output } = this.#options;
        // Not as a terminal: the interface would keep Ctrl-C for itself.
        const asking = createInterface({ input, output, terminal: false });
        const ended = new Promise<string>((resolve) => asking.once('close', () => resolve('')));
        try {
            const answer = asking.question(`${question} [y/N] `, { signal });
            return /^y(es)?$/i.test((await Promise.race([answer, ended])).trim());
        } catch (error) {
            if (signal.aborted) {
                return false;
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
