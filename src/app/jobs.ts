import type Logger from 'bunyan';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories, ConfigSource } from '../base/config-types.js';
import { KeyedQueue } from '../base/keyed-queue.js';
import type { ImageServices } from '../images/context.js';
import { EmbeddedEngine } from '../jobs/embedded/embedded-engine.js';
import type { JobServices } from '../jobs/services.js';
import type { WfapiEngine } from '../jobs/wfapi/wfapi-engine.js';
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
    /** Has a workflow service run new jobs; absent: none is configured, or not to be used. */
    readonly workflows?: WfapiEngine;
}

async function workflowEngine(options: JobsOptions): Promise<WfapiEngine | undefined> {
    const { config, images } = options;
    const { jobs, wfapi } = config.current;
    const isWanted = jobs.engine === 'wfapi' || (jobs.engine === 'auto' && wfapi?.url !== '');
    if (wfapi === undefined || !isWanted) {
        return undefined;
    }
    const [{ WfapiEngine }, { WfapiClient }] = await Promise.all([
        import('../jobs/wfapi/wfapi-engine.js'),
        import('../remotes/wfapi/wfapi.js'),
    ]);
    const service = new WfapiClient({ http: images.http, url: wfapi.url });
    return new WfapiEngine({ ...options, service, settings: wfapi });
}

/** Makes what runs jobs; nothing is read, connected or run yet. */
export async function createJobs(options: JobsOptions): Promise<Jobs> {
    const { config, directories, images, clock, log } = options;
    const kinds = jobKinds({ config, images });
    const local = new EmbeddedEngine({ config, directories, kinds, clock, log });
    const workflows = await workflowEngine(options);
    return {
        services: {
            config,
            images,
            engine: workflows ?? local,
            local,
            targets: new HttpCopyTargets(images.http),
            turns: new KeyedQueue(),
        },
        local,
        ...(workflows === undefined ? {} : { workflows }),
    };
}
