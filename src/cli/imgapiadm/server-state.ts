import { OutgoingError } from '../../base/http-errors.js';
import type { RemoteState } from '../../remotes/imgapi/answers.js';
import type { ImageServerClient } from '../../remotes/imgapi/image-server-client.js';
import { failureText } from './failure-text.js';
import type { Terminal } from './terminal.js';

/** Answers of a server, or a proxy before it, that shows images but not its state. */
const KEPT: ReadonlySet<number | undefined> = new Set([403, 404, 405]);

/** How many records a server leaves out because it cannot use them; `undefined`: it does not say. */
export function skippedRecords(state: RemoteState | undefined): number | undefined {
    const skipped = state?.checks.get('records')?.['skipped'];
    return typeof skipped === 'number' ? skipped : undefined;
}

/**
 * What a running server tells of itself; `undefined`, with a note: it does not. An old server tells nothing but
 * its records, which may be too many.
 *
 * @throws Error when it does not answer, or not this caller
 */
export async function toldState(
    client: ImageServerClient,
    terminal: Terminal,
    signal: AbortSignal,
): Promise<RemoteState | undefined> {
    try {
        const state = await client.state(signal);
        return state.version === '' ? undefined : state;
    } catch (error) {
        if (error instanceof OutgoingError && error.status === 401) {
            const how = 'give --user and --identity of somebody the server knows';
            throw new Error(`${failureText(error)}: ${how}`, { cause: error });
        }
        const isKept =
            error instanceof OutgoingError &&
            (error.kind === 'too-large' || error.kind === 'malformed' || KEPT.has(error.status));
        if (!isKept) {
            throw error;
        }
        terminal.note(`the server does not show its state: ${failureText(error)}`);
        return undefined;
    }
}
