import type { Config } from '../base/config-types.js';
import type { StorageType } from '../base/constants.js';

/**
 * Picks the storage for a new file (backends 9). A storage that is not configured becomes `local`;
 * what the administrator owns is kept off a Manta across the WAN unless it was asked for by name.
 *
 * @param preferred the `storage` parameter, checked already
 */
export function chooseStorage(
    config: Pick<Config, 'storageTypes' | 'manta' | 'adminUuid'>,
    owner: string,
    preferred: StorageType | undefined,
): StorageType {
    const wanted = preferred ?? 'manta';
    if (wanted === 'local' || !config.storageTypes.includes('manta')) {
        return 'local';
    }
    const distant = config.manta?.remote === true && owner === config.adminUuid;
    return distant && preferred !== 'manta' ? 'local' : 'manta';
}
