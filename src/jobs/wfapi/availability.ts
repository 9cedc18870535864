import { setTimeout as delay } from 'node:timers/promises';
import type Logger from 'bunyan';
import { systemErrorCode } from '../../base/errors.js';
import { OutgoingError } from '../../base/http-errors.js';
import { shortReason } from '../../base/short-reason.js';
import type { WorkflowService } from '../../remotes/workflow-service.js';

/** No workflow has this name; a service that says so looks for workflows. */
const CHECKED_WORKFLOW = 'workflow-check';

/** Why it is down, in a few words that name no URL. */
function problemOf(error: unknown): string {
    if (!(error instanceof OutgoingError)) {
        return shortReason(error);
    }
    const { status, kind } = error;
    return status === undefined ? (systemErrorCode(error) ?? kind) : `status ${status}`;
}

/** What {@link Availability} is made from. */
export interface AvailabilityOptions {
    readonly service: WorkflowService;
    readonly log: Logger;
    /** Pause between two looks, milliseconds. */
    readonly everyMs: number;
}

/** Watches whether a workflow service answers (jobs-and-imports 2.2): until it has, it counts as down. */
export class Availability {
    readonly #options: AvailabilityOptions;
    #isUp = false;
    /** Why it is down. */
    #problem = 'not asked yet';
    #waiting: (() => void)[] = [];

    constructor(options: AvailabilityOptions) {
        this.#options = options;
    }

    get isUp(): boolean {
        return this.#isUp;
    }

    /** Why it is down; `undefined`: it is up. */
    get problem(): string | undefined {
        return this.#isUp ? undefined : this.#problem;
    }

    /** Resolves when it is up, or `signal` is aborted. */
    async up(signal: AbortSignal): Promise<void> {
        if (!this.#isUp && !signal.aborted) {
            await new Promise<void>((resolve) => {
                this.#waiting.push(resolve);
                signal.addEventListener('abort', () => resolve(), { once: true });
            });
        }
    }

    /** Looks again and again. Resolves when `signal` is aborted. */
    async watch(signal: AbortSignal): Promise<void> {
        while (!signal.aborted) {
            await this.#look(signal);
            await delay(this.#options.everyMs, undefined, { signal, ref: false }).catch(() => undefined);
        }
    }

    async #look(signal: AbortSignal): Promise<void> {
        const { service, log } = this.#options;
        try {
            await service.ping(signal);
            if (!this.#isUp) {
                await service.lookUp(CHECKED_WORKFLOW, signal);
                this.#isUp = true;
                log.info({ url: service.url }, 'workflow service is up');
                this.#waiting.splice(0).forEach((resolve) => resolve());
            }
        } catch (error) {
            if (!signal.aborted) {
                this.#isDown(error);
            }
        }
    }

    #isDown(err: unknown): void {
        const { service, log } = this.#options;
        const problem = problemOf(err);
        if (this.#isUp || problem !== this.#problem) {
            log.warn({ err, url: service.url }, 'workflow service is down');
        }
        this.#isUp = false;
        this.#problem = problem;
    }
}
