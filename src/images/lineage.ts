import { isActivated, isDisabled } from '../manifest/state.js';
import type { ImageState, RawImage } from '../manifest/types.js';

/** Longest list of dependents, clones or instances (README table D). */
export const MAX_LINEAGE_ENTRIES = 1000;

/** Most records that are looked at for one list. */
export const MAX_LINEAGE_RECORDS = 10_000;

/** A list that may have been cut. */
export interface CutList<T> {
    readonly entries: readonly T[];
    readonly isCut: boolean;
}

/** What lists of related images tell of each (jobs-and-imports 8.7). */
export interface ImageFacts {
    readonly name: string;
    readonly version: string;
    readonly owner: string;
    readonly type: string;
    readonly os: string;
    readonly state: ImageState;
    readonly disabled: boolean;
}

/** The {@link ImageFacts} of an image, in the order they are sent. */
export function factsOf(raw: RawImage): ImageFacts {
    const { name, version, owner, type, os, state } = raw;
    return { name, version, owner, type, os, state, disabled: isDisabled(raw) };
}

/** Whether an image is active: activated and not disabled. */
export function isActive(raw: RawImage): boolean {
    return isActivated(raw) && !isDisabled(raw);
}

/** Cuts a list at {@link MAX_LINEAGE_ENTRIES}. */
export function cut<T>(all: readonly T[]): CutList<T> {
    return { entries: all.slice(0, MAX_LINEAGE_ENTRIES), isCut: all.length > MAX_LINEAGE_ENTRIES };
}
