import type Logger from 'bunyan';
import { instanceOf } from '../../../maintenance/instance.js';
import { findForeignOwner, foreignOwnerText } from '../../../maintenance/owner-marker.js';
import type { ServerData } from '../offline/server-data.js';

/** An instance that none is: to it every owner is another. */
const NOBODY = '';

/**
 * Says who else is at work in the Manta area, if it is one that only one host may use (operations 4.7): what
 * has no manifest here may have one there. Instances of a datacenter share their area and do not mark it.
 *
 * @returns `undefined` when there is nobody
 * @throws as `ObjectStore` says, the file system's error
 */
export async function foreignAreaText(
    { config, directories, objects, database }: ServerData,
    log: Logger,
): Promise<string | undefined> {
    const { mode, manta } = config;
    if (objects === undefined || manta === undefined || mode === 'dc' || database.writers !== 'holder') {
        return undefined;
    }
    const owner = await findForeignOwner(objects, manta.rootDir, NOBODY);
    // Only then: who only looks must not have to make an identity.
    if (owner === undefined || owner.instance === (await instanceOf(config, directories, log))) {
        return undefined;
    }
    return foreignOwnerText(owner);
}
