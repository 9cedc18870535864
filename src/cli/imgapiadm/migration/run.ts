import { OutgoingError } from '../../../base/http-errors.js';
import type { RemoteState } from '../../../remotes/imgapi/answers.js';
import { EXIT, type Invocation } from '../command.js';
import { failureFacts, failureText } from '../failure-text.js';
import { Interrupt } from '../interrupt.js';
import { showProgress, type ProgressFacts } from '../progress.js';
import { bytesText, countText } from '../quantities.js';
import { connectToServer, type ServerAccess } from '../server-access.js';
import { Migration, type Survey } from './migration.js';
import { Report, type Ending } from './report.js';

/** Requests at the same time beside the moves: one that lists. */
const OTHER_CALLS = 1;

/** What was asked of `migrate-stor`. */
export interface MigrationOrder {
    readonly target: string;
    readonly uuids: readonly string[];
    readonly parallel: number;
    readonly dryRun: boolean;
    readonly json: boolean;
    readonly quiet: boolean;
    readonly yes: boolean;
    readonly access: ServerAccess;
}

/** Makes sure that the server is there, knows us, and can do what is wanted. @throws Error */
function requireAble(state: RemoteState, { target, access }: MigrationOrder): void {
    if (!state.storageTypes.includes(target)) {
        const there = state.storageTypes.join(', ');
        throw new Error(`the server has no storage "${target}"; it has: ${there}`);
    }
    if (
        access.channel !== undefined &&
        state.channels.length > 0 &&
        !state.channels.includes(access.channel)
    ) {
        throw new Error(
            `the server has no channel "${access.channel}"; it has: ${state.channels.join(', ')}`,
        );
    }
}

function questionOf({ moves, icons, bytes }: Survey, target: string): string {
    const also = icons === 0 ? '' : ` and make sure of ${countText(icons, 'icon')}`;
    return `Move ${countText(moves, 'image')} (${bytesText(bytes)}) to ${target}${also}?`;
}

/** Says how to be let in. */
function explained(error: unknown): unknown {
    if (!(error instanceof OutgoingError) || error.status !== 401) {
        return error;
    }
    const hint =
        'sign with --user and --identity; a server with authType "none" tells only in mode "dc" where files are';
    return new Error(`${failureText(error)}; ${hint}`, { cause: error });
}

/** One run of `migrate-stor`, from the first question to the server to the summary. */
export class MigrationRun {
    readonly #order: MigrationOrder;
    readonly #invocation: Invocation;
    readonly #interrupt = new Interrupt();
    readonly #report: Report;
    #startedAt = performance.now();
    #isMoving = false;

    constructor(order: MigrationOrder, invocation: Invocation) {
        const { target, json, dryRun } = order;
        this.#order = order;
        this.#invocation = invocation;
        this.#report = new Report({ terminal: invocation.terminal, target, json, dryRun });
    }

    /** @returns the exit status. @throws Error when it could not run */
    async execute(): Promise<number> {
        const { access, parallel } = this.#order;
        const { terminal } = this.#invocation;
        this.#listen();
        const server = await connectToServer(access, parallel + OTHER_CALLS);
        const { client } = server;
        try {
            terminal.trace(`server: ${access.url}, ${access.identity?.user ?? 'requests are not signed'}`);
            const state = await client.state(this.#interrupt.signal);
            requireAble(state, this.#order);
            if (!state.isWriter) {
                terminal.note(
                    'this process of the server only reads: if moves fail, name the writer by --url',
                );
            }
            const { report, signal } = { report: this.#report, signal: this.#interrupt.signal };
            const options = {
                ...this.#order,
                channel: access.channel,
                client,
                state,
                report,
                terminal,
                signal,
            };
            return await this.#work(new Migration(options));
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
        const { terminal } = this.#invocation;
        this.#interrupt.listen({
            onFirst: () => {
                if (this.#isMoving) {
                    terminal.note('stopping when what is being moved is moved; once more: at once');
                }
            },
            onSecond: () => this.#summarize(),
        });
        // Whoever reads the result has gone.
        process.stdout.on('error', () => process.exit(EXIT.failed));
    }

    async #work(migration: Migration): Promise<number> {
        if (this.#order.dryRun) {
            return this.#concluded(migration.rehearse());
        }
        const survey = await migration.survey();
        if (!(await this.#agreed(survey))) {
            return this.#interrupt.status ?? EXIT.failed;
        }
        this.#startedAt = performance.now();
        this.#isMoving = true;
        const facts = (): ProgressFacts => migration.progress(survey, performance.now() - this.#startedAt);
        const hide = this.#order.quiet ? undefined : showProgress(this.#invocation.terminal, facts);
        return this.#concluded(migration.run().finally(() => hide?.()));
    }

    /** Whether to begin. */
    async #agreed(survey: Survey): Promise<boolean> {
        const { terminal } = this.#invocation;
        this.#interrupt.signal.throwIfAborted();
        if (this.#order.yes || survey.moves + survey.icons === 0) {
            return true;
        }
        const question = questionOf(survey, this.#order.target);
        const agreed = await terminal.confirm(question, this.#interrupt.signal);
        if (!agreed) {
            terminal.note('nothing was moved');
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
                this.#invocation.terminal.note(`error: ${failureText(error)}`);
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
