import { internalError } from '../../base/errors.js';
import { untilAborted } from '../../base/until-aborted.js';

/** Who holds an image, and who waits for it. */
interface Held {
    readonly holder: string;
    /** In the order they came; each call hands the lock over. */
    readonly waiting: Waiter[];
}

interface Waiter {
    readonly holder: string;
    readonly takes: () => void;
}

/**
 * Which job works on which image (jobs-and-imports 9.6). Whoever takes several asks for the base of a
 * chain first: then no two jobs wait for each other, unless their sources disagree which of two images is
 * the base of the other.
 */
export class ImageLocks {
    readonly #held = new Map<string, Held>();

    /** Takes an image that nobody has, or that the job has already. @returns whether it has it now */
    tryTake(imageUuid: string, job: string): boolean {
        const held = this.#held.get(imageUuid);
        if (held === undefined) {
            this.#held.set(imageUuid, { holder: job, waiting: [] });
            return true;
        }
        return held.holder === job;
    }

    /**
     * Waits for an image, first come first served.
     *
     * @throws the reason of `signal`; 500 when whoever has the image waits for this job
     */
    async take(imageUuid: string, job: string, signal: AbortSignal): Promise<void> {
        signal.throwIfAborted();
        if (this.tryTake(imageUuid, job)) {
            return;
        }
        if (this.#waitsFor(this.#held.get(imageUuid)?.holder, job)) {
            throw internalError(`the job that has image ${imageUuid} waits for this one`);
        }
        let waiter: Waiter | undefined;
        const turn = new Promise<void>((resolve) => {
            waiter = { holder: job, takes: resolve };
            this.#held.get(imageUuid)?.waiting.push(waiter);
        });
        try {
            await untilAborted(signal, turn);
        } catch (error) {
            this.#leave(imageUuid, job, waiter);
            throw error;
        }
    }

    /** Gives everything free that a job has. */
    release(job: string): void {
        for (const [imageUuid, { holder }] of [...this.#held]) {
            if (holder === job) {
                this.#handOn(imageUuid);
            }
        }
    }

    /** Whether a job waits for another one, by way of others perhaps. */
    #waitsFor(waiting: string | undefined, job: string): boolean {
        const wanted = [...this.#held.values()].find((held) =>
            held.waiting.some(({ holder }) => holder === waiting),
        );
        return wanted !== undefined && (wanted.holder === job || this.#waitsFor(wanted.holder, job));
    }

    #leave(imageUuid: string, job: string, waiter: Waiter | undefined): void {
        const held = this.#held.get(imageUuid);
        const at = held?.waiting.findIndex((one) => one === waiter) ?? -1;
        if (at >= 0) {
            held?.waiting.splice(at, 1);
        } else if (held?.holder === job) {
            // It came at the same moment as the end of the wait.
            this.#handOn(imageUuid);
        }
    }

    #handOn(imageUuid: string): void {
        const [next, ...waiting] = this.#held.get(imageUuid)?.waiting ?? [];
        if (next === undefined) {
            this.#held.delete(imageUuid);
            return;
        }
        this.#held.set(imageUuid, { holder: next.holder, waiting });
        next.takes();
    }
}
