import type { HttpClient } from '../../base/http-client.js';
import { OutgoingError } from '../../base/http-errors.js';
import { isObject } from '../../manifest/coerce.js';

/** Instances that are looked at. */
const MAX_INSTANCES = 100;
/** For one answer, milliseconds. */
const ANSWER_LIMIT_MS = 30_000;

/** How to find a load balancer. */
export interface LoadBalancerWish {
    readonly http: HttpClient;
    /** Of VMAPI. */
    readonly url: string;
    /** Who it belongs to. */
    readonly owner: string;
    readonly signal: AbortSignal;
}

/** The address of an instance in the network that others reach it by. */
function externalAddressOf(instance: unknown): string | undefined {
    const nics = isObject(instance) && Array.isArray(instance['nics']) ? instance['nics'] : [];
    const external = nics.find((nic: unknown) => isObject(nic) && nic['nic_tag'] === 'external') as unknown;
    const address = isObject(external) ? external['ip'] : undefined;
    return typeof address === 'string' && address !== '' ? address : undefined;
}

async function runningLoadBalancers({ http, url, owner, signal }: LoadBalancerWish): Promise<unknown> {
    const query = {
        'tag.manta_role': 'loadbalancer',
        owner_uuid: owner,
        state: 'running',
        limit: String(MAX_INSTANCES),
    };
    try {
        const { body } = await http.json({
            url: `${url.replace(/\/+$/, '')}/vms`,
            peer: 'service',
            query,
            signal,
            timeouts: { totalMs: ANSWER_LIMIT_MS },
        });
        return body;
    } catch (error) {
        signal.throwIfAborted();
        const reason = error instanceof OutgoingError ? error.message : String(error);
        throw new Error(`VMAPI is unavailable: ${reason}`, { cause: error });
    }
}

/**
 * The outside address of the first running load balancer of a Manta in this datacenter (operations 3.1).
 *
 * @throws Error when there is none or VMAPI cannot be asked
 */
export async function firstLoadBalancer(wish: LoadBalancerWish): Promise<string> {
    const instances = await runningLoadBalancers(wish);
    const [first] = (Array.isArray(instances) ? instances : [])
        .map(externalAddressOf)
        .filter((address) => address !== undefined);
    if (first === undefined) {
        throw new Error('no running load balancer of Manta has a network interface tagged "external"');
    }
    return first;
}
