import { forEachParallel } from '../../../base/parallel.js';
import type { RemoteImage } from '../../../remotes/imgapi/answers.js';
import { imagesOfPages, isNotFound } from '../../../remotes/imgapi/list-pages.js';
import { channelToReach, type Batch, type BatchKind, type BatchParts } from '../batch/batch-run.js';
import type { Outcome } from '../batch/report.js';
import { failureFacts, failureText } from '../failure-text.js';
import type { ProgressFacts } from '../progress.js';
import { bytesText, countText } from '../../../base/quantities.js';
import { withRetries } from '../retries.js';
import { needsWork, planFor, type Need, type Plan } from './plan.js';

/** What can become of an image. */
const RESULTS = {
    moved: { text: 'moved', count: 'moved' },
    'icon-checked': { text: 'already there, icon made sure of', count: 'iconChecked' },
    'already-there': { text: 'already there', count: 'alreadyThere' },
    'no-files': { text: 'no files', count: 'noFiles' },
    gone: { text: 'deleted meanwhile', count: 'gone' },
    failed: { text: 'failed', count: 'failed' },
    'would-move': { text: 'would move', count: 'wouldMove' },
    'would-check-icon': { text: 'already there, would make sure of icon', count: 'wouldCheckIcon' },
} as const;

type Result = keyof typeof RESULTS;

/** What was asked of `migrate-stor`. */
export interface MigrationOrder {
    readonly target: string;
    /** Only these; none: all. */
    readonly uuids: readonly string[];
    readonly channel: string | undefined;
    readonly parallel: number;
}

interface MigrationOptions extends MigrationOrder, BatchParts<Result> {}

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
class Migration implements Batch<Survey> {
    readonly #options: MigrationOptions;
    readonly #current = new Set<string>();

    constructor(options: MigrationOptions) {
        this.#options = options;
    }

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

    question({ moves, icons, bytes }: Survey): string | undefined {
        if (moves + icons === 0) {
            return undefined;
        }
        const also = icons === 0 ? '' : ` and make sure of ${countText(icons, 'icon')}`;
        return `Move ${countText(moves, 'image')} (${bytesText(bytes)}) to ${this.#options.target}${also}?`;
    }

    async rehearse(): Promise<void> {
        for await (const candidate of this.#candidates()) {
            this.#options.report.add(this.#unchanged(candidate, INTENDED));
        }
    }

    async run(): Promise<void> {
        const { parallel, report } = this.#options;
        await forEachParallel(this.#candidates(), parallel, async (candidate) => {
            report.add(await this.#settle(candidate));
        });
    }

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
    #unchanged({ uuid, image, error }: Candidate, results: Readonly<Record<Need, Result>>): Outcome<Result> {
        if (image === undefined) {
            return { uuid, result: 'failed', bytes: 0, error: failureFacts(error) };
        }
        const { need, bytes } = planFor(image, this.#options.target);
        return { uuid, image: titleOf(image), result: results[need], bytes };
    }

    async #settle(candidate: Candidate): Promise<Outcome<Result>> {
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

    async #move(image: RemoteImage, plan: Plan): Promise<Outcome<Result>> {
        const { client, state, target } = this.#options;
        const { uuid } = image;
        const facts = { uuid, image: titleOf(image) };
        try {
            const channel = channelToReach(state, image.channels, this.#options.channel);
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

    #again<T>(what: string, task: () => Promise<T>): Promise<T> {
        const { terminal, signal } = this.#options;
        const onRetry = (error: unknown, pauseMs: number): void =>
            terminal.trace(`${what}: ${failureText(error)}; again in ${pauseMs / 1000} s`);
        return withRetries(task, { signal, onRetry });
    }
}

function titleOf({ name, version }: RemoteImage): NonNullable<Outcome<Result>['image']> {
    return { name, version };
}

/** `migrate-stor` as work on many images (operations 3.3). */
export function migration(order: MigrationOrder): BatchKind<Survey, Result> {
    const { target } = order;
    return {
        words: {
            results: RESULTS,
            main: ['moved', 'would-move'],
            where: `to ${target}`,
            facts: { to: target },
        },
        refused: 'nothing was moved',
        stopping: 'stopping when what is being moved is moved; once more: at once',
        prepare: (parts) => {
            const { storageTypes } = parts.state;
            if (!storageTypes.includes(target)) {
                const there = storageTypes.join(', ');
                throw new Error(`the server has no storage "${target}"; it has: ${there}`);
            }
            return new Migration({ ...order, ...parts });
        },
    };
}
