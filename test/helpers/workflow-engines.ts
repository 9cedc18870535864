import { randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import type { JsonObject } from '#lib/manifest/types.js';
import type { NewJob } from '#lib/jobs/job-engine.js';
import { WfapiEngine } from '#lib/jobs/wfapi/wfapi-engine.js';
import { WfapiClient } from '#lib/remotes/wfapi/wfapi.js';
import { WorkflowServiceProcess } from '../doubles/wfapi/workflow-service.js';
import { type Bench, makeBench } from './image-bench.js';
import { makeClient } from './outgoing.js';
import { eventually } from './server-process.js';

export const WORKFLOW_NAMES = ['create-from-vm', 'import-remote-image'] as const;

/** Starts a workflow service that ends with the test. */
export async function startWorkflowService(t: Test): Promise<WorkflowServiceProcess> {
    const service = await WorkflowServiceProcess.launch();
    t.teardown(() => service.end());
    return service;
}

/** An engine on a workflow service, with images in memory. */
export interface EngineBench extends Bench {
    readonly engine: WfapiEngine;
}

/** How to make an {@link EngineBench}. */
export interface EngineOptions {
    readonly forceReplace?: boolean;
    readonly forceMd5Check?: boolean;
    readonly workflows?: readonly string[];
}

/** Makes an engine that looks often whether the service is up; it is closed with the test. */
export async function makeEngine(
    t: Test,
    service: WorkflowServiceProcess,
    options: EngineOptions = {},
): Promise<EngineBench> {
    const bench = await makeBench(t);
    const { client } = makeClient(t, {}, { retryDelaysMs: [] });
    const engine = new WfapiEngine({
        service: new WfapiClient({ http: async () => client, url: `${service.url}/` }),
        settings: { url: service.url, workflows: WORKFLOW_NAMES, ...options },
        images: bench.services,
        clock: bench.services.clock,
        log: bench.context().log,
        everyMs: 50,
    });
    t.teardown(() => engine.close());
    return { ...bench, engine };
}

/** Opens an engine and waits until it can start jobs. */
export async function ready({ engine }: EngineBench): Promise<void> {
    engine.open();
    await eventually('the workflows', 10_000, () => engine.problem === undefined);
}

/** A wish for the import of an image, different from all others unless `params` say so. */
export function importJob(imageUuid: string, params: JsonObject = {}): NewJob {
    const uuid = randomUUID();
    return {
        task: 'import-remote-image',
        target: `/import-remote-${imageUuid}`,
        imageUuid,
        uuid,
        params: {
            image_uuid: imageUuid,
            req_id: randomUUID(),
            source: 'http://source',
            skip_owner_check: false,
            import_id: uuid,
            ...params,
        },
    };
}
