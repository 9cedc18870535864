import { join } from 'node:path';
import type Logger from 'bunyan';
import { makeDirectory } from '../../base/durable-files.js';
import type { JsonObject, JsonValue } from '../../manifest/types.js';
import type { FinishedImage } from '../job.js';
import type { JobRun } from '../job-kind.js';
import type { ProgressMeter } from '../progress-meter.js';
import type { ImageLocks } from './image-locks.js';
import { locked } from './job-changes.js';
import { addMembers } from './job-record.js';
import type { JobChange, LiveJob } from './live-job.js';
import type { Stopwatch } from './stopwatch.js';

/** What a {@link StepRun} is made from. */
export interface StepRunOptions {
    readonly job: LiveJob;
    readonly signal: AbortSignal;
    readonly isRepeated: boolean;
    readonly locks: ImageLocks;
    /** Directory that has one of each job in it. */
    readonly stagingDirectory: string;
    /** What stands still while an image is waited for. */
    readonly clocks: readonly Stopwatch[];
    /** ISO date of the moment. */
    readonly now: () => string;
}

function merged(memory: JsonObject, facts: JsonObject): JsonObject {
    return Object.fromEntries(Object.entries({ ...memory, ...facts }).filter(([, value]) => value !== null));
}

/** What one step has of its job. Once it is over, it can change nothing any more. */
export class StepRun implements JobRun {
    readonly signal: AbortSignal;
    readonly isRepeated: boolean;
    readonly #options: StepRunOptions;
    readonly #job: LiveJob;
    #isOver = false;

    constructor(options: StepRunOptions) {
        this.#options = options;
        this.#job = options.job;
        this.signal = options.signal;
        this.isRepeated = options.isRepeated;
    }

    get uuid(): string {
        return this.#job.uuid;
    }

    get target(): string {
        return this.#job.state.target;
    }

    get params(): JsonObject {
        return this.#job.state.params;
    }

    get hidden(): JsonObject {
        return this.#job.state.own.hidden;
    }

    get log(): Logger {
        return this.#job.log;
    }

    get progress(): ProgressMeter {
        return this.#job.meter;
    }

    get created(): readonly string[] {
        return this.#job.state.created_images;
    }

    get memory(): JsonObject {
        return this.#job.state.own.memory;
    }

    async staging(): Promise<string> {
        this.#requireTime();
        const directory = join(this.#options.stagingDirectory, this.#job.uuid);
        await makeDirectory(directory);
        return directory;
    }

    noteCreated(imageUuid: string): Promise<void> {
        return this.#commit((record) =>
            record.created_images.includes(imageUuid)
                ? record
                : { ...record, created_images: [...record.created_images, imageUuid] },
        );
    }

    remember(facts: JsonObject): Promise<void> {
        return this.#commit((record) => ({
            ...record,
            own: { ...record.own, memory: merged(record.own.memory, facts) },
        }));
    }

    show(members: JsonObject): Promise<void> {
        return this.#commit((record) => addMembers(record, members));
    }

    finished(image: FinishedImage): void {
        this.#note((record) => {
            const others = record.own.finished.filter(({ image_uuid }) => image_uuid !== image.image_uuid);
            return { ...record, own: { ...record.own, finished: [...others, image] } };
        });
    }

    inform(data: JsonValue): void {
        const entry = { data, date: this.#options.now() };
        this.#note((record) => ({ ...record, info: [...record.info, entry] }));
    }

    async lock(imageUuid: string): Promise<void> {
        this.#requireTime();
        const { locks, clocks } = this.#options;
        clocks.forEach((clock) => clock.stop());
        try {
            await locks.take(imageUuid, this.#job.uuid, this.signal);
        } finally {
            if (!this.#isOver) {
                clocks.forEach((clock) => clock.start());
            }
        }
        // Not durable is good enough: without it another job may come first after a crash.
        await this.#job.settle((record) => locked(record, imageUuid));
    }

    /** The step has ended, or is not waited for any more. */
    end(): void {
        this.#isOver = true;
    }

    async #commit(change: JobChange): Promise<void> {
        this.#requireTime();
        await this.#job.commit(change);
    }

    #note(change: JobChange): void {
        if (!this.#isOver) {
            this.#job.note(change);
        }
    }

    #requireTime(): void {
        if (this.#isOver) {
            throw new Error('the step is over');
        }
    }
}
