import type { FileFinding, FindingKind } from '../../../maintenance/files/finding.js';
import type { DirectoryUse } from './space.js';

/** Files that are not what a manifest names, in the words of reports (operations 2.3). */
const STRAYS = ['temporary', 'orphan', 'duplicate', 'foreign'] as const;

export type Stray = (typeof STRAYS)[number];

const STRAY_KINDS: Readonly<Partial<Record<FindingKind, Stray>>> = {
    recoverable: 'temporary',
    abandoned: 'temporary',
    leftover: 'temporary',
    orphan: 'orphan',
    'orphan-file': 'orphan',
    duplicate: 'duplicate',
    foreign: 'foreign',
};

/** Adds up what a survey finds. */
export class StrayFiles {
    readonly counts: ReadonlyMap<Stray, DirectoryUse> = new Map(
        STRAYS.map((stray) => [stray, { files: 0, bytes: 0 }]),
    );
    /** Files that a manifest names and that are not as it says, or nowhere. */
    damaged = 0;

    add({ kind, found }: FileFinding): void {
        const stray = STRAY_KINDS[kind];
        const count = stray && this.counts.get(stray);
        if (count !== undefined && found?.type === 'file') {
            count.files += 1;
            count.bytes += found.size;
        }
        if (kind === 'missing' || kind === 'corrupt') {
            this.damaged += 1;
        }
    }
}
