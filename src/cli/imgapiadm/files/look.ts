import type { FileFinding } from '../../../maintenance/files/finding.js';
import type { ReadDepth } from '../../../maintenance/files/image-survey.js';
import { surveyFiles } from '../../../maintenance/files/survey.js';
import type { Invocation } from '../command.js';
import { showProgress, type ProgressFacts } from '../progress.js';
import type { OpenFiles } from './open-files.js';

/** What to look at. */
export interface LookOrder {
    readonly depth: ReadDepth;
    /** Absent: everything. */
    readonly uuids?: readonly string[];
    readonly signal: AbortSignal;
    readonly onFinding: (finding: FileFinding) => void;
}

/** How much was looked at. */
export interface LookedAt {
    /** Images with a record. */
    records: number;
    /** Images, with a record or files. */
    images: number;
}

/** Looks at files and shows how far it is. Told to stop, it resolves to what it has come to. */
export async function look(
    { areas, records }: OpenFiles,
    { parsed, terminal }: Invocation,
    { depth, uuids, signal, onFinding }: LookOrder,
): Promise<LookedAt> {
    const seen: LookedAt = { records: 0, images: 0 };
    const startedAt = performance.now();
    let expected = 0;
    const facts = (): ProgressFacts => ({
        images: seen.images,
        allImages: Math.max(expected, seen.images),
        bytes: 0,
        allBytes: 0,
        elapsedMs: performance.now() - startedAt,
        current: [],
    });
    const hide = parsed.counts.has('quiet') ? undefined : showProgress(terminal, facts);
    try {
        await surveyFiles(
            { areas, records, depth, signal, ...(uuids === undefined ? {} : { uuids }) },
            {
                begun: (images) => {
                    expected = images;
                },
                found: onFinding,
                done: (_uuid, hasRecord) => {
                    seen.images += 1;
                    seen.records += hasRecord ? 1 : 0;
                },
            },
        );
    } catch (error) {
        if (!signal.aborted) {
            throw error;
        }
    } finally {
        hide?.();
    }
    return seen;
}
