import { forEachParallel } from '../../../base/parallel.js';
import type { RemoteImage, RemoteState } from '../../../remotes/imgapi/answers.js';
import type { ImageServerClient } from '../../../remotes/imgapi/image-server-client.js';
import { imagesOfPages, isNotFound } from '../../../remotes/imgapi/list-pages.js';
import { failureFacts, failureText } from '../failure-text.js';
import type { ProgressFacts } from '../progress.js';
import { withRetries } from '../retries.js';
import type { Terminal } from '../terminal.js';
import { needsWork, planFor, type Need, type Plan } from './plan.js';
import type { Outcome, Report, Result } from './report.js';

/** What a {@link Migration} is made from. */
export interface MigrationOptions {
    readonly client: ImageServerClient;
    readonly state: RemoteState;
    readonly target: string;
    /** Only these; none: all. */
    readonly uuids: readonly string[];
    readonly channel: string | undefined;
    readonly parallel: number;
    readonly report: Report;
    readonly terminal: Terminal;
    /** Ends the run: what is being moved is moved, nothing more is begun. */
    readonly signal: AbortSignal;
}

/** How much there is to do. */
export interface Survey {
    /** To look at. */
    readonly images: number;
    readonly moves: number;
    readonly icons: number;
    readonly bytes: number;
}

/** An image to look at, or why there is none. */
interface Candidate {
    readonly uuid: string;
    readonly image?: RemoteImage;
    readonly error?: unknown;
}

const DONE: Readonly<Record<Need, Result>> = {
    move: 'moved',
    'check-icon': 'icon-checked',
    nothing: 'already-there',
    empty: 'no-files',
};
const INTENDED: Readonly<Record<Need, Result>> = {
    ...DONE,
    move: 'would-move',
    'check-icon': 'would-check-icon',
};

/** Moves are ended by ending the process only: the server then drops what it has begun. */
const NEVER = new AbortController().signal;

/**
 * Moves all files and icons of many images to one storage of their server, through its API
 * (operations 3.3). What is there already is left alone, so a run that was broken off is finished by
 * another one; the server makes sure of every copy before it lets the old one go.
 */
export class Migration {
    readonly #options: MigrationOptions;
    readonly #current = new Set<string>();

    constructor(options: MigrationOptions) {
        this.#options = options;
    }

    /** Looks how much there is to do. @throws OutgoingError */
    async survey(): Promise<Survey> {
        const total = { images: 0, moves: 0, icons: 0, bytes: 0 };
        for await (const { image } of this.#candidates()) {
            const plan = image && planFor(image, this.#options.target);
            total.images += 1;
            total.moves += plan?.need === 'move' ? 1 : 0;
            total.icons += plan?.need === 'check-icon' ? 1 : 0;
            total.bytes += plan?.bytes ?? 0;
        }
        return total;
    }

    /** Reports what would be done. @throws OutgoingError when not all images could be listed */
    async rehearse(): Promise<void> {
        for await (const candidate of this.#candidates()) {
            this.#options.report.add(this.#unchanged(candidate, INTENDED));
        }
    }

    /** Moves and reports. @throws OutgoingError when not all images could be listed */
    async run(): Promise<void> {
        const { parallel, report } = this.#options;
        await forEachParallel(this.#candidates(), parallel, async (candidate) => {
            report.add(await this.#settle(candidate));
        });
    }

    /** How far the run is. */
    progress(survey: Survey, elapsedMs: number): ProgressFacts {
        const { report } = this.#options;
        return {
            images: report.images,
            // Images may have been made since.
            allImages: Math.max(survey.images, report.images),
            bytes: report.bytes,
            allBytes: Math.max(survey.bytes, report.bytes),
            elapsedMs,
            current: [...this.#current],
        };
    }

    async *#candidates(): AsyncGenerator<Candidate, void, undefined> {
        const { uuids, signal } = this.#options;
        for await (const candidate of uuids.length > 0 ? this.#named(uuids) : this.#listed()) {
            if (signal.aborted) {
                return;
            }
            yield candidate;
        }
    }

    async *#listed(): AsyncGenerator<Candidate, void, undefined> {
        const { client, signal } = this.#options;
        const pages = imagesOfPages((marker) => this.#again('list', () => client.page(marker, signal)));
        for await (const image of pages) {
            yield { uuid: image.uuid, image };
        }
    }

    async *#named(uuids: readonly string[]): AsyncGenerator<Candidate, void, undefined> {
        const { client, signal } = this.#options;
        for (const uuid of uuids) {
            try {
                const image = await this.#again(uuid, () => client.image(uuid, signal));
                yield { uuid, ...(image === undefined ? { error: new Error('no such image') } : { image }) };
            } catch (error) {
                yield { uuid, error };
            }
        }
    }

    /** The outcome of leaving things as they are. */
    #unchanged({ uuid, image, error }: Candidate, results: Readonly<Record<Need, Result>>): Outcome {
        if (image === undefined) {
            return { uuid, result: 'failed', bytes: 0, error: failureFacts(error) };
        }
        const { need, bytes } = planFor(image, this.#options.target);
        return { uuid, image: titleOf(image), result: results[need], bytes };
    }

    async #settle(candidate: Candidate): Promise<Outcome> {
        const { image } = candidate;
        const plan = image && planFor(image, this.#options.target);
        if (image === undefined || plan === undefined || !needsWork(plan)) {
            return this.#unchanged(candidate, DONE);
        }
        this.#current.add(image.uuid);
        try {
            return await this.#move(image, plan);
        } finally {
            this.#current.delete(image.uuid);
        }
    }

    async #move(image: RemoteImage, plan: Plan): Promise<Outcome> {
        const { client, target } = this.#options;
        const { uuid } = image;
        const facts = { uuid, image: titleOf(image) };
        try {
            const channel = this.#channelOf(image);
            const moved = await this.#again(uuid, () => client.changeStorage(uuid, target, channel, NEVER));
            const left = moved.files.findIndex(({ stor }) => stor !== target);
            if (left !== -1) {
                throw new Error(`the server has done it, but file ${left} is in ${moved.files[left]?.stor}`);
            }
            return { ...facts, result: DONE[plan.need], bytes: plan.bytes };
        } catch (error) {
            this.#options.terminal.trace(`${uuid}: ${failureText(error)}`);
            return isNotFound(error) && (await this.#isGone(uuid))
                ? { ...facts, result: 'gone', bytes: 0 }
                : { ...facts, result: 'failed', bytes: 0, error: failureFacts(error) };
        }
    }

    async #isGone(uuid: string): Promise<boolean> {
        try {
            return (await this.#options.client.image(uuid, NEVER)) === undefined;
        } catch {
            // Then the failure is told as it is.
            return false;
        }
    }

    /** A channel to reach an image by: changes know no `*`. */
    #channelOf({ channels }: RemoteImage): string | undefined {
        const { channel, state } = this.#options;
        return channel ?? channels.find((name) => state.channels.includes(name));
    }

    #again<T>(what: string, task: () => Promise<T>): Promise<T> {
        const { terminal, signal } = this.#options;
        const onRetry = (error: unknown, pauseMs: number): void =>
            terminal.trace(`${what}: ${failureText(error)}; again in ${pauseMs / 1000} s`);
        return withRetries(task, { signal, onRetry });
    }
}

function titleOf({ name, version }: RemoteImage): NonNullable<Outcome['image']> {
    return { name, version };
}
