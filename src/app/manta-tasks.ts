import { hostname } from 'node:os';
import type Logger from 'bunyan';
import { ArchivePush } from '../archive/push-archive.js';
import type { KeyFiles } from '../auth/key-files.js';
import { KeyMirror } from '../auth/mirror-keys.js';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories, ConfigSource } from '../base/config-types.js';
import { instanceOf } from '../maintenance/instance.js';
import { OwnerKeeper } from '../maintenance/keep-owner.js';
import type { BackgroundTask } from '../maintenance/tasks.js';
import type { Backends } from './backends.js';

/** What the tasks around Manta work on. */
export interface MantaTasksOptions {
    readonly backends: Backends;
    readonly directories: BaseDirectories;
    readonly config: ConfigSource;
    /** Absent: nobody signs, so keys are not needed. */
    readonly keys: KeyFiles | undefined;
    readonly clock: Clock;
    readonly log: Logger;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Name of the task that copies key files. */
export const KEY_MIRROR_TASK = 'key mirror';

/** The background tasks of a server with a Manta area (operations 1.9, 4.7); none without one. */
export class MantaTasks {
    /** Absent: no keys are copied from Manta. */
    readonly mirror: KeyMirror | undefined;
    /** Absent: the area is not marked, because there is none or datacenters share it. */
    readonly owner: OwnerKeeper | undefined;
    readonly #push: ArchivePush | undefined;

    constructor(options: MantaTasksOptions) {
        const { backends, directories, config, keys, clock, log } = options;
        const { objects, images } = backends;
        const { mode, manta } = config.current;
        if (objects === undefined || manta === undefined) {
            return;
        }
        const shared = { objects, rootDir: manta.rootDir, directories, clock, log };
        if (keys !== undefined) {
            this.mirror = new KeyMirror({ ...shared, loadKeys: () => keys.load() });
        }
        if (mode !== 'dc') {
            this.owner = new OwnerKeeper({
                ...shared,
                host: hostname(),
                instance: () => instanceOf(config.current, directories, log),
            });
        }
        if (images.storages.has('manta')) {
            this.#push = new ArchivePush(shared);
        }
    }

    /** Whether the archive of this machine is only on its way to Manta. */
    get pushesArchive(): boolean {
        return this.#push !== undefined;
    }

    /** The rows for the scheduler. */
    table(): readonly BackgroundTask[] {
        const { mirror, owner } = this;
        const push = this.#push;
        return [
            mirror && {
                name: KEY_MIRROR_TASK,
                firstAfterMs: 0,
                everyMs: HOUR,
                retryMs: 5 * MINUTE,
                run: (signal: AbortSignal) => mirror.sync(signal),
            },
            owner?.task(),
            push && {
                name: 'archive push',
                firstAfterMs: 5 * MINUTE,
                everyMs: 5 * MINUTE,
                run: (signal: AbortSignal) => push.pass(signal),
            },
        ].filter((task) => task !== undefined);
    }
}
