import type Logger from 'bunyan';
import { imageAlreadyActivated } from '../base/errors.js';
import { newUuid } from '../base/uuid.js';
import { isActivated, isDisabled } from '../manifest/state.js';
import type { RawImage } from '../manifest/types.js';
import type { CloneIntent } from '../storage/clone-journal.js';
import type { ImageServices } from './context.js';
import { withCleanup } from './image-task.js';
import { ownContext } from './own-context.js';
import { deleteClones } from './undo-clones.js';

/**
 * Judges what may be rolled back. Once the last clone is activated all are done; the others are
 * disabled until somebody wants them.
 */
function unfinishedOnly({ clones }: CloneIntent): (raw: RawImage) => void {
    const last = clones.at(-1)?.uuid;
    return (raw) => {
        if (isActivated(raw) && (raw.uuid === last || !isDisabled(raw))) {
            throw imageAlreadyActivated(raw.uuid);
        }
    };
}

/**
 * Rolls back the clones that a crash, or a database that went away, cut off half-way; those that were
 * done but for being forgotten stay. What cannot be settled now is left for the next run.
 *
 * @throws the reason of `signal`
 */
export async function rollBackAbandonedClones(
    services: ImageServices,
    log: Logger,
    signal: AbortSignal,
): Promise<void> {
    for (const noted of await services.clones.abandoned()) {
        signal.throwIfAborted();
        const { clones } = noted;
        const uuids = clones.map(({ uuid }) => uuid);
        const context = ownContext({ requestId: newUuid(), log, signal });
        try {
            await withCleanup(services, uuids, (cleanup) =>
                deleteClones(services, context, clones, unfinishedOnly(noted), cleanup),
            );
            await noted.drop();
            log.info({ uuids }, 'interrupted clone settled');
        } catch (err) {
            signal.throwIfAborted();
            log.error({ err, uuids }, 'interrupted clone could not be settled');
        }
    }
}
