import { serverIsShuttingDown } from '../base/errors.js';
import type { Call } from './call.js';

/** Refuses what must not begin once the process is on its way out (operations 1.4). @throws 503 */
export function requireNotDraining(call: Call): void {
    if (call.services.role.isDraining()) {
        throw serverIsShuttingDown();
    }
}
