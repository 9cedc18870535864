import { setTimeout as delay } from 'node:timers/promises';
import type { StoredImage } from '../database/database.js';
import type { ImageServices } from './context.js';
import { findImage } from './load.js';
import { isPlaceholder, isUsableState } from '../manifest/state.js';

/** Between two looks, milliseconds. */
const POLL_MS = 500;
/** How long nothing may change before nobody is believed to be at work, milliseconds. */
const PATIENCE_MS = 30_000;

/**
 * Waits while somebody else, who is no job of this server, makes an image: as long as its record changes
 * from time to time, or its files come to this process.
 *
 * @returns the image as it is then: usable, or given up; `undefined`: it is gone
 * @throws 503, the reason of the signal
 */
export async function awaitOthers(
    services: ImageServices,
    uuid: string,
    signal: AbortSignal,
): Promise<StoredImage | undefined> {
    let seen: string | undefined;
    let since = services.clock.now();
    for (;;) {
        const found = await findImage(services, uuid);
        if (found === undefined || isUsableState(found.raw.state) || isPlaceholder(found.raw)) {
            return found;
        }
        const now = services.clock.now();
        const text = JSON.stringify(found.raw);
        if (text !== seen || services.transfers.of(uuid) !== undefined) {
            seen = text;
            since = now;
        }
        if (now - since > PATIENCE_MS) {
            return found;
        }
        await delay(POLL_MS, undefined, { signal });
    }
}
