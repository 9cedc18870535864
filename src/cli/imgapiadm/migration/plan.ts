import type { RemoteImage } from '../../../remotes/imgapi/answers.js';

/**
 * What there is to do for an image:
 * - `move`: a file is elsewhere;
 * - `check-icon`: its files are in place, but it has an icon, and only the server knows where that is;
 * - `nothing`: everything is in place;
 * - `empty`: there is nothing that could be anywhere.
 */
export type Need = 'move' | 'check-icon' | 'nothing' | 'empty';

/** What there is to do for an image, and how much. */
export interface Plan {
    readonly need: Need;
    /** Of files that are elsewhere. */
    readonly bytes: number;
}

/** What it takes to have everything of an image in a storage. */
export function planFor({ files, hasIcon }: RemoteImage, target: string): Plan {
    const elsewhere = files.filter(({ stor }) => stor !== target);
    if (elsewhere.length > 0) {
        return { need: 'move', bytes: elsewhere.reduce((sum, { size }) => sum + size, 0) };
    }
    const settled = files.length === 0 ? 'empty' : 'nothing';
    return { need: hasIcon ? 'check-icon' : settled, bytes: 0 };
}

/** Whether the server has to be asked to do something. */
export function needsWork({ need }: Plan): boolean {
    return need === 'move' || need === 'check-icon';
}
