import type { RemoteState } from '../../../remotes/imgapi/answers.js';
import { showCount } from '../progress.js';
import type { RetryOptions } from '../retries.js';
import { connectToServer, type ServerAccess } from '../server-access.js';
import { everything, listedImages } from '../server-images.js';
import { skippedRecords, toldState } from '../server-state.js';
import type { Terminal } from '../terminal.js';
import { countedDocument } from './counted-image.js';
import { ImageStatistics, type Dimension } from './image-statistics.js';
import type { LeftOut, Statistics } from './report.js';
import type { FreeSpace } from './space.js';

/** What to count of which server. */
export interface ServerCount {
    readonly access: ServerAccess;
    readonly dimensions: readonly Dimension[];
    /** `undefined`: all. */
    readonly channel: string | undefined;
    readonly quiet: boolean;
}

const SPACE = ['freeBytes', 'totalBytes', 'freeInodes', 'totalInodes'] as const;

/** What is free in the local storage, as its check has seen it at most ten seconds ago. */
function spaceOf(state: RemoteState | undefined): FreeSpace | undefined {
    const facts = state?.checks.get('stor.local');
    const numbers = SPACE.map((key) => [key, facts?.[key]] as const);
    return numbers.every(([, value]) => typeof value === 'number')
        ? (Object.fromEntries(numbers) as unknown as FreeSpace)
        : undefined;
}

/** Records the server leaves out; `undefined`: it does not say. In Moray, nobody counts them. */
function unreadableOf(state: RemoteState | undefined): number | undefined {
    return state === undefined || state.checks.has('records') ? skippedRecords(state) : 0;
}

/** Counts what the API of a running server tells of its images (operations 2.2, 2.3). @throws OutgoingError */
export async function serverStatistics(
    { access, dimensions, channel, quiet }: ServerCount,
    terminal: Terminal,
    retries: RetryOptions,
): Promise<Statistics> {
    const { signal } = retries;
    const server = await connectToServer(access, 1);
    try {
        const state = await toldState(server.client, terminal, signal);
        const images = new ImageStatistics(dimensions);
        let seen = 0;
        const stop = showCount(terminal, quiet, { count: () => seen, all: () => state?.images });
        try {
            for await (const document of listedImages(server.client, everything(), retries)) {
                seen += 1;
                images.take(countedDocument(document), channel);
            }
        } catch (error) {
            if (!signal.aborted) {
                throw error;
            }
        } finally {
            stop();
        }
        const [space, unreadable] = [spaceOf(state), unreadableOf(state)];
        const leftOut: readonly LeftOut[] = [
            'icons',
            'strays',
            'directories',
            ...(unreadable === undefined ? ['unreadable' as const] : []),
            ...(space === undefined ? ['space' as const] : []),
        ];
        return {
            images,
            dimensions,
            ...(unreadable === undefined ? {} : { unreadable }),
            ...(space === undefined ? {} : { space }),
            leftOut,
            interrupted: signal.aborted,
        };
    } finally {
        await server.close();
    }
}
