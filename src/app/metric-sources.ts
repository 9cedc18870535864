import type { LocalArchive } from '../archive/local-archive.js';
import type { LocalDatabase } from '../database/local/local-database.js';
import type { CollectedMetric } from '../http/metrics.js';
import type { HttpServer } from '../http/server.js';
import type { Storage } from '../storage/storage.js';

/** What the metrics look at when somebody reads them. */
export interface MetricSubjects {
    readonly database: LocalDatabase;
    readonly storages: Iterable<Storage>;
    readonly archive: LocalArchive;
    readonly inFlight: () => ReturnType<HttpServer['inFlight']>;
    /** Expired placeholders deleted since the start. */
    readonly placeholdersPurged: () => number;
}

type Sums = Map<string, { readonly labels: Readonly<Record<string, string>>; value: number }>;

function add(sums: Sums, labels: Readonly<Record<string, string>>, value: number): void {
    const key = JSON.stringify(labels);
    const sum = sums.get(key);
    if (sum === undefined) {
        sums.set(key, { labels, value });
    } else {
        sum.value += value;
    }
}

function recordMetrics(database: LocalDatabase): readonly CollectedMetric[] {
    return [
        {
            type: 'gauge',
            name: 'imgapi_images',
            help: 'images by state and type',
            labels: ['state', 'type'],
            collect: (set) => {
                const sums: Sums = new Map();
                for (const { raw } of database.snapshot()) {
                    add(sums, { state: raw.state, type: raw.type }, 1);
                }
                sums.forEach(({ labels, value }) => set(labels, value));
            },
        },
        {
            type: 'gauge',
            name: 'imgapi_image_bytes',
            help: 'bytes of image files by storage',
            labels: ['stor'],
            collect: (set) => {
                const sums: Sums = new Map();
                for (const { raw } of database.snapshot()) {
                    raw.files?.forEach((file) => add(sums, { stor: file.stor ?? 'local' }, file.size));
                }
                sums.forEach(({ labels, value }) => set(labels, value));
            },
        },
    ];
}

/** The metrics beside those of the requests (operations 1.8). */
export function metricSources(subjects: MetricSubjects): readonly CollectedMetric[] {
    return [
        ...recordMetrics(subjects.database),
        {
            type: 'gauge',
            name: 'imgapi_transfers_in_flight',
            help: 'uploads and downloads of image bytes going on',
            labels: ['direction'],
            collect: (set) => {
                const running = subjects.inFlight().map((request) => request.route);
                const count = (names: readonly string[]) =>
                    running.filter((one) => names.includes(one ?? '')).length;
                set({ direction: 'in' }, count(['addimagefile', 'addimageicon']));
                set({ direction: 'out' }, count(['getimagefile', 'getimageicon']));
            },
        },
        {
            type: 'gauge',
            name: 'imgapi_archive_backlog',
            help: 'archived manifests kept on this machine',
            collect: async (set) => set({}, await subjects.archive.count()),
        },
        {
            type: 'counter',
            name: 'imgapi_placeholders_purged_total',
            help: 'expired placeholders deleted',
            collect: (set) => set({}, subjects.placeholdersPurged()),
        },
        {
            type: 'gauge',
            name: 'imgapi_local_free_bytes',
            help: 'free bytes where the local storage lies',
            collect: async (set) => {
                for (const storage of subjects.storages) {
                    const { freeBytes } = await storage.check();
                    if (storage.type === 'local' && freeBytes !== undefined) {
                        set({}, freeBytes);
                    }
                }
            },
        },
    ];
}
