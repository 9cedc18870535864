import { UUID_RE } from '../../../base/uuid.js';
import { isObject } from '../../../manifest/coerce.js';
import { readyImage } from './images.js';
import { addressOf, awaitJob, awaitServer, instanceOf, type Patience } from './instances.js';
import { textOf, type Fields, type HeadnodeTools } from './tools.js';

/** The account of the datacenter itself. */
const ADMIN_LOGIN = 'admin';

/** What is to be done. */
export interface ReprovisionOrder {
    /** UUID or alias. */
    readonly instance: string;
    /** UUID or `latest`. */
    readonly image: string;
    readonly channel: string | undefined;
    /** Also when it has the image already. */
    readonly evenIfSame: boolean;
    readonly patience: Patience;
    readonly signal: AbortSignal;
    readonly say: (line: string) => void;
    /** Whether the operator agrees. */
    readonly agree: (question: string) => Promise<boolean>;
}

async function findInstance(tools: HeadnodeTools, name: string): Promise<Fields> {
    if (UUID_RE.test(name)) {
        return instanceOf(tools, name);
    }
    const [found, ...more] = await tools.list('vmapi', '/vms', { alias: name, state: 'active' });
    if (found === undefined || more.length > 0) {
        throw new Error(`there is ${found === undefined ? 'no' : 'more than one'} instance named "${name}"`);
    }
    return found;
}

function hasDelegatedDataset({ datasets, delegate_dataset: delegated }: Fields): boolean {
    return delegated === true || (Array.isArray(datasets) && datasets.length > 0);
}

async function requireStandalone(tools: HeadnodeTools, instance: Fields): Promise<string> {
    const owner = textOf(instance, 'owner_uuid', 'the instance');
    const account = await tools.json('sdc-useradm', ['get', owner]);
    if (isObject(account) && account['login'] === ADMIN_LOGIN) {
        throw new Error('the instance belongs to "admin": update the imgapi of the datacenter with sdcadm');
    }
    if (!hasDelegatedDataset(instance)) {
        throw new Error('the instance has no delegated dataset: all its data would be lost');
    }
    return owner;
}

function secondsSince(begin: number): string {
    return `${((performance.now() - begin) / 1000).toFixed(0)} s`;
}

/**
 * Gives an instance of a standalone server another image; its data are on a dataset that stays (operations 3.2).
 *
 * @returns whether the instance has the image now
 * @throws Error with what is in the way
 */
export async function reprovisionInstance(tools: HeadnodeTools, order: ReprovisionOrder): Promise<boolean> {
    const { image, channel, patience, signal, say } = order;
    const instance = await findInstance(tools, order.instance);
    const uuid = textOf(instance, 'uuid', 'the instance');
    const owner = await requireStandalone(tools, instance);
    const imageUuid = await readyImage(tools, { image, channel, owner, say });
    if (instance['image_uuid'] === imageUuid && !order.evenIfSame) {
        say(`Instance ${uuid} has image ${imageUuid} already`);
        return true;
    }
    const alias = typeof instance['alias'] === 'string' ? ` (${instance['alias']})` : '';
    if (!(await order.agree(`Reprovision instance ${uuid}${alias} with image ${imageUuid}?`))) {
        return false;
    }
    const begin = performance.now();
    const path = `/vms/${uuid}`;
    const started = await tools.post('vmapi', path, { action: 'reprovision' }, { image_uuid: imageUuid });
    say(`Reprovisioning instance ${uuid}${alias}`);
    await awaitJob(tools, started, patience, signal);
    const provisioned = secondsSince(begin);
    const address = addressOf(await instanceOf(tools, uuid));
    await awaitServer(address, patience, signal);
    say(`https://${address} answers: reprovisioned in ${provisioned}, back after ${secondsSince(begin)}`);
    return true;
}
