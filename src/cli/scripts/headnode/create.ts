import { UUID_RE } from '../../../base/uuid.js';
import { isObject } from '../../../manifest/coerce.js';
import { readyImage } from './images.js';
import { addressOf, awaitJob, awaitServer, instanceOf, type Patience } from './instances.js';
import { textOf, type Fields, type HeadnodeTools } from './tools.js';

/** What runs at each boot of the new zone. */
const USER_SCRIPT = '#!/usr/bin/bash\nexec /opt/smartdc/boot/standalone/user-script\n';
/** Tag of networks that the outside reaches. */
const EXTERNAL = 'external';

/** What is to be made. */
export interface CreateOrder {
    /** UUID or login. */
    readonly owner: string;
    /** UUID or `latest`. */
    readonly image: string;
    readonly channel: string | undefined;
    /** UUID or name. */
    readonly package: string;
    readonly alias: string;
    readonly metadata: Readonly<Record<string, string>>;
    readonly tags: Readonly<Record<string, string>>;
    readonly patience: Patience;
    readonly signal: AbortSignal;
    readonly say: (line: string) => void;
}

async function findOwner(tools: HeadnodeTools, owner: string): Promise<string> {
    const found = await tools.json('sdc-useradm', ['get', owner]);
    return textOf(isObject(found) ? found : {}, 'uuid', `account "${owner}"`);
}

async function findPackage(tools: HeadnodeTools, name: string): Promise<string> {
    if (UUID_RE.test(name)) {
        const found = await tools.find('papi', `/packages/${name}`);
        if (found === undefined) {
            throw new Error(`there is no package ${name}`);
        }
        return name;
    }
    const [found, ...more] = await tools.list('papi', '/packages', { name, active: 'true' });
    if (found === undefined || more.length > 0) {
        throw new Error(
            `there is ${found === undefined ? 'no' : 'more than one'} active package named "${name}"`,
        );
    }
    return textOf(found, 'uuid', `package "${name}"`);
}

function isExternalPool(pool: Fields): boolean {
    const tags = pool['nic_tags_present'];
    return pool['nic_tag'] === EXTERNAL || (Array.isArray(tags) && tags.includes(EXTERNAL));
}

/** A network pool that the outside reaches and the owner may use, else such a network that is no fabric. */
async function findNetwork(tools: HeadnodeTools, owner: string): Promise<string> {
    const query = { provisionable_by: owner };
    const pools = await tools.list('napi', '/network_pools', query);
    const pool = pools.find(isExternalPool);
    const networks = pool === undefined ? await tools.list('napi', '/networks', query) : [];
    const network = pool ?? networks.find((one) => one['nic_tag'] === EXTERNAL && one['fabric'] !== true);
    if (network === undefined) {
        throw new Error(`account ${owner} may use no network tagged "${EXTERNAL}"`);
    }
    return textOf(network, 'uuid', 'the network');
}

/** What an operator has to do for Manta, which only knows keys that somebody has added. */
function mantaAdvice(instance: Fields, user: string): readonly string[] {
    const metadata = isObject(instance['customer_metadata']) ? instance['customer_metadata'] : {};
    const key = metadata['instPubKey'];
    return typeof key === 'string'
        ? [`Add this key to account "${user}", else the server has no access to Manta:`, '', `    ${key}`, '']
        : [`Add the key that "mdata-get instPubKey" tells in the zone to account "${user}".`];
}

/** Makes an instance with a standalone server in it (operations 3.2). @throws Error with what is in the way */
export async function createInstance(tools: HeadnodeTools, order: CreateOrder): Promise<void> {
    const { alias, metadata, tags, patience, signal, say } = order;
    const owner = await findOwner(tools, order.owner);
    const billing = await findPackage(tools, order.package);
    const network = await findNetwork(tools, owner);
    const { image, channel } = order;
    const imageUuid = await readyImage(tools, { image, channel, owner, say });
    signal.throwIfAborted();
    const started = await tools.post(
        'vmapi',
        '/vms',
        {},
        {
            brand: 'joyent',
            alias,
            owner_uuid: owner,
            image_uuid: imageUuid,
            billing_id: billing,
            networks: [{ uuid: network, primary: true }],
            delegate_dataset: true,
            tags,
            customer_metadata: { ...metadata, 'user-script': USER_SCRIPT },
        },
    );
    const uuid = textOf(started, 'vm_uuid', 'the answer of VMAPI');
    say(`Creating instance ${uuid} (${alias}) with image ${imageUuid}`);
    await awaitJob(tools, started, patience, signal);
    const address = addressOf(await instanceOf(tools, uuid));
    say(`Waiting for https://${address}/ping`);
    await awaitServer(address, patience, signal);
    say(`Instance ${uuid} (${alias}) is there: https://${address}`);
    const user = metadata['mantaUser'];
    if (user !== undefined && user !== '') {
        // It has told its key since.
        mantaAdvice(await instanceOf(tools, uuid), user).forEach(say);
    }
}
