/**
 * What is here under the uuid of an image that is to be copied:
 * - `none`: nothing; `taken`: nothing yet, but a job is about to make the image in another way;
 * - `left`: an unfinished record that a job has made which is dead now;
 * - `unfinished`: any other record that is `creating` or `unactivated`;
 * - `failedCopy`: a placeholder of a copy that failed; `failed`: any other failed image;
 * - `activated`: the image, `active` or `disabled`;
 * - `foreign`: an image of another owner, in any state.
 */
export type LocalRecord =
    'none' | 'taken' | 'left' | 'unfinished' | 'failedCopy' | 'failed' | 'activated' | 'foreign';

/** How far a request may go (jobs-and-imports 8.2): `plain` is one without `sync`, `watch` one with `do_not_restart`. */
export type CopyMode = 'plain' | 'sync' | 'watch';

/**
 * What to do:
 * - `start` a copy; `restart`: delete what is here first;
 * - `attach` to the running one;
 * - `update` the image here; `current`: leave it as it is;
 * - refuse: `exists` 409, `absent` 404, `failed` 422.
 */
export type CopyAction =
    'start' | 'restart' | 'attach' | 'update' | 'current' | 'exists' | 'absent' | 'failed';

type Row = Readonly<Record<CopyMode, CopyAction>>;

const ATTACH: Row = { plain: 'attach', sync: 'attach', watch: 'attach' };
const REFUSE: Row = { plain: 'exists', sync: 'exists', watch: 'exists' };

/** The rows of jobs-and-imports 8.2 while no copy of the same image for the same account runs. */
const IDLE: Readonly<Record<LocalRecord, Row>> = {
    none: { plain: 'start', sync: 'start', watch: 'absent' },
    taken: { plain: 'exists', sync: 'exists', watch: 'absent' },
    left: { plain: 'exists', sync: 'restart', watch: 'absent' },
    unfinished: REFUSE,
    failedCopy: { plain: 'restart', sync: 'restart', watch: 'failed' },
    failed: { plain: 'exists', sync: 'restart', watch: 'failed' },
    activated: { plain: 'exists', sync: 'update', watch: 'current' },
    foreign: REFUSE,
};

/** Records a running copy is attached to with; with others it ends of its own accord. */
const ATTACHABLE: ReadonlySet<LocalRecord> = new Set(['none', 'taken', 'left', 'unfinished']);

/**
 * Decides about a request to copy an image (jobs-and-imports 8.2, the table of states).
 *
 * @param isRunning whether a copy for the same account from the same datacenter is queued or running
 */
export function copyAction(record: LocalRecord, isRunning: boolean, mode: CopyMode): CopyAction {
    const row = isRunning && ATTACHABLE.has(record) ? ATTACH : IDLE[record];
    return row[mode];
}
