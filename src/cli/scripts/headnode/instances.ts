import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../../base/errors.js';
import { isObject } from '../../../manifest/coerce.js';
import { askServer, isPong } from '../../imgapiadm/ask-ping.js';
import { textOf, type Fields, type HeadnodeTools } from './tools.js';

/** How long to wait for what. */
export interface Patience {
    /** Looks at a job. */
    readonly jobTries: number;
    /** Looks at the server. */
    readonly pingTries: number;
    /** Between two looks, milliseconds. */
    readonly pauseMs: number;
}

/** An hour for a job; two minutes for a server that boots (operations 3.2). */
export const PATIENCE: Patience = { jobTries: 1200, pingTries: 40, pauseMs: 3000 };

const ENDED: ReadonlySet<unknown> = new Set(['succeeded', 'failed', 'canceled']);

/** Looks until something is there, or often enough. */
async function look<T>(
    tries: number,
    pauseMs: number,
    signal: AbortSignal,
    ask: () => Promise<T | undefined>,
): Promise<T | undefined> {
    for (let count = 1; ; count += 1) {
        signal.throwIfAborted();
        const found = await ask();
        if (found !== undefined || count >= tries) {
            return found;
        }
        await delay(pauseMs, undefined, { signal });
    }
}

/** Why a job has failed, as its last step says. */
function failureOf(job: Fields): string {
    const results = Array.isArray(job['chain_results']) ? job['chain_results'].filter(isObject) : [];
    const error = results.findLast((result) => result['error'])?.['error'];
    const message = isObject(error) ? error['message'] : error;
    return typeof message === 'string' && message !== '' ? message : 'it does not say why';
}

/** Waits for the end of a job of VMAPI. @throws Error when it fails or takes too long */
export async function awaitJob(
    tools: HeadnodeTools,
    started: Fields,
    patience: Patience,
    signal: AbortSignal,
): Promise<void> {
    const uuid = textOf(started, 'job_uuid', 'the answer of VMAPI');
    let problem = 'it has not ended';
    const job = await look(patience.jobTries, patience.pauseMs, signal, async () => {
        try {
            const found = await tools.find('vmapi', `/jobs/${uuid}`);
            return ENDED.has(found?.['execution']) ? found : undefined;
        } catch (error) {
            // The job goes on without us.
            problem = messageOf(error);
            return undefined;
        }
    });
    if (job?.['execution'] !== 'succeeded') {
        throw new Error(`job ${uuid} of VMAPI: ${job === undefined ? problem : failureOf(job)}`);
    }
}

/** An instance by its uuid. @throws Error when there is none */
export async function instanceOf(tools: HeadnodeTools, uuid: string): Promise<Fields> {
    const instance = await tools.find('vmapi', `/vms/${uuid}`);
    if (instance === undefined) {
        throw new Error(`there is no instance ${uuid}`);
    }
    return instance;
}

/** Where a server in an instance is reached: its primary network interface, else the first. */
export function addressOf(instance: Fields): string {
    const nics = Array.isArray(instance['nics']) ? instance['nics'].filter(isObject) : [];
    const nic = nics.find((one) => one['primary'] === true) ?? nics[0];
    return textOf(nic ?? {}, 'ip', 'the network interface of the instance');
}

/** Waits until the server in an instance answers. @throws Error when it does not */
export async function awaitServer(address: string, patience: Patience, signal: AbortSignal): Promise<void> {
    const url = `https://${address}`;
    const isThere = await look(patience.pingTries, patience.pauseMs, signal, async () =>
        (await askServer({ url }, '/ping', signal).then(isPong, () => false)) ? true : undefined,
    );
    if (isThere !== true) {
        throw new Error(`${url}/ping does not answer; see /var/svc/setup.log in the zone`);
    }
}
