import { OutgoingError } from '../../../base/http-errors.js';
import type { RemoteState } from '../../../remotes/imgapi/answers.js';
import type { ImageServerClient } from '../../../remotes/imgapi/image-server-client.js';
import { EXIT, type Invocation } from '../command.js';
import { failureFacts, failureText } from '../failure-text.js';
import { Interrupt } from '../interrupt.js';
import { showProgress, type ProgressFacts } from '../progress.js';
import { connectToServer, type ServerAccess } from '../server-access.js';
import type { Terminal } from '../terminal.js';
import { Report, type Ending, type ReportWords } from './report.js';

/** Requests at the same time beside the work: one that lists. */
const OTHER_CALLS = 1;

/** What is asked of every subcommand that works on many images of a running server. */
export interface BatchOrder {
    readonly parallel: number;
    readonly dryRun: boolean;
    readonly json: boolean;
    readonly quiet: boolean;
    readonly yes: boolean;
    readonly access: ServerAccess;
}

/** What the work is done with. */
export interface BatchParts<R extends string> {
    readonly client: ImageServerClient;
    readonly state: RemoteState;
    readonly report: Report<R>;
    readonly terminal: Terminal;
    /** Ends the run: what is under way goes on to its end, nothing more is begun. */
    readonly signal: AbortSignal;
}

/** Work on many images. */
export interface Batch<S> {
    /** Looks how much there is to do. @throws OutgoingError */
    survey(): Promise<S>;
    /** What to ask before beginning; `undefined`: there is nothing to do that is worth a question. */
    question(survey: S): string | undefined;
    /** Reports what would be done. @throws OutgoingError when not all images could be listed */
    rehearse(): Promise<void>;
    /** Does it and reports. @throws OutgoingError when not all images could be listed */
    run(): Promise<void>;
    progress(survey: S, elapsedMs: number): ProgressFacts;
}

/** A kind of work on many images. */
export interface BatchKind<S, R extends string> {
    readonly words: ReportWords<R>;
    /** Said when the operator does not agree, and when told to stop. */
    readonly refused: string;
    readonly stopping: string;
    /** Makes the work, and sure that the server is able to do it. @throws Error */
    prepare(parts: BatchParts<R>): Batch<S>;
}

/** Makes sure that the server has the channel that was asked for. @throws Error */
function requireChannel(state: RemoteState, { channel }: ServerAccess): void {
    if (channel !== undefined && state.channels.length > 0 && !state.channels.includes(channel)) {
        throw new Error(`the server has no channel "${channel}"; it has: ${state.channels.join(', ')}`);
    }
}

/**
 * A channel to reach an image by: changes know no `*`.
 *
 * @param asked the one the operator has named
 */
export function channelToReach(
    state: RemoteState,
    ofImage: readonly string[],
    asked: string | undefined,
): string | undefined {
    return asked ?? ofImage.find((name) => state.channels.includes(name));
}

/** Says how to be let in. */
function explained(error: unknown): unknown {
    if (!(error instanceof OutgoingError) || error.status !== 401) {
        return error;
    }
    const hint =
        'sign with --user and --identity; a server with authType "none" tells only in mode "dc" where files are and where images came from';
    return new Error(`${failureText(error)}; ${hint}`, { cause: error });
}

/** One run of a subcommand, from the first question to the server to the summary. */
export class BatchRun<S, R extends string> {
    readonly #order: BatchOrder;
    readonly #kind: BatchKind<S, R>;
    readonly #terminal: Terminal;
    readonly #interrupt = new Interrupt();
    readonly #report: Report<R>;
    #startedAt = performance.now();
    #isWorking = false;

    constructor(order: BatchOrder, kind: BatchKind<S, R>, { terminal }: Invocation) {
        const { json, dryRun } = order;
        this.#order = order;
        this.#kind = kind;
        this.#terminal = terminal;
        this.#report = new Report({ ...kind.words, terminal, json, dryRun });
    }

    /** @returns the exit status. @throws Error when it could not run */
    async execute(): Promise<number> {
        const { access, parallel } = this.#order;
        const terminal = this.#terminal;
        this.#listen();
        const server = await connectToServer(access, parallel + OTHER_CALLS);
        const { client } = server;
        const { signal } = this.#interrupt;
        try {
            terminal.trace(`server: ${access.url}, ${access.identity?.user ?? 'requests are not signed'}`);
            const state = await client.state(signal);
            requireChannel(state, access);
            const report = this.#report;
            const batch = this.#kind.prepare({ client, state, report, terminal, signal });
            if (!state.isWriter) {
                terminal.note(
                    'this process of the server only reads: if changes fail, name the writer by --url',
                );
            }
            return await this.#work(batch);
        } catch (error) {
            if (this.#interrupt.status === undefined) {
                throw explained(error);
            }
            // Before anything was begun.
            this.#summarize();
            return this.#interrupt.status;
        } finally {
            await server.close();
        }
    }

    #listen(): void {
        this.#interrupt.listen({
            onFirst: () => {
                if (this.#isWorking) {
                    this.#terminal.note(this.#kind.stopping);
                }
            },
            onSecond: () => this.#summarize(),
        });
        // Whoever reads the result has gone.
        process.stdout.on('error', () => process.exit(EXIT.failed));
    }

    async #work(batch: Batch<S>): Promise<number> {
        if (this.#order.dryRun) {
            return this.#concluded(batch.rehearse());
        }
        const survey = await batch.survey();
        if (!(await this.#agreed(batch.question(survey)))) {
            return this.#interrupt.status ?? EXIT.failed;
        }
        this.#startedAt = performance.now();
        this.#isWorking = true;
        const facts = (): ProgressFacts => batch.progress(survey, performance.now() - this.#startedAt);
        const hide = this.#order.quiet ? undefined : showProgress(this.#terminal, facts);
        return this.#concluded(batch.run().finally(() => hide?.()));
    }

    /** Whether to begin. */
    async #agreed(question: string | undefined): Promise<boolean> {
        const { signal } = this.#interrupt;
        signal.throwIfAborted();
        if (this.#order.yes || question === undefined) {
            return true;
        }
        const agreed = await this.#terminal.confirm(question, signal);
        if (!agreed) {
            this.#terminal.note(this.#kind.refused);
        }
        return agreed;
    }

    /** Waits for the work, sums it up, and says what status it ends with. */
    async #concluded(work: Promise<void>): Promise<number> {
        try {
            await work;
            this.#summarize();
        } catch (error) {
            if (this.#interrupt.status === undefined) {
                this.#terminal.note(`error: ${failureText(error)}`);
                this.#summarize(error);
                return EXIT.findings;
            }
            this.#summarize();
        }
        return this.#interrupt.status ?? (this.#report.failures > 0 ? EXIT.findings : EXIT.clean);
    }

    #summarize(error?: unknown): void {
        const ending: Ending = {
            elapsedMs: performance.now() - this.#startedAt,
            interrupted: this.#interrupt.status !== undefined,
            ...(error === undefined ? {} : { error: failureFacts(error) }),
        };
        this.#report.summarize(ending);
    }
}
