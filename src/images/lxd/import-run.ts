import type { LxdAlias } from '../../manifest/lxd/lxd-image.js';
import type { StreamsServer } from '../../remotes/simplestreams.js';
import { REQUEST_RETRIES, type RetryPolicy, TRANSFER_RETRIES } from '../../transfers/retries.js';
import type { ImageServices, RequestContext } from '../context.js';
import type { LxdLines } from './lxd-lines.js';

/** How a server of LXD images is asked. */
export interface LxdRules {
    readonly retries: RetryPolicy;
    /** For its documents, which are small. */
    readonly documentRetries: RetryPolicy;
    /** Longest time without a byte, milliseconds. */
    readonly stallMs: number;
}

/** As jobs-and-imports 6 and 9.7 want it. */
export const LXD_RULES: LxdRules = {
    retries: TRANSFER_RETRIES,
    documentRetries: REQUEST_RETRIES,
    stallMs: 15_000,
};

/** What the steps of one import share. */
export interface LxdImport {
    readonly services: ImageServices;
    /** Of the import itself, for nobody in particular; its signal ends the import. */
    readonly context: RequestContext;
    readonly alias: LxdAlias;
    readonly server: StreamsServer;
    readonly lines: LxdLines;
    readonly rules: LxdRules;
}
