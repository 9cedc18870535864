import type { Clock } from '../../base/clock.js';
import { RecentlyUsed } from '../../base/recently-used.js';
import type { ImageServices } from '../../images/context.js';
import { findImage } from '../../images/load.js';
import { isObject } from '../../manifest/coerce.js';
import { bytesOfFiles } from '../../manifest/document-files.js';
import { isUsableState } from '../../manifest/state.js';
import type { ServiceJob } from '../../remotes/workflow-service.js';
import type { TransferNumbers } from '../../transfers/transfer-board.js';
import { type FinishedImage, isTerminal, type JobView, type ProgressSnapshot } from '../job.js';
import { jobFailure } from '../job-failure.js';
import { RecentBytes } from '../recent-bytes.js';
import { imagesOf, shownDocument } from './job-documents.js';

/** Jobs whose numbers are remembered. */
const MAX_JOBS = 1000;
/** Steps that transfer bytes. */
const TRANSFERS = ['origin_import_images', 'add_image_file'];

/** Bytes of the images of a job, by uuid, where they are known. */
export type ImageSizes = Readonly<Record<string, number>>;

/** What is remembered of a job between two looks. */
interface Seen {
    sizes: ImageSizes;
    readonly recent: RecentBytes;
    /** Whether this process transfers for it. */
    isHere: boolean;
    bytesDone: number;
    /** Tries, by image. */
    readonly attempts: Map<string, number>;
    /** When a number changed, milliseconds since the epoch. */
    updatedAt: number;
    last: string;
}

/** An image of a job that is there. */
interface Done extends FinishedImage {
    readonly bytes: number;
}

interface Numbers {
    readonly bytes_done: number;
    readonly bytes_total: number;
    readonly image_bytes_done: number;
    readonly image_bytes_total: number;
}

/** What {@link JobProgresses} needs. */
export interface JobProgressOptions {
    readonly images: ImageServices;
    readonly clock: Clock;
}

function resultsOf(job: ServiceJob): readonly unknown[] {
    return Array.isArray(job['chain_results']) ? job['chain_results'] : [];
}

/** The step at hand. */
function stepOf(job: ServiceJob): string | null {
    const chain = Array.isArray(job['chain']) ? job['chain'] : [];
    const step: unknown = job.execution === 'running' ? chain[resultsOf(job).length] : undefined;
    return isObject(step) && typeof step['name'] === 'string' ? step['name'] : null;
}

/** Why a job ended without success. */
function errorOf(job: ServiceJob): ProgressSnapshot['error'] {
    const isInVain = job.execution === 'failed' || job.execution === 'canceled';
    return isInVain ? jobFailure({ document: shownDocument(job), progress: { error: null } }) : null;
}

/** How far the jobs of a workflow service are, as far as this process can know (jobs-and-imports 8.3). */
export class JobProgresses {
    readonly #images: ImageServices;
    readonly #clock: Clock;
    readonly #seen = new RecentlyUsed<Seen>(MAX_JOBS);

    constructor(options: JobProgressOptions) {
        this.#images = options.images;
        this.#clock = options.clock;
    }

    /** A job is there whose images have these sizes. */
    expect(uuid: string, sizes: ImageSizes): void {
        this.#seenOf(uuid).sizes = sizes;
    }

    /** A job with what is known of it here. @throws 503 */
    async view(job: ServiceJob): Promise<JobView> {
        const done = await this.#doneOf(job);
        return {
            document: shownDocument(job),
            progress: this.#progressOf(job, done),
            finished: done.map(({ image_uuid, state }) => ({ image_uuid, state })),
        };
    }

    #seenOf(uuid: string): Seen {
        const seen = this.#seen.get(uuid) ?? {
            sizes: {},
            recent: new RecentBytes(),
            isHere: false,
            bytesDone: 0,
            attempts: new Map<string, number>(),
            updatedAt: this.#clock.now(),
            last: '',
        };
        this.#seen.set(uuid, seen);
        return seen;
    }

    /** The images that are there: they are made one after another, the base first. */
    async #doneOf(job: ServiceJob): Promise<readonly Done[]> {
        const done: Done[] = [];
        for (const uuid of job.execution === 'queued' ? [] : imagesOf(job)) {
            const raw = (await findImage(this.#images, uuid))?.raw;
            if (raw === undefined || !isUsableState(raw.state)) {
                break;
            }
            done.push({ image_uuid: uuid, state: raw.state, bytes: bytesOfFiles(raw) ?? 0 });
        }
        return done;
    }

    #progressOf(job: ServiceJob, done: readonly Done[]): ProgressSnapshot {
        const seen = this.#seenOf(job.uuid);
        const images = imagesOf(job);
        const { task, image_uuid: imageUuid } = shownDocument(job);
        const step = stepOf(job);
        const current = step === null ? undefined : images[done.length];
        const transfer = current === undefined ? undefined : this.#images.transfers.of(current);
        this.#note(seen, current, transfer);
        const numbers = this.#bytes(job, seen, { done, current, transfer, step });
        const now = this.#clock.now();
        const rate = step === null || !seen.isHere ? 0 : seen.recent.rate(now);
        const { bytes_done, bytes_total } = numbers;
        const { started } = job;
        const shown = {
            job_uuid: job.uuid,
            image_uuid: imageUuid ?? '',
            task: task ?? '',
            execution: job.execution,
            step,
            current_image: current ?? null,
            images_done: done.length,
            images_total: images.length,
            ...numbers,
            rate,
            eta: bytes_total < 0 || rate === 0 ? null : Math.ceil((bytes_total - bytes_done) / rate),
            started_at: typeof started === 'number' ? new Date(started).toISOString() : null,
            attempt: 1 + [...seen.attempts.values()].reduce((sum, attempt) => sum + attempt - 1, 0),
            resumed_from: 0,
            error: errorOf(job),
        };
        const text = JSON.stringify(shown);
        if (text !== seen.last) {
            seen.last = text;
            seen.updatedAt = now;
        }
        return { ...shown, updated_at: new Date(seen.updatedAt).toISOString() };
    }

    /** Takes down what the transfer at hand tells. */
    #note(seen: Seen, current: string | undefined, transfer: TransferNumbers | undefined): void {
        if (current !== undefined && transfer !== undefined) {
            seen.isHere = true;
            seen.attempts.set(current, transfer.attempt);
        }
    }

    #bytes(
        job: ServiceJob,
        seen: Seen,
        facts: {
            readonly done: readonly Done[];
            readonly current: string | undefined;
            readonly transfer: TransferNumbers | undefined;
            readonly step: string | null;
        },
    ): Numbers {
        const { done, current, transfer, step } = facts;
        if (!seen.isHere && step !== null && TRANSFERS.includes(step)) {
            return { bytes_done: -1, bytes_total: -1, image_bytes_done: -1, image_bytes_total: -1 };
        }
        const ended = done.reduce((sum, { bytes }) => sum + bytes, 0);
        const bytes_done = ended + (transfer?.bytesDone ?? 0);
        if (seen.isHere) {
            seen.recent.add(this.#clock.now(), Math.max(0, bytes_done - seen.bytesDone));
        }
        seen.bytesDone = bytes_done;
        const rest = imagesOf(job)
            .slice(done.length)
            .map((uuid) => seen.sizes[uuid] ?? (uuid === current ? (transfer?.bytesTotal ?? -1) : -1));
        const isKnown = rest.every((bytes) => bytes >= 0) && !isTerminal(job.execution);
        const bytes_total = isKnown ? ended + rest.reduce((sum, bytes) => sum + bytes, 0) : -1;
        return {
            bytes_done,
            bytes_total: rest.length === 0 ? ended : bytes_total,
            image_bytes_done: transfer?.bytesDone ?? 0,
            image_bytes_total: transfer?.bytesTotal ?? -1,
        };
    }
}
