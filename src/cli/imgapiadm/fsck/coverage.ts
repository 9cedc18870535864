import type { RemoteState } from '../../../remotes/imgapi/answers.js';
import { skippedRecords } from '../server-state.js';
import { STORED_FILES } from './asking-checks.js';
import { CHANNELS } from './channel-check.js';
import type { Check } from './check.js';
import { ENTRY_CHECKS } from './entry-checks.js';
import { ORIGIN } from './image-checks.js';
import { OWNER } from './record-checks.js';

/** Names of checks that were not made, or not as on the data themselves. */
export interface Coverage {
    readonly leftOut: readonly string[];
    readonly partly: readonly string[];
}

/** What checks could tell of a server through its API; `undefined`: everything that they are for. */
function shownBy(check: Check, state: RemoteState | undefined, simple: boolean): Check['shown'] {
    switch (check) {
        case CHANNELS:
            return state === undefined ? 'nothing' : state.channels.length === 0 ? undefined : check.shown;
        case OWNER:
            // In a datacenter the user database is needed; on a private server any owner is right.
            return state?.mode === 'public' || state?.mode === 'private' ? undefined : 'nothing';
        case ENTRY_CHECKS.unparsable:
            return state?.checks.has('records') === true ? check.shown : 'nothing';
        case ORIGIN:
            return skippedRecords(state) === 0 ? undefined : check.shown;
        case STORED_FILES:
            return simple ? check.shown : undefined;
        default:
            return check.shown;
    }
}

/** Which checks are left out through the API of a server, and which say less there (operations 2.2). */
export function coverageOf(
    checks: readonly Check[],
    state: RemoteState | undefined,
    simple: boolean,
): Coverage {
    const shown = checks.map((check) => [check.name, shownBy(check, state, simple)] as const);
    return {
        leftOut: shown.filter(([, what]) => what === 'nothing').map(([name]) => name),
        partly: shown.filter(([, what]) => typeof what === 'object').map(([name]) => name),
    };
}
