import type { ObjectCache } from './object-cache.js';
import type { Store } from './store.js';

/** What the procedures work on. */
export interface Server {
    readonly store: Store;
    readonly cache: ObjectCache;
}

/** One remote procedure: gets the arguments, resolves to the messages of the answer. */
export type Procedure = (server: Server, args: readonly unknown[]) => Promise<readonly object[]>;

/** Procedures by their names on the wire. */
export type Procedures = Readonly<Record<string, Procedure>>;
