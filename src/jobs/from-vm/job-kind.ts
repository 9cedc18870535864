import { internalError, resourceNotFound } from '../../base/errors.js';
import type { ImageServices } from '../../images/context.js';
import { bytesOfFiles } from '../../manifest/document-files.js';
import type { JsonObject } from '../../manifest/types.js';
import type { ComputeNodeDirectory } from '../../remotes/compute-nodes.js';
import type { InstanceDirectory } from '../../remotes/instances.js';
import { JobInterrupted, type JobKind, type JobRun, type JobStep } from '../job-kind.js';
import { endOfTask } from './poll-task.js';
import { imageErrorOf, nodeTaskError } from './image-error.js';
import { failOnCancel, failOnError } from './fail-image.js';

/** Keys of what a job remembers from step to step. */
const MEMORY = { server: 'server_uuid', sending: 'sending', task: 'task_id', error: 'error' } as const;

/** A parameter every job has. */
function param(run: JobRun, name: string): string {
    const value = run.params[name];
    if (typeof value !== 'string') {
        throw internalError(`the job has no ${name}`);
    }
    return value;
}

/** What an earlier step has found out. */
function remembered(run: JobRun, name: string): string {
    const value = run.memory[name];
    if (typeof value !== 'string') {
        throw internalError(`the job knows no ${name}`);
    }
    return value;
}

function callOf(run: JobRun): { readonly requestId: string; readonly signal: AbortSignal } {
    return { requestId: param(run, 'req_id'), signal: run.signal };
}

/** @throws 500 when the configuration has lost the service since the job was accepted */
function instancesOf({ instances }: ImageServices): InstanceDirectory {
    if (instances === undefined) {
        throw internalError('VMAPI is not configured');
    }
    return instances;
}

/** @throws 500 as {@link instancesOf} */
function nodesOf({ computeNodes }: ImageServices): ComputeNodeDirectory {
    if (computeNodes === undefined) {
        throw internalError('CNAPI is not configured');
    }
    return computeNodes;
}

async function findServer(services: ImageServices, run: JobRun): Promise<string> {
    const instance = await instancesOf(services).instance({ uuid: param(run, 'vm_uuid'), ...callOf(run) });
    if (instance === undefined) {
        throw resourceNotFound('VM not found');
    }
    if (instance.serverUuid === undefined) {
        throw internalError('the VM is on no server');
    }
    await run.remember({ [MEMORY.server]: instance.serverUuid });
    await run.show({ server_uuid: instance.serverUuid });
    return 'Got VM server';
}

/** What CNAPI is asked for, its keys in the order of jobs-and-imports 1.7. */
function payloadOf(services: ImageServices, run: JobRun): JsonObject {
    const { params } = run;
    const others = ['incremental', 'manifest', 'prepare_image_script', 'max_origin_depth'];
    const given = others.flatMap((key) => {
        const value = params[key];
        return value === undefined ? [] : [[key, value] as const];
    });
    return {
        jobid: run.uuid,
        compression: param(run, 'compression'),
        imgapi_url: services.config.current.jobs.imgapiUrl ?? '',
        ...Object.fromEntries(given),
    };
}

/** Gives CNAPI the task once: whether a call that was cut off has arrived, nobody can tell (jobs-and-imports 9.4). */
async function queueTask(services: ImageServices, run: JobRun): Promise<string> {
    const done = 'Task queued to CNAPI';
    if (run.memory[MEMORY.task] !== undefined) {
        return done;
    }
    if (run.memory[MEMORY.sending] === true) {
        throw new JobInterrupted();
    }
    const where = { serverUuid: remembered(run, MEMORY.server), vmUuid: param(run, 'vm_uuid') };
    await run.remember({ [MEMORY.sending]: true });
    const id = await nodesOf(services).createImage(where, payloadOf(services, run), callOf(run));
    await run.remember({ [MEMORY.task]: id });
    await run.show({ taskId: id });
    return done;
}

/** Tells readers of the progress that the image is there; the node has brought it by itself. */
async function tellOfImage(services: ImageServices, run: JobRun, imageUuid: string): Promise<void> {
    try {
        const { raw } = await services.database.get(imageUuid);
        run.progress.endImage(bytesOfFiles(raw) ?? 0);
        run.finished({ image_uuid: imageUuid, state: raw.state });
    } catch (err) {
        run.log.warn({ err }, 'the image a compute node has made could not be looked at');
    }
}

async function pollTask(services: ImageServices, run: JobRun): Promise<string> {
    const imageUuid = param(run, 'image_uuid');
    run.progress.plan(1, -1);
    run.progress.beginImage(imageUuid, -1);
    const id = remembered(run, MEMORY.task);
    const times = { now: () => services.clock.now() };
    const task = await endOfTask(nodesOf(services), id, callOf(run), times);
    if (task.status === 'failure') {
        throw nodeTaskError(task.history);
    }
    await tellOfImage(services, run, imageUuid);
    return 'Job succeeded!';
}

/** A step that leaves behind what its failure means for the image. */
function step(
    services: ImageServices,
    name: string,
    timeout: number,
    work: (services: ImageServices, run: JobRun) => Promise<string>,
): JobStep {
    return {
        name,
        timeout,
        run: async (run) => {
            try {
                return await work(services, run);
            } catch (error) {
                if (!run.signal.aborted && error instanceof Error) {
                    const imageError: JsonObject = { ...imageErrorOf(error) };
                    await run.remember({ [MEMORY.error]: imageError });
                    await run.show({ error: imageError });
                }
                throw error;
            }
        },
    };
}

/** The job that has an image made of an instance by its compute node (jobs-and-imports 1.7). */
export function createFromVmKind(services: ImageServices): JobKind {
    return {
        task: 'create-from-vm',
        name: 'create-from-vm-8.0.0',
        version: '8.0.0',
        timeout: 3630,
        busyTarget: 'wait',
        chain: [
            step(services, 'vmapi.get_vm_server', 10, findServer),
            step(services, 'cnapi.queue_create_from_vm_task', 10, queueTask),
            step(services, 'cnapi.poll_task', 3600, pollTask),
        ],
        onError: failOnError(services, MEMORY.error),
        onCancel: failOnCancel(services),
    };
}
