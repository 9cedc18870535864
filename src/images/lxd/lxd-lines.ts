import type { ApiError } from '../../base/errors.js';
import type { Say } from '../../base/work-lines.js';

/** A line of the stream of an import (jobs-and-imports 6). */
export interface LxdLine {
    readonly type: 'progress' | 'error';
    readonly [key: string]: unknown;
}

/** Bytes between two lines that tell of them. */
const TELL_EVERY = 524_288;

/** The lines of one import; the alias ends each. */
export class LxdLines {
    readonly #say: Say<LxdLine>;
    readonly #alias: string;

    constructor(say: Say<LxdLine>, alias: string) {
        this.#say = say;
        this.#alias = alias;
    }

    status(status: string): void {
        this.#tell({ status });
    }

    /** It is tried again as often as bytes come in between: what nobody has read is said once. */
    timedOut(): void {
        this.#tell({ status: 'Connection timed out' }, 'timeout');
    }

    /** How far a file is takes the place of what nobody has read. */
    bytes(current: number, total: number, start: number): void {
        this.#tell({ status: 'Downloading', progressDetail: { current, total, start } }, 'bytes');
    }

    #tell(payload: Readonly<Record<string, unknown>>, key?: string): void {
        const line: LxdLine = {
            type: 'progress',
            payload: { id: this.#alias, ...payload },
            alias: this.#alias,
        };
        this.#say(line, key);
    }
}

/** Tells how far the download of one file is. */
export class LxdMeter {
    readonly #lines: LxdLines;
    readonly #total: number;
    /** Seconds since the epoch. */
    readonly #start: number;
    #told = 0;
    /** Bytes there are. */
    current = 0;

    constructor(lines: LxdLines, total: number, now: number) {
        this.#lines = lines;
        this.#total = total;
        this.#start = Math.floor(now / 1000);
    }

    /** @param current how many bytes there are now, fewer than before where it goes on from there */
    at(current: number): void {
        this.current = current;
        this.#told = Math.min(this.#told, current);
        if (current - this.#told >= TELL_EVERY) {
            this.#told = current;
            this.#lines.bytes(current, this.#total, this.#start);
        }
    }
}

/** The last line of an import that failed. */
export function lxdError({ code, message }: ApiError, alias: string): LxdLine {
    return { type: 'error', id: alias, error: { code, message }, alias };
}
