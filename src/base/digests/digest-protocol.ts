import type { DigestName, Digests } from './digests.js';

/** What a digest thread is started with. */
export interface ThreadStart {
    /** Whether other threads come first. */
    readonly yields: boolean;
}

/** What the main thread tells a digest thread. Messages of one task are handled in order. */
export type ToWorker =
    | { readonly kind: 'memory'; readonly ring: number; readonly memory: SharedArrayBuffer }
    | {
          readonly kind: 'start';
          readonly task: number;
          readonly ring: number;
          readonly names: readonly DigestName[];
      }
    | { readonly kind: 'update'; readonly task: number; readonly offset: number; readonly length: number }
    | { readonly kind: 'end'; readonly task: number }
    | { readonly kind: 'cancel'; readonly task: number };

/** One answer to each `update` (without digests) and to `end` (with them). */
export interface FromWorker {
    readonly task: number;
    readonly digests?: Partial<Digests>;
}
