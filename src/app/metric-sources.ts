import { Tally } from '../base/tally.js';
import type { StoredImage } from '../database/database.js';
import type { CollectedMetric } from '../http/metrics.js';
import type { HttpServer } from '../http/server.js';
import type { HealthMonitor } from '../maintenance/health.js';
import type { StorageCounts } from '../storage/counted-storage.js';
import { isDependency } from './health-checks.js';
import type { Jobs } from './jobs.js';

/** What is counted of all records together. */
export interface ImageCounts {
    readonly byState: Tally<'state' | 'type'>;
    readonly bytesByStorage: Tally<'stor'>;
}

/** What the metrics look at when somebody reads them. */
export interface MetricSubjects {
    /** @throws while the database cannot be read */
    readonly images: () => Promise<ImageCounts>;
    readonly health: HealthMonitor;
    readonly storageCounts: StorageCounts;
    /** What was asked of the caches. */
    readonly cacheRequests: readonly Tally<'cache' | 'result'>[];
    /** Requests whose `Authorization` was refused; absent: nobody looks at it. */
    readonly authFailures: Tally<'reason'> | undefined;
    readonly inFlight: () => ReturnType<HttpServer['inFlight']>;
    readonly jobs: Jobs;
    /** Manifests in the archive of this machine. */
    readonly archived: () => Promise<number>;
    /** Expired placeholders deleted since the start. */
    readonly placeholdersPurged: () => number;
    /** Streams of progress that are open. */
    readonly progressStreams: () => number;
    /** When the TLS certificate is not valid any more, ms since the epoch; `undefined`: TLS is not spoken. */
    readonly certificateExpiry: () => number | undefined;
}

/** A metric that shows a tally as it is at the moment. */
function ofTally<Name extends string>(
    type: CollectedMetric['type'],
    name: string,
    help: string,
    labels: readonly Name[],
    tally: () => Tally<Name> | undefined | Promise<Tally<Name>>,
): CollectedMetric {
    return { type, name, help, labels, collect: async (set) => (await tally())?.forEach(set) };
}

/** Counts records; it is the counts that are worth keeping, which take no memory. */
export function countImages(images: Iterable<StoredImage>): ImageCounts {
    const byState = new Tally<'state' | 'type'>();
    const bytesByStorage = new Tally<'stor'>();
    for (const { raw } of images) {
        byState.add({ state: raw.state, type: raw.type });
        raw.files?.forEach((file) => bytesByStorage.add({ stor: file.stor ?? 'local' }, file.size));
    }
    return { byState, bytesByStorage };
}

const ROUTES_IN: ReadonlySet<string | null> = new Set(['addimagefile', 'addimageicon']);
const ROUTES_OUT: ReadonlySet<string | null> = new Set(['getimagefile', 'getimageicon']);

/** What is counted at the moment of looking. */
function stateMetrics(subjects: MetricSubjects): readonly CollectedMetric[] {
    return [
        ofTally(
            'gauge',
            'imgapi_images',
            'images by state and type',
            ['state', 'type'],
            async () => (await subjects.images()).byState,
        ),
        ofTally(
            'gauge',
            'imgapi_image_bytes',
            'bytes of image files by storage',
            ['stor'],
            async () => (await subjects.images()).bytesByStorage,
        ),
        {
            type: 'gauge',
            name: 'imgapi_transfers_in_flight',
            help: 'uploads and downloads of image bytes going on',
            labels: ['direction'],
            collect: (set) => {
                const running = subjects.inFlight();
                set({ direction: 'in' }, running.filter(({ route }) => ROUTES_IN.has(route)).length);
                set({ direction: 'out' }, running.filter(({ route }) => ROUTES_OUT.has(route)).length);
            },
        },
        ofTally(
            'gauge',
            'imgapi_jobs',
            'jobs kept in files of this server, by task and state',
            ['task', 'execution'],
            () => subjects.jobs.local.tally(),
        ),
        {
            type: 'gauge',
            name: 'imgapi_archive_backlog',
            help: 'archived manifests kept on this machine',
            collect: async (set) => set({}, await subjects.archived()),
        },
    ];
}

/** What checks of the server have found, and how near it is to its limits. */
function conditionMetrics(subjects: MetricSubjects): readonly CollectedMetric[] {
    return [
        {
            type: 'gauge',
            name: 'imgapi_local_free_bytes',
            help: 'free bytes where the local storage lies',
            collect: async (set) => {
                const { checks } = await subjects.health.report();
                const free = checks['stor.local']?.['freeBytes'];
                if (typeof free === 'number') {
                    set({}, free);
                }
            },
        },
        {
            type: 'gauge',
            name: 'imgapi_dependency_up',
            help: '1: the dependency is well, 0: it is not; see /health',
            labels: ['dependency'],
            collect: async (set) => {
                const { checks } = await subjects.health.report();
                Object.entries(checks)
                    .filter(([dependency]) => isDependency(dependency))
                    .forEach(([dependency, { ok }]) => set({ dependency }, ok ? 1 : 0));
            },
        },
        {
            type: 'gauge',
            name: 'imgapi_progress_streams',
            help: 'streams of progress that are open',
            collect: (set) => set({}, subjects.progressStreams()),
        },
        {
            type: 'gauge',
            name: 'imgapi_tls_expiry_seconds',
            help: 'seconds until the TLS certificate ends; negative: since',
            collect: (set) => {
                const expiresAt = subjects.certificateExpiry();
                if (expiresAt !== undefined) {
                    set({}, (expiresAt - Date.now()) / 1000);
                }
            },
        },
    ];
}

/** What has been counted since the start. */
function eventMetrics(subjects: MetricSubjects): readonly CollectedMetric[] {
    return [
        ofTally(
            'counter',
            'imgapi_transfer_bytes_total',
            'bytes of files and icons written to (in) and read from (out) a storage',
            ['direction', 'stor'],
            () => subjects.storageCounts.bytes,
        ),
        ofTally(
            'counter',
            'imgapi_transfer_failures_total',
            'transfers that were not completed, by which end is to blame: client or storage',
            ['direction', 'reason'],
            () => subjects.storageCounts.failures,
        ),
        ofTally(
            'counter',
            'imgapi_stor_errors_total',
            'calls of a storage that failed',
            ['stor', 'op'],
            () => subjects.storageCounts.errors,
        ),
        {
            type: 'counter',
            name: 'imgapi_cache_requests_total',
            help: 'rendered documents and lists asked for: kept (hit) or made anew (miss)',
            labels: ['cache', 'result'],
            collect: (set) => subjects.cacheRequests.forEach((tally) => tally.forEach(set)),
        },
        ofTally(
            'counter',
            'imgapi_auth_failures_total',
            'requests refused for their signature, by what was wrong',
            ['reason'],
            () => subjects.authFailures,
        ),
        {
            type: 'counter',
            name: 'imgapi_placeholders_purged_total',
            help: 'expired placeholders deleted',
            collect: (set) => set({}, subjects.placeholdersPurged()),
        },
    ];
}

/** The metrics beside those of the requests (operations 1.8). */
export function metricSources(subjects: MetricSubjects): readonly CollectedMetric[] {
    return [...stateMetrics(subjects), ...conditionMetrics(subjects), ...eventMetrics(subjects)];
}
