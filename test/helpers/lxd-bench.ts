import type { Test } from 'tap';
import { ApiError } from '#lib/base/errors.js';
import { WorkLines } from '#lib/base/work-lines.js';
import type { RequestContext } from '#lib/images/context.js';
import { importLxdImage } from '#lib/images/lxd/import-lxd-image.js';
import { LXD_RULES, type LxdRules } from '#lib/images/lxd/import-run.js';
import { lxdError, type LxdLine } from '#lib/images/lxd/lxd-lines.js';
import { parseLxdAlias } from '#lib/manifest/lxd/alias.js';
import { LxdSite } from '../doubles/simplestreams/lxd-site.js';
import { makeBench, type Bench, type BenchOptions } from './image-bench.js';

/** Services that import from a site. */
export interface LxdBench {
    readonly bench: Bench;
    readonly site: LxdSite;
    /** The lines of an import, begun. @param alias on the site */
    readonly begin: (alias: string, context?: Partial<RequestContext>) => WorkLines<LxdLine>;
    /** All lines of an import, with that of its failure. */
    readonly bring: (alias: string, context?: Partial<RequestContext>) => Promise<readonly LxdLine[]>;
}

/** Short waits, and short patience. */
const PACE = { minMs: 10, maxMs: 20 };
const RULES: LxdRules = {
    retries: { ...LXD_RULES.retries, ...PACE },
    documentRetries: { ...LXD_RULES.documentRetries, ...PACE },
    stallMs: 150,
};

/** What lines say, one word each: the status, or the code of the error. */
export function said(lines: readonly Readonly<Record<string, unknown>>[]): readonly unknown[] {
    return lines.map((line) => {
        const { status } = (line['payload'] ?? {}) as { status?: unknown };
        return status ?? line['error'];
    });
}

/** Lines but for those that tell of bytes. */
export function steps(lines: readonly Readonly<Record<string, unknown>>[]): readonly unknown[] {
    return said(lines).filter((status) => status !== 'Downloading');
}

/** Sets up services and a site, which the configuration calls `local`. */
export async function lxdBench(t: Test, options: BenchOptions = {}): Promise<LxdBench> {
    const site = await LxdSite.start(t);
    const config = {
        lxdRegistries: { local: site.url },
        databaseType: 'local' as const,
        maxSockets: 10,
        serverName: 'IMGAPI/9',
        ...options.config,
    };
    const bench = await makeBench(t, { backend: 'local', ...options, config });
    const begin = (alias: string, changes: Partial<RequestContext> = {}): WorkLines<LxdLine> => {
        const context = bench.context(changes);
        const work = importLxdImage(bench.services, context, parseLxdAlias(`local:${alias}`), RULES);
        return new WorkLines(work, context.signal);
    };
    return {
        bench,
        site,
        begin,
        bring: async (alias, changes) => {
            const lines: LxdLine[] = [];
            try {
                for await (const line of begin(alias, changes)) lines.push(line);
            } catch (error) {
                if (!(error instanceof ApiError)) throw error;
                lines.push(lxdError(error, `local:${alias}`));
            }
            return lines;
        },
    };
}
