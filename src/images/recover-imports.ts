import type Logger from 'bunyan';
import { forEachParallel } from '../base/parallel.js';
import { newUuid } from '../base/uuid.js';
import { clearWay, isOfPull } from './clear-way.js';
import type { ImageServices } from './context.js';
import { ownContext } from './own-context.js';

/** Types of the images that pulls make. */
const TYPES = ['docker', 'lxd'] as const;
/** Most records looked at in one run; the next run finds the others. */
const MAX_PER_RUN = 1000;
/** Records that are watched at the same time: another process may be at work on them. */
const MAX_WATCHED = 10;

/**
 * Takes away the unactivated records that pulls have left which were killed, so that nobody has to ask for the
 * same image again for that. What cannot be settled now is left for the next run.
 *
 * @throws 503 when the database cannot be searched; the reason of `signal`
 */
export async function removeAbandonedImports(
    services: ImageServices,
    log: Logger,
    signal: AbortSignal,
): Promise<void> {
    const found = await services.database.search({
        anyOf: TYPES.map((type) => ({ type, state: 'unactivated' as const })),
        order: 'asc',
        limit: MAX_PER_RUN,
        signal,
    });
    const uuids = found.filter(({ raw }) => isOfPull(raw)).map(({ raw }) => raw.uuid);
    const context = ownContext({ requestId: newUuid(), log, signal });
    await forEachParallel(uuids, MAX_WATCHED, async (uuid) => {
        signal.throwIfAborted();
        try {
            // In turn with the imports of this process: what one of them has just made is not left.
            await services.importQueue.runUnlessAborted(uuid, signal, async () => {
                await clearWay(services, context, uuid);
            });
        } catch (err) {
            signal.throwIfAborted();
            log.warn({ err, uuid }, 'the unactivated record of a pull could not be settled');
        }
    });
}
