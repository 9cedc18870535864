import { stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { uuidPrefix } from '../../../base/directories.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import type { ServerData } from '../offline/server-data.js';

type Place = Pick<ServerData, 'directories' | 'config' | 'objects'>;

/**
 * Whether an image's manifest is in the archive, here or where it is moved to.
 *
 * @throws when that cannot be looked at
 */
export async function isArchived(uuid: string, { directories, config, objects }: Place): Promise<boolean> {
    const name = join(uuidPrefix(uuid), `${uuid}.json`);
    if ((await unlessMissing(stat(join(directories.archive, name)))) !== undefined) {
        return true;
    }
    const remote = posix.join(config.manta?.rootDir ?? '', 'archive', name);
    return objects !== undefined && (await objects.stat(remote)) !== undefined;
}
