import { hostname } from 'node:os';
import type { Clock } from '../base/clock.js';
import type { LockFile, LockRecord } from '../lock/lock-record.js';
import { ownRecord } from '../lock/lock-record.js';
import { ownerIsGone } from '../lock/staleness.js';

/** What claims say they are by: a server, or a tool that works beside one. */
const APPS = { server: 'upload', tool: 'imgapiadm' } as const;

/** Who makes claims. */
export type Claimant = keyof typeof APPS;

/** Age from which a file without an owner is not one in the making, milliseconds. */
const UNOWNED_MS = 10_000;

/** Age from which what a process of another machine has not finished counts as left, milliseconds. */
const FOREIGN_MS = 86_400_000;

/** Tells this process's claims and intents from those of others, living and gone. */
export class UploadOwner {
    readonly #clock: Clock;
    readonly #claimant: Claimant;
    #record: Promise<LockRecord> | undefined;

    constructor(clock: Clock, claimant: Claimant = 'server') {
        this.#clock = clock;
        this.#claimant = claimant;
    }

    /** What tells whose a claim is. */
    record(): Promise<LockRecord> {
        this.#record ??= ownRecord(APPS[this.#claimant], this.#clock);
        return this.#record;
    }

    /** Whether the process that wrote a file is known to have ended, or is this one. */
    async hasEnded(found: LockFile): Promise<boolean> {
        return found.record?.host === hostname() && (await this.hasLeft(found));
    }

    /** Whether a claim is a server's: a tool beside it does not end with the server before. */
    isServers({ record }: LockFile): boolean {
        return record?.app !== APPS.tool;
    }

    /**
     * Whether nobody is working on a claim any more. In doubt somebody is.
     *
     * @param found not held by this process at the moment
     */
    async hasLeft(found: LockFile): Promise<boolean> {
        const age = Math.abs(this.#clock.now() - found.mtimeMs);
        const { record } = found;
        if (record === undefined) {
            return age > UNOWNED_MS;
        }
        const self = await this.record();
        const isSameBoot = record.bootId === self.bootId;
        if (record.host !== hostname()) {
            return age > FOREIGN_MS;
        }
        const isSelf = record.pid === self.pid && record.startTime === self.startTime;
        return !isSameBoot || isSelf || (await ownerIsGone(record));
    }
}
