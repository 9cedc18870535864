import type Logger from 'bunyan';
import type { ExportArea } from './export-area.js';
import { settleExport } from './settle-export.js';

/**
 * Settles the exports that a crash, or a store that went away, cut off between manifest and file. What
 * cannot be settled now is left for the next run.
 *
 * @throws the reason of `signal`
 */
export async function settleAbandonedExports(
    area: ExportArea,
    log: Logger,
    signal: AbortSignal,
): Promise<void> {
    for (const noted of await area.journal.abandoned()) {
        signal.throwIfAborted();
        const { uuid, manifestPath } = noted.intent;
        try {
            const outcome = await settleExport(area, noted.intent);
            await noted.drop();
            log.info({ uuid, manifestPath, outcome }, 'interrupted export settled');
        } catch (err) {
            log.error({ err, uuid, manifestPath }, 'interrupted export could not be settled');
        }
    }
}
