import { setTimeout as pause } from 'node:timers/promises';
import type { MorayConnection } from './connection.js';
import type { Deadline } from './deadline.js';
import { isConflict, isOutcomeUnknown, unavailable } from './failures.js';

/** How often a change is tried before the caller is told to come again (backends W3). */
const MAX_TRIES = 8;
/** Pause before another try, milliseconds: random between these. */
const MIN_PAUSE = 5;
const MAX_PAUSE = 50;
/** How long to wait for another connection, to see whether a write has arrived, milliseconds. */
const RECONNECT_WAIT = 2000;

/** A write that is ready to be sent. */
export interface Write<T> {
    /** Sends it. @throws the client's error */
    readonly send: () => Promise<T>;
    /**
     * Looks whether it has been done although its answer was lost; `undefined`: it has not, so far.
     *
     * @throws ApiError 503 when that cannot be told
     */
    readonly find: () => Promise<T | undefined>;
}

/** What {@link compareAndSwap} works with. */
export interface SwapOptions {
    readonly moray: MorayConnection;
    readonly deadline: Deadline;
    readonly random: () => number;
    /** Told of each try that somebody else was faster than. */
    readonly onConflict?: () => void;
}

/**
 * Reads, changes and writes, again when somebody else was faster (backends W3). When the answer to a
 * write is lost it is looked for, so that it is neither done twice nor taken for somebody else's.
 *
 * @param prepare reads and changes; told the number of the try, from 0
 * @throws what `prepare` and `send` throw; ApiError 503 when others are faster every time
 */
export async function compareAndSwap<T>(
    options: SwapOptions,
    prepare: (tried: number) => Promise<Write<T> | { readonly result: T }>,
): Promise<T> {
    const { moray, deadline, random, onConflict } = options;
    let lost: Write<T> | undefined;
    let reason: unknown;
    for (let tried = 0; tried < MAX_TRIES; tried += 1) {
        if (tried > 0) {
            await pause(MIN_PAUSE + random() * (MAX_PAUSE - MIN_PAUSE));
            deadline.check();
        }
        const found = await lost?.find();
        if (found !== undefined) {
            return found;
        }
        const prepared = await prepare(tried);
        if ('result' in prepared) {
            return prepared.result;
        }
        try {
            return await prepared.send();
        } catch (error) {
            reason = error;
            if (isConflict(error)) {
                onConflict?.();
            } else if (isOutcomeUnknown(error) && deadline.remaining > 0) {
                lost = prepared;
                await moray.reconnected(Math.min(RECONNECT_WAIT, deadline.remaining));
            } else {
                throw error;
            }
        }
    }
    throw unavailable(reason);
}
