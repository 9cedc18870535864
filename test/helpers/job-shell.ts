import type { Config } from '#lib/base/config-types.js';
import type { JobServices } from '#lib/jobs/services.js';
import { DocumentRenderer } from '#lib/images/render.js';
import { toRoute, type Endpoint } from '#lib/http/endpoint.js';
import { createRoutes } from '#lib/http/routes.js';
import type { ApiServices } from '#lib/http/services.js';
import { StreamSlots } from '#lib/http/stream-slots.js';
import { KeyedQueue } from '#lib/base/keyed-queue.js';
import type { Test } from 'tap';
import { JobEngineDouble } from '../doubles/job-engine-double.js';
import { makeBench, type Bench } from './image-bench.js';
import { startShell, type Shell } from './shell-server.js';

/** How to start a {@link JobShell}. */
export interface JobShellOptions {
    /** Base URL of a workflow service that runs the jobs; absent: they are run here. */
    readonly workflowApi?: string;
    readonly config?: Partial<Config>;
    /** Beside those of the product. */
    readonly endpoints?: readonly Endpoint[];
}

/** The real endpoints over the wire, on jobs that a test makes up. */
export interface JobShell extends Shell {
    readonly bench: Bench;
    readonly local: JobEngineDouble;
    /** The same as `local` without a workflow service. */
    readonly engine: JobEngineDouble;
    /** What the process is, for a test to change. */
    readonly role: { writer: boolean; draining: boolean };
}

/** Settings of jobs that a test does not care about. */
export const JOBS_CONFIG = { maxStreams: 200 } as Config['jobs'];

export async function startJobShell(t: Test, options: JobShellOptions = {}): Promise<JobShell> {
    const bench = await makeBench(t, {
        config: {
            authType: 'none',
            jobs: JOBS_CONFIG,
            trustedProxies: ['127.0.0.1'],
            address: '192.0.2.1',
            port: 8080,
            ...options.config,
        },
    });
    const local = new JobEngineDouble();
    const { workflowApi } = options;
    const engine = workflowApi === undefined ? local : new JobEngineDouble('wfapi', workflowApi);
    const role = { writer: true, draining: false };
    const { config } = bench.services;
    const jobs: Partial<JobServices> = {
        config,
        images: bench.services,
        engine,
        local,
        turns: new KeyedQueue(),
    };
    const services: Partial<ApiServices> = {
        images: bench.services,
        jobs: jobs as JobServices,
        renderer: new DocumentRenderer(),
        config,
        authenticator: undefined,
        role: { isWriter: () => role.writer, isHolder: () => local.keeps, isDraining: () => role.draining },
        streams: new StreamSlots(config),
    };
    const extra = (options.endpoints ?? []).map((endpoint) => toRoute(endpoint, services as ApiServices));
    const shell = await startShell(t, [...createRoutes(services as ApiServices), ...extra]);
    t.teardown(() => shell.client.close());
    return Object.assign(shell, { bench, local, engine, role });
}
