import type { Config } from '../base/config-types.js';
import type { ObjectStore } from '../remotes/object-store.js';

/**
 * The Manta area of the configuration; `undefined` without one. The client is loaded only then, nothing
 * is connected yet.
 *
 * @throws Error when URL or key cannot be used, for the start to fail with (backends 8)
 */
export async function createMantaObjects(config: Config): Promise<ObjectStore | undefined> {
    const { manta, maxSockets, serverName } = config;
    if (manta === undefined) {
        return undefined;
    }
    const { readMantaKey } = await import('../remotes/manta/manta-key.js');
    const { MantaObjects } = await import('../remotes/manta/manta-objects.js');
    return new MantaObjects({
        manta,
        key: await readMantaKey(manta),
        maxSockets,
        userAgent: serverName,
    });
}
