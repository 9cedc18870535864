import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories, ConfigSource } from '../base/config-types.js';
import { KeyedQueue } from '../base/keyed-queue.js';
import type { ImageServices } from '../images/context.js';
import { EmbeddedEngine } from '../jobs/embedded/embedded-engine.js';
import type { JobServices } from '../jobs/services.js';
import { HttpCopyTargets } from '../remotes/imgapi/http-copy-target.js';
import { jobKinds } from './job-kinds.js';

/** What the jobs of a server are made from. */
export interface JobsOptions {
    readonly config: ConfigSource;
    readonly directories: BaseDirectories;
    readonly images: ImageServices;
    readonly clock: Clock;
    readonly log: Logger;
}

/** Who runs jobs for a server, and what use-cases need of them. */
export interface Jobs {
    readonly services: JobServices;
    /** What is kept in files of this server; there is one whoever runs new jobs (jobs-and-imports 9.1). */
    readonly local: EmbeddedEngine;
}

/** Makes what runs jobs; nothing is read, connected or run yet. */
export function createJobs(options: JobsOptions): Promise<Jobs> {
    const { config, directories, images, clock, log } = options;
    const kinds = jobKinds({ config, images });
    const local = new EmbeddedEngine({ config, directories, kinds, clock, log });
    return Promise.resolve({
        services: {
            config,
            images,
            engine: local,
            local,
            targets: new HttpCopyTargets(images.http),
            turns: new KeyedQueue(),
            closing: local.closing,
        },
        local,
    });
}
