import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.js';
import { type LockRecord, ownRecord } from '../../lock/lock-record.js';
import { ownerIsGone } from '../../lock/staleness.js';

/** Hex digits of a name: machine, boot, process, its start, and random ones. */
const NAME_RE = /^([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{16})[0-9a-f]{12}$/;

function hexOf(number: number, digits: number): string {
    return number.toString(16).padStart(digits, '0');
}

function shortHash(text: string): string {
    return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

/**
 * The random part of the names of part files. No two processes that share a base directory make the same
 * one, and whoever finds it can tell whether the process that made it has ended: after a crash up to 20 GiB
 * a layer need not lie there for a day.
 */
export class PartNames {
    readonly #clock: Clock;
    #record: Promise<LockRecord> | undefined;

    constructor(clock: Clock) {
        this.#clock = clock;
    }

    /** A name nobody has. */
    async fresh(): Promise<string> {
        const { host, bootId = '', pid, startTime = 0 } = await this.#self();
        return [
            shortHash(host),
            shortHash(bootId),
            hexOf(pid, 8),
            hexOf(startTime, 16),
            randomBytes(6).toString('hex'),
        ].join('');
    }

    /** Whether the process that made a name is known to have ended; never of one on another machine. */
    async isAbandoned(name: string): Promise<boolean> {
        const [, host, boot, pid = '', startTime = ''] = NAME_RE.exec(name) ?? [];
        const self = await this.#self();
        if (host !== shortHash(self.host)) {
            return false;
        }
        const started = Number.parseInt(startTime, 16);
        return (
            boot !== shortHash(self.bootId ?? '') ||
            (await ownerIsGone({
                ...self,
                pid: Number.parseInt(pid, 16),
                ...(started === 0 ? {} : { startTime: started }),
            }))
        );
    }

    #self(): Promise<LockRecord> {
        this.#record ??= ownRecord('layers', this.#clock);
        return this.#record;
    }
}
