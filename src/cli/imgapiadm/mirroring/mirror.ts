import { forEachParallel } from '../../../base/parallel.js';
import type { ImageDocument } from '../../../remotes/imgapi/answers.js';
import type { ImageServerClient } from '../../../remotes/imgapi/image-server-client.js';
import { isNotFound } from '../../../remotes/imgapi/list-pages.js';
import { channelToReach, type Batch, type BatchKind, type BatchParts } from '../batch/batch-run.js';
import type { Outcome } from '../batch/report.js';
import { jobEnd } from '../job-end.js';
import { failureFacts, failureText } from '../failure-text.js';
import type { ProgressFacts } from '../progress.js';
import { bytesText, countText } from '../../../base/quantities.js';
import { withRetries } from '../retries.js';
import type { SourceAddress } from '../../../remotes/image-source.js';
import { textOf } from './selection.js';
import { compare, type Item, type Selection, type Survey } from './survey.js';

/** What can become of an image. */
const RESULTS = {
    imported: { text: 'imported', count: 'imported' },
    updated: { text: 'updated', count: 'updated' },
    'up-to-date': { text: 'up to date', count: 'upToDate' },
    deleted: { text: 'deleted', count: 'deleted' },
    kept: { text: 'kept, others are based on it', count: 'kept' },
    failed: { text: 'failed', count: 'failed' },
    'would-import': { text: 'would import', count: 'wouldImport' },
    'would-update': { text: 'would update', count: 'wouldUpdate' },
    'would-delete': { text: 'would delete', count: 'wouldDelete' },
} as const;

type Result = keyof typeof RESULTS;

/** What was asked of `mirror`. */
export interface MirrorOrder extends Selection {
    readonly source: ImageServerClient;
    readonly address: SourceAddress;
    /** The source as the server here is told it: with user info and channel. */
    readonly sourceText: string;
    readonly skipOwnerCheck: boolean;
    readonly channel: string | undefined;
    readonly parallel: number;
}

interface MirrorOptions extends MirrorOrder, BatchParts<Result> {}

/** What has begun goes on to its end. */
const NEVER = new AbortController().signal;

function titleOf(image: ImageDocument): { readonly name: string; readonly version: string } {
    return { name: textOf(image, 'name'), version: textOf(image, 'version') };
}

/** Makes a server have the images of another one (operations 3.3). What a run has not done the next one does. */
class Mirror implements Batch<Survey> {
    readonly #options: MirrorOptions;
    /** Bytes so far of what is being imported. */
    readonly #current = new Map<string, number>();
    /** Whether the images of this run could be imported, as soon as that is known. */
    readonly #imports = new Map<string, Promise<boolean>>();
    #survey: Survey | undefined;

    constructor(options: MirrorOptions) {
        this.#options = options;
    }

    async survey(): Promise<Survey> {
        const { source, client: here, address, channel, signal } = this.#options;
        const again = <T>(what: string, task: () => Promise<T>): Promise<T> => this.#again(what, task);
        this.#survey = await compare({ source, here, address, channel, signal, again }, this.#options);
        return this.#survey;
    }

    question({ items, deletions }: Survey): string | undefined {
        const imports = items.filter(({ need }) => need.kind === 'import').length;
        const updates = items.filter(({ need }) => need.kind === 'update').length;
        const bytes = items.reduce((sum, item) => sum + item.bytes, 0);
        const parts = [
            ...(imports === 0 ? [] : [`import ${countText(imports, 'image')} (${bytesText(bytes)})`]),
            ...(updates === 0 ? [] : [`update ${countText(updates, 'image')}`]),
            ...(deletions.length === 0 ? [] : [`delete ${countText(deletions.length, 'image')}`]),
        ];
        const text = parts.join(', ');
        return text === '' ? undefined : `${text.charAt(0).toUpperCase()}${text.slice(1)}?`;
    }

    async rehearse(): Promise<void> {
        const { items, deletions } = await this.survey();
        const intended = { import: 'would-import', update: 'would-update', nothing: 'up-to-date' } as const;
        for (const item of items) {
            const { need } = item;
            this.#options.report.add(
                need.kind === 'differs'
                    ? this.#differs(item)
                    : this.#outcome(item, intended[need.kind], item.bytes),
            );
        }
        for (const image of deletions) {
            const { uuid } = image;
            this.#options.report.add({ uuid, image: titleOf(image), result: 'would-delete', bytes: 0 });
        }
    }

    async run(): Promise<void> {
        const { parallel, report } = this.#options;
        const { items, deletions } = this.#survey ?? (await this.survey());
        await forEachParallel(this.#until(items), parallel, async (item) => {
            const settled = this.#settle(item);
            this.#imports.set(
                item.image.uuid,
                settled.then(({ result }) => result !== 'failed'),
            );
            report.add(await settled);
        });
        for (const image of this.#until(deletions)) {
            report.add(await this.#remove(image));
        }
    }

    progress({ items, deletions }: Survey, elapsedMs: number): ProgressFacts {
        const { report } = this.#options;
        const coming = [...this.#current.values()].reduce((sum, bytes) => sum + bytes, 0);
        return {
            images: report.images,
            allImages: items.length + deletions.length,
            bytes: report.bytes + coming,
            allBytes: items.reduce((sum, { bytes }) => sum + bytes, 0),
            elapsedMs,
            current: [...this.#current.keys()],
        };
    }

    *#until<T>(items: readonly T[]): Generator<T, void, undefined> {
        for (const item of items) {
            if (this.#options.signal.aborted) {
                return;
            }
            yield item;
        }
    }

    #outcome({ image, need }: Item, result: Result, bytes: number): Outcome<Result> {
        const changed = need.kind === 'update' ? { changed: Object.keys(need.fields) } : {};
        return { uuid: image.uuid, image: titleOf(image), result, bytes, ...changed };
    }

    #differs(item: Item): Outcome<Result> {
        const error = { message: 'it is here with another file' };
        return { ...this.#outcome(item, 'failed', 0), error };
    }

    #failed(image: ImageDocument, error: unknown): Outcome<Result> {
        const { uuid } = image;
        this.#options.terminal.trace(`${uuid}: ${failureText(error)}`);
        return { uuid, image: titleOf(image), result: 'failed', bytes: 0, error: failureFacts(error) };
    }

    async #settle(item: Item): Promise<Outcome<Result>> {
        const { image, need } = item;
        try {
            switch (need.kind) {
                case 'nothing':
                    return this.#outcome(item, 'up-to-date', 0);
                case 'differs':
                    return this.#differs(item);
                case 'update':
                    await this.#again(image.uuid, () =>
                        this.#options.client.update(
                            image.uuid,
                            need.fields,
                            this.#channelOf(item.here),
                            NEVER,
                        ),
                    );
                    return this.#outcome(item, 'updated', 0);
                case 'import':
                    return await this.#import(item);
            }
        } catch (error) {
            return this.#failed(image, error);
        }
    }

    /** Each behind its origin: the list is in that order, so that has begun. */
    async #import(item: Item): Promise<Outcome<Result>> {
        const { image, bytes } = item;
        const origin = textOf(image, 'origin');
        if ((await this.#imports.get(origin)) === false) {
            throw new Error(`its origin ${origin} could not be imported`);
        }
        const { client, sourceText, skipOwnerCheck } = this.#options;
        const { uuid } = image;
        this.#current.set(uuid, 0);
        try {
            const job = await this.#again(uuid, () =>
                client.importFrom(sourceText, uuid, { skipOwnerCheck }, NEVER),
            );
            await jobEnd(job, {
                look: () => this.#again(uuid, () => client.job(job, NEVER)),
                onBytes: (bytes) => this.#current.set(uuid, bytes),
            });
            return this.#outcome(item, 'imported', bytes);
        } finally {
            this.#current.delete(uuid);
        }
    }

    async #remove(image: ImageDocument): Promise<Outcome<Result>> {
        const { uuid } = image;
        const facts = { uuid, image: titleOf(image), bytes: 0 };
        try {
            await this.#again(uuid, () => this.#options.client.remove(uuid, this.#channelOf(image), NEVER));
            return { ...facts, result: 'deleted' };
        } catch (error) {
            if (isNotFound(error)) {
                return { ...facts, result: 'deleted' };
            }
            return failureFacts(error).code === 'ImageHasDependentImages'
                ? { ...facts, result: 'kept' }
                : this.#failed(image, error);
        }
    }

    #channelOf(here: ImageDocument | undefined): string | undefined {
        const { channel, state } = this.#options;
        const channels = Array.isArray(here?.['channels']) ? here['channels'].map(String) : [];
        return channelToReach(state, channels, channel);
    }

    #again<T>(what: string, task: () => Promise<T>): Promise<T> {
        const { terminal, signal } = this.#options;
        const onRetry = (error: unknown, pauseMs: number): void =>
            terminal.trace(`${what}: ${failureText(error)}; again in ${pauseMs / 1000} s`);
        return withRetries(task, { signal, onRetry });
    }
}

/** `mirror` as work on many images (operations 3.3). */
export function mirror(order: MirrorOrder): BatchKind<Survey, Result> {
    const from = order.address.shownUrl;
    return {
        words: {
            results: RESULTS,
            main: ['imported', 'would-import'],
            where: `from ${from}`,
            facts: { from },
        },
        refused: 'nothing was changed',
        stopping:
            'stopping when what is being imported is there; once more: at once, the server goes on with what it has begun',
        prepare: (parts) => new Mirror({ ...order, ...parts }),
    };
}
