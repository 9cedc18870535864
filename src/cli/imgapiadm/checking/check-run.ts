import { forEachParallel } from '../../../base/parallel.js';
import { EXIT } from '../command.js';
import { failureText } from '../failure-text.js';
import type { Interrupt } from '../interrupt.js';
import { showProgress, type ProgressFacts } from '../progress.js';
import type { RetryOptions } from '../retries.js';
import type { Terminal } from '../terminal.js';
import { CheckCache, cachePath } from './check-cache.js';
import { isOrdered, orderedFiles, type CheckOrder } from './check-order.js';
import { CheckReport } from './check-report.js';
import type { Cures, CheckSource } from './check-source.js';
import type { CheckedFile, CheckedImage } from './checked-image.js';
import { Family } from './family.js';
import { FileChecker, type FileResult } from './file-checker.js';
import { RateLimit } from './rate-limit.js';

/** Largest exit status that is a number of bad images; those above mean something else. */
const MAX_BAD = 250;
/** How the reason begins where it may be the record that is wrong. */
const WRONG_MD5 = 'invalid md5';
const NO_CURES: Cures = { misplaced: new Map(), repairable: false, commands: [] };

/** What a {@link CheckRun} is made from. */
export interface CheckRunOptions {
    readonly order: CheckOrder;
    readonly source: CheckSource;
    readonly terminal: Terminal;
    readonly environment: NodeJS.ProcessEnv;
    readonly interrupt: Interrupt;
    readonly retries: RetryOptions;
}

/** An image being checked. */
interface OpenImage {
    readonly image: CheckedImage;
    /** Files that have no result yet. */
    left: number;
    readonly results: FileResult[];
}

/** A file to check. */
interface Task {
    readonly open: OpenImage;
    readonly file: CheckedFile;
}

/** One run of `check-files`, from the list of images to the summary. */
export class CheckRun {
    readonly #options: CheckRunOptions;
    readonly #report: CheckReport;
    readonly #family = new Family();
    readonly #open = new Set<OpenImage>();
    readonly #current = new Set<string>();
    #allImages = 0;
    #allBytes = 0;
    #startedAt = performance.now();

    constructor(options: CheckRunOptions) {
        const { order, source, terminal } = options;
        this.#options = options;
        this.#report = new CheckReport({ terminal, json: order.json, adminTool: source.adminTool });
    }

    /** @returns the exit status. @throws Error when it could not run */
    async execute(): Promise<number> {
        const { interrupt, order, terminal } = this.#options;
        const images = await this.#select();
        const cache = await this.#openCache();
        const checker = this.#checker(cache);
        this.#startedAt = performance.now();
        const hide = order.quiet ? undefined : showProgress(terminal, () => this.#progress());
        try {
            await this.#checkAll(images, checker);
        } catch (error) {
            if (!interrupt.signal.aborted) {
                throw error;
            }
            await this.#reportUnfinished();
        } finally {
            hide?.();
            await checker.close();
            await cache.close();
        }
        this.summarize();
        return interrupt.status ?? this.#status();
    }

    /** Tells what has been found so far. */
    summarize(): void {
        const { source, interrupt } = this.#options;
        this.#report.summarize({
            elapsedMs: performance.now() - this.#startedAt,
            interrupted: interrupt.status !== undefined,
            unreadable: source.unreadable,
        });
    }

    #status(): number {
        const { bad, failed } = this.#report;
        return bad === 0 && failed > 0 ? EXIT.failed : Math.min(bad, MAX_BAD);
    }

    /** Lists all images, in the order of their uuids: what is based on one that is bad is to be told, too. @throws Error for an unknown uuid */
    async #select(): Promise<readonly OpenImage[]> {
        const { order, source, terminal, interrupt } = this.#options;
        const unknown = new Set(order.uuids);
        const selected: OpenImage[] = [];
        for await (const image of source.all()) {
            interrupt.signal.throwIfAborted();
            this.#family.add(image);
            unknown.delete(image.uuid);
            const files = isOrdered(order, image) ? orderedFiles(order, image) : [];
            if (files.length > 0) {
                selected.push({ image: { ...image, files }, left: files.length, results: [] });
            }
        }
        if (unknown.size > 0) {
            throw new Error(`no such image: ${[...unknown].join(', ')}`);
        }
        if (source.unreadable > 0) {
            terminal.note(`${source.unreadable} records cannot be read: see "imgapiadm fsck"`);
        }
        return selected.sort((a, b) => (a.image.uuid < b.image.uuid ? -1 : 1));
    }

    async #openCache(): Promise<CheckCache> {
        const { order, source, environment, terminal } = this.#options;
        const note = (text: string): void => terminal.note(text);
        const { runDirectory } = source;
        if (!order.usesCache || runDirectory === undefined) {
            return CheckCache.open({ note });
        }
        const path = await cachePath(runDirectory, order.dockerOnly, environment);
        const { maxAgeMs } = order;
        return CheckCache.open({ path, note, ...(maxAgeMs === undefined ? {} : { maxAgeMs }) });
    }

    #checker(cache: CheckCache): FileChecker {
        const { order, source, retries } = this.#options;
        const { thoroughness, force, rate } = order;
        return new FileChecker({
            source,
            cache,
            thoroughness,
            force,
            retries,
            onBytes: (count) => (this.#report.bytes += count),
            ...(rate === undefined ? {} : { rateLimit: new RateLimit(rate) }),
        });
    }

    /** So many files of each storage at a time: one that is slow does not hold up the others. */
    async #checkAll(images: readonly OpenImage[], checker: FileChecker): Promise<void> {
        const { parallel } = this.#options.order;
        const tasks = images.flatMap((open) => open.image.files.map((file): Task => ({ open, file })));
        this.#allImages = images.length;
        this.#allBytes = tasks.reduce((sum, { file }) => sum + checker.bytesOf(file), 0);
        const storages = [...new Set(tasks.map(({ file }) => file.stor))];
        await Promise.all(
            storages.map((stor) => {
                const queue = tasks.filter(({ file }) => file.stor === stor);
                return forEachParallel(queue, parallel, (task) => this.#check(task, checker));
            }),
        );
    }

    async #check({ open, file }: Task, checker: FileChecker): Promise<void> {
        this.#options.interrupt.signal.throwIfAborted();
        this.#open.add(open);
        this.#current.add(open.image.uuid);
        const result = await checker.check(open.image, file);
        if (result.isCached === true) {
            this.#allBytes -= checker.bytesOf(file);
        }
        open.results.push(result);
        open.left -= 1;
        if (open.left === 0) {
            this.#current.delete(open.image.uuid);
            this.#open.delete(open);
            await this.#conclude(open);
        }
    }

    async #conclude({ image, results }: OpenImage): Promise<void> {
        const order = image.files.map(({ name }) => name);
        const files = results.toSorted((a, b) => order.indexOf(a.file.name) - order.indexOf(b.file.name));
        if (files.every(({ state }) => state !== 'bad' && state !== 'missing')) {
            this.#report.add({ image, files });
            return;
        }
        const isReadAgain = files.some(({ reason = '' }) => reason.startsWith(WRONG_MD5));
        const cures = await this.#curesOf(image, isReadAgain);
        this.#report.add({ image, files, cures, generations: this.#family.generations(image) });
    }

    async #curesOf(image: CheckedImage, isReadAgain: boolean): Promise<Cures> {
        const { source, interrupt, terminal } = this.#options;
        try {
            return await source.cures(image, isReadAgain, interrupt.signal);
        } catch (error) {
            terminal.trace(`${image.uuid}: cannot tell whether it can be repaired: ${failureText(error)}`);
            return NO_CURES;
        }
    }

    /** What is known to be bad is told, also when not all of an image was checked. */
    async #reportUnfinished(): Promise<void> {
        for (const open of this.#open) {
            if (open.results.some(({ state }) => state === 'bad' || state === 'missing')) {
                await this.#conclude(open);
            }
        }
    }

    #progress(): ProgressFacts {
        return {
            images: this.#report.images,
            allImages: this.#allImages,
            bytes: this.#report.bytes,
            allBytes: this.#allBytes,
            elapsedMs: performance.now() - this.#startedAt,
            current: [...this.#current],
        };
    }
}
