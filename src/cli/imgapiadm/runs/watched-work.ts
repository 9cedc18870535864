import type { BaseDirectories } from '../../../base/config-types.js';
import { systemClock } from '../../../base/clock.js';
import { VERSION } from '../../../base/constants.js';
import { BaseLock } from '../../../lock/base-lock.js';
import { EXIT } from '../command.js';
import type { Interrupt } from '../interrupt.js';
import { terminalLog } from '../offline/terminal-log.js';
import type { Terminal } from '../terminal.js';
import { writeStatus, type WatchedWork } from './run-status.js';

/** A work of which there is one at a time in a base directory, started each hour by a timer. */
export interface WatchedWorkOrder {
    readonly directories: BaseDirectories;
    readonly terminal: Terminal;
    readonly interrupt: Interrupt;
    /** Name of its lock. */
    readonly lock: string;
    /** What it is called, e.g. `backup`. */
    readonly called: string;
    /** Under which name its end is noted; `undefined`: it is not. */
    readonly noted: WatchedWork | undefined;
    /** @returns the exit status */
    readonly work: () => Promise<number>;
}

/** Fails after the status of a failure is noted, so that whoever watches sees it. */
async function guarded(order: WatchedWorkOrder, note: (status: number) => Promise<void>): Promise<number> {
    const { terminal, interrupt, called, work } = order;
    try {
        return await work();
    } catch (error) {
        if (interrupt.status !== undefined) {
            terminal.note(`interrupted; the next ${called} goes on from here`);
            return interrupt.status;
        }
        await note(EXIT.findings);
        throw error;
    }
}

/**
 * Does a work as the only one of its kind, and notes how it ended (operations 3.2).
 *
 * @returns the exit status
 * @throws Error when another one runs, or what the work throws
 */
export async function runWatched(order: WatchedWorkOrder): Promise<number> {
    const { directories, terminal, interrupt, lock: name, called, noted } = order;
    const log = terminalLog(terminal);
    const lock = new BaseLock({ directories, log, clock: systemClock, app: `imgapiadm ${VERSION}`, name });
    if (!(await lock.tryAcquire())) {
        throw new Error(`another ${called} of ${directories.base} is running`);
    }
    const deafen = interrupt.listen({
        onFirst: () => terminal.note('stopping'),
        onSecond: () => undefined,
    });
    const note = async (status: number): Promise<void> => {
        if (noted !== undefined) {
            await writeStatus(directories, noted, status);
        }
    };
    try {
        const status = await guarded(order, note);
        await note(status);
        return status;
    } finally {
        deafen();
        await lock.release();
    }
}
