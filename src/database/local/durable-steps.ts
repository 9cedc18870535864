import { removeDurably, writeFileDurably } from '../../base/durable-files.js';

/** The two steps every change on disk is made of; tests put failing ones in their place. */
export interface DurableSteps {
    /** Replaces a file as one step; what it resolves for survives a power loss. */
    readonly write: (path: string, data: string) => Promise<void>;
    /** Removes a file, or finds it gone, for good. */
    readonly remove: (path: string) => Promise<void>;
}

/** The file system's own. */
export const DURABLE_STEPS: DurableSteps = { write: writeFileDurably, remove: removeDurably };
