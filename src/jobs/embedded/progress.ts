import type { Clock } from '../../base/clock.js';
import type { JobProgress, StepError } from '../job.js';
import type { ProgressMeter } from '../progress-meter.js';
import { RecentBytes } from '../recent-bytes.js';

/** What is kept beside the numbers that are shown, so that a later process can go on counting. */
export interface KeptNumbers {
    /** Bytes of the images that are there, by their uuid: an image counts once, however often it is repeated. */
    readonly ended: Readonly<Record<string, number>>;
    /** Bytes of those that have been begun. */
    readonly parts: Readonly<Record<string, number>>;
}

/** The numbers of a job of which nothing is known yet. */
export function noProgress(now: string): JobProgress {
    return {
        step: null,
        current_image: null,
        images_done: 0,
        images_total: 0,
        bytes_done: 0,
        bytes_total: -1,
        image_bytes_done: 0,
        image_bytes_total: -1,
        rate: 0,
        eta: null,
        started_at: null,
        updated_at: now,
        attempt: 1,
        resumed_from: 0,
        error: null,
    };
}

/** An error as the progress shows it. */
export function progressError(error: StepError): JobProgress['error'] {
    const name = error.name === 'Error' ? 'InternalError' : error.name;
    return { code: error.code ?? error.restCode ?? name, message: error.message };
}

/** What a {@link JobMeter} is made from. */
export interface JobMeterOptions {
    readonly clock: Clock;
    /** As the job's file had it. */
    readonly progress: JobProgress;
    readonly numbers: KeptNumbers;
    /** Told whenever a number has changed. */
    readonly onChange: () => void;
}

/**
 * Counts how far a job is (jobs-and-imports 8.3). The bytes done never get fewer, unless a transfer starts
 * over from zero, which is a new attempt.
 */
export class JobMeter implements ProgressMeter {
    readonly #clock: Clock;
    readonly #onChange: () => void;
    readonly #ended: Map<string, number>;
    readonly #parts: Map<string, number>;
    readonly #recent = new RecentBytes();
    /** The step at hand; what an earlier process was at is at hand no more. */
    #step: string | null = null;
    #image: string | null;
    #imagesTotal: number;
    #bytesTotal: number;
    #imageTotal: number;
    /** What an earlier process had of the image at hand: it goes on there, or starts over. */
    #inherited = false;
    #startedAt: string | null;
    /** Milliseconds since the epoch. */
    #updatedAt: number;
    #attempt: number;
    #resumedFrom: number;
    #error: JobProgress['error'];

    constructor(options: JobMeterOptions) {
        const { progress } = options;
        this.#clock = options.clock;
        this.#onChange = options.onChange;
        this.#ended = new Map(Object.entries(options.numbers.ended));
        this.#parts = new Map(Object.entries(options.numbers.parts));
        this.#image = progress.current_image;
        this.#imagesTotal = progress.images_total;
        this.#bytesTotal = progress.bytes_total;
        this.#imageTotal = progress.image_bytes_total;
        this.#startedAt = progress.started_at;
        this.#updatedAt = Date.parse(progress.updated_at);
        this.#attempt = progress.attempt;
        this.#resumedFrom = progress.resumed_from;
        this.#error = progress.error;
    }

    /** The numbers at this moment. */
    get numbers(): JobProgress {
        const done = this.#bytesDone();
        const rate = this.#step === null ? 0 : this.#recent.rate(this.#clock.now());
        const total = this.#bytesTotal < 0 ? -1 : Math.max(this.#bytesTotal, done);
        return {
            step: this.#step,
            current_image: this.#image,
            images_done: this.#ended.size,
            images_total: Math.max(this.#imagesTotal, this.#ended.size),
            bytes_done: done,
            bytes_total: total,
            image_bytes_done: this.#imageDone,
            image_bytes_total: this.#imageTotal,
            rate,
            eta: total < 0 || rate === 0 ? null : Math.ceil((total - done) / rate),
            started_at: this.#startedAt,
            updated_at: new Date(this.#updatedAt).toISOString(),
            attempt: this.#attempt,
            resumed_from: this.#resumedFrom,
            error: this.#error,
        };
    }

    /** What is to be kept beside them. */
    get kept(): KeptNumbers {
        return { ended: Object.fromEntries(this.#ended), parts: Object.fromEntries(this.#parts) };
    }

    plan(images: number, bytes: number): void {
        this.#imagesTotal = images;
        this.#bytesTotal = bytes;
        this.#changed();
    }

    beginImage(imageUuid: string, bytes: number): void {
        this.#image = imageUuid;
        this.#imageTotal = bytes;
        this.#inherited = this.#imageDone > 0;
        this.#resumedFrom = 0;
        this.#changed();
    }

    resumedAt(bytes: number): void {
        if (bytes < this.#imageDone) {
            this.#attempt += 1;
        }
        this.#inherited = false;
        this.#setImageDone(bytes);
        this.#resumedFrom = bytes;
        this.#changed();
    }

    received(bytes: number): void {
        if (this.#inherited) {
            // Nobody said where it goes on, so it does not.
            this.startedOver();
        }
        this.#setImageDone(this.#imageDone + bytes);
        this.#recent.add(this.#clock.now(), bytes);
        this.#changed();
    }

    startedOver(): void {
        this.#inherited = false;
        this.#setImageDone(0);
        this.#resumedFrom = 0;
        this.#attempt += 1;
        this.#changed();
    }

    endImage(bytes: number): void {
        if (this.#image !== null) {
            this.#ended.set(this.#image, bytes);
            this.#parts.delete(this.#image);
        }
        this.#image = null;
        this.#imageTotal = -1;
        this.#inherited = false;
        this.#changed();
    }

    /** A step begins; `null`: none is being done. */
    at(step: string | null): void {
        this.#step = step;
        this.#startedAt ??= step === null ? null : new Date(this.#clock.now()).toISOString();
        this.#changed();
    }

    /** The job does not succeed. */
    failed(error: StepError): void {
        this.#error = progressError(error);
        this.#changed();
    }

    #bytesDone(): number {
        const counted = new Map([...this.#parts, ...this.#ended]);
        return [...counted.values()].reduce((sum, bytes) => sum + bytes, 0);
    }

    get #imageDone(): number {
        return this.#image === null ? 0 : (this.#parts.get(this.#image) ?? 0);
    }

    #setImageDone(bytes: number): void {
        if (this.#image !== null) {
            this.#parts.set(this.#image, bytes);
        }
    }

    #changed(): void {
        this.#updatedAt = this.#clock.now();
        this.#onChange();
    }
}
