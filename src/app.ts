import { fileURLToPath } from 'node:url';
import type Logger from 'bunyan';
import type { Backends } from './app/backends.js';
import { Control } from './app/control.js';
import { drain } from './app/drain.js';
import { healthChecks } from './app/health-checks.js';
import type { Jobs } from './app/jobs.js';
import type { LiveConfig } from './app/live-config.js';
import { countImages, type ImageCounts, metricSources } from './app/metric-sources.js';
import { createMetrics, loadAndLogConfig, makeParts, type Parts, type StartOptions } from './app/parts.js';
import { reloadConfig } from './app/reload.js';
import { openPlain } from './app/plain.js';
import { type RoleActions, Roles } from './app/roles.js';
import { skippedRecords } from './app/served-database.js';
import { ServerTasks } from './app/tasks.js';
import { TlsSide } from './app/tls.js';
import { KeyFiles } from './auth/key-files.js';
import { SignatureAuthenticator } from './auth/signature.js';
import { systemClock } from './base/clock.js';
import type { BaseDirectories } from './base/config-types.js';
import { VERSION } from './base/constants.js';
import { setLogLevel } from './base/log.js';
import { recent } from './base/recent.js';
import { MetricsListener } from './http/metrics-listener.js';
import type { RequestMetrics } from './http/metrics.js';
import { createRoutes } from './http/routes.js';
import { createHttpServer, type HttpServer } from './http/server.js';
import { StreamSlots } from './http/stream-slots.js';
import { recoverUploads } from './images/recover-uploads.js';
import { DocumentRenderer } from './images/render.js';
import { BaseLock } from './lock/base-lock.js';
import { writeDataVersion, checkDataVersion } from './maintenance/data-version.js';
import { warnOfDistantStaging } from './maintenance/distant-staging.js';
import { HealthMonitor } from './maintenance/health.js';
import { prepareDirectories } from './maintenance/prepare-directories.js';

const DOCS_DIRECTORY = fileURLToPath(new URL('../build/docs/public', import.meta.url));

/** Exit code of a server that must not go on (operations 1.2). */
const FAILED = 2;

/** Counting the archive reads thousands of directories; that often is enough, milliseconds. */
const ARCHIVE_COUNT_MAX_AGE_MS = 60_000;
/** So is reading every record of a database on the network, milliseconds. */
const IMAGE_COUNT_MAX_AGE_MS = 60_000;

/** Seconds a stop may take beyond `shutdownTimeoutSec`, e.g. while a disk does not answer. */
const STOP_GRACE_SEC = 10;

/** A whole server: the only place where the parts are put together. */
export class ImageServer {
    /** Resolves to the exit code when the server has to end on its own account. */
    readonly ended: Promise<number>;
    readonly #options: StartOptions;
    readonly #log: Logger;
    readonly #config: LiveConfig;
    readonly #directories: BaseDirectories;
    readonly #backends: Backends;
    readonly #jobs: Jobs;
    readonly #keys: KeyFiles | undefined;
    readonly #roles: Roles;
    readonly #tasks: ServerTasks;
    readonly #http: HttpServer;
    readonly #tls: TlsSide;
    readonly #streams: StreamSlots;
    readonly #control: Control;
    readonly #metricsListener: MetricsListener | undefined;
    #end: (code: number) => void = () => undefined;
    #stopped: Promise<void> | undefined;

    private constructor(options: StartOptions, parts: Parts) {
        const { log } = options;
        const { config, directories, metrics } = parts;
        this.#options = options;
        this.#log = log;
        this.ended = new Promise((resolve) => (this.#end = resolve));
        this.#config = config;
        this.#streams = new StreamSlots(config);
        this.#directories = directories;
        this.#backends = parts.backends;
        this.#jobs = parts.jobs;
        const lock = new BaseLock({
            directories,
            log: log.child({ component: 'lock' }),
            clock: systemClock,
            app: `imgapi ${VERSION}`,
        });
        this.#keys =
            config.current.authType === 'signature'
                ? new KeyFiles({ directories, config, log: log.child({ component: 'authkeys' }) })
                : undefined;
        this.#tasks = new ServerTasks({
            backends: this.#backends,
            jobs: this.#jobs,
            directories,
            config,
            keys: this.#keys,
            log,
            clock: systemClock,
        });
        this.#roles = new Roles({
            lock,
            actions: this.#roleActions(),
            writers: this.#backends.database.writers,
            log,
        });
        const renderer = new DocumentRenderer();
        const health = this.#healthMonitor(lock);
        this.#control = new Control({
            config,
            backends: this.#backends,
            jobs: this.#jobs,
            keys: this.#keys,
            roles: this.#roles,
            tasks: this.#tasks,
            renderer,
            log,
            health,
            inFlight: () => this.#http.inFlight(),
            reload: () => void this.reload(),
        });
        const authenticator =
            this.#keys && new SignatureAuthenticator({ keys: this.#keys, clock: systemClock, log });
        this.#http = this.#createHttp(renderer, authenticator, metrics);
        this.#tls = new TlsSide({ config, http: this.#http, log });
        this.#metricsListener = metrics && new MetricsListener({ metrics, log });
        const { listRequests } = this.#backends.database;
        const sources = metricSources({
            images: this.#countedImages(),
            health,
            storageCounts: this.#backends.storageCounts,
            cacheRequests: [renderer.requests, ...(listRequests === undefined ? [] : [listRequests])],
            authFailures: authenticator?.failures,
            inFlight: () => this.#http.inFlight(),
            jobs: this.#jobs,
            archived: recent(() => this.#backends.archive.count(), ARCHIVE_COUNT_MAX_AGE_MS, systemClock),
            placeholdersPurged: () => this.#tasks.placeholdersPurged,
            progressStreams: () => this.#streams.taken,
            certificateExpiry: () => this.#tls.expiresAt,
        });
        sources.forEach((metric) => metrics?.register(metric));
    }

    #createHttp(
        renderer: DocumentRenderer,
        authenticator: SignatureAuthenticator | undefined,
        metrics: RequestMetrics | undefined,
    ): HttpServer {
        const routes = createRoutes({
            images: this.#backends.images,
            jobs: this.#jobs.services,
            renderer,
            config: this.#config,
            authenticator,
            role: this.#roles,
            control: this.#control,
            streams: this.#streams,
            docsDirectory: DOCS_DIRECTORY,
        });
        return createHttpServer({
            routes,
            log: this.#log,
            config: this.#config,
            ...(metrics === undefined ? {} : { metrics }),
            isDraining: () => this.#roles.isDraining(),
        });
    }

    /** A database on the network is not asked for everything at each look; one in memory is read once a look. */
    #countedImages(): () => Promise<ImageCounts> {
        const { database } = this.#backends;
        const maxAgeMs = database.held === undefined ? IMAGE_COUNT_MAX_AGE_MS : 0;
        return recent(async () => countImages(await database.all()), maxAgeMs, systemClock);
    }

    #healthMonitor(lock: BaseLock): HealthMonitor {
        const { images } = this.#backends;
        const { database, held } = this.#backends.database;
        const checks = healthChecks({
            database,
            storages: images.storages.values(),
            skippedRecords: held && (() => skippedRecords(held).length),
            accounts: images.accounts,
            keys: this.#keys,
            jobs: this.#jobs.local,
            workflows: this.#jobs.workflows,
            lock,
            foreignOwner: this.#tasks.foreignOwner,
            certificateExpiry: this.#config.current.tls && (() => this.#tls.expiresAt),
        });
        return new HealthMonitor(checks, systemClock);
    }

    /**
     * Starts a server in the order of operations 1.2; resolves when it listens.
     *
     * @throws whatever keeps it from starting
     */
    static async start(options: StartOptions): Promise<ImageServer> {
        const config = loadAndLogConfig(options);
        const metrics = await createMetrics(config);
        const server = new ImageServer(options, { ...(await makeParts(options, config)), metrics });
        try {
            await server.#open();
        } catch (error) {
            await server.#close();
            throw error;
        }
        return server;
    }

    /** Prepares the data as the writer would, and gives it free again (`--migrate`). */
    static async migrate(options: StartOptions): Promise<void> {
        const parts = await makeParts(options, loadAndLogConfig(options));
        const server = new ImageServer(options, { ...parts, metrics: undefined });
        try {
            await server.#prepare();
            await server.#roles.start();
            if (!server.#roles.isWriter()) {
                throw new Error('run/imgapi.lock is held by another process');
            }
        } finally {
            await server.#close();
        }
    }

    /** Lets running requests finish, then stops everything (operations 1.4). Calls share one run. */
    stop(): Promise<void> {
        this.#stopped ??= this.#drainAndClose();
        return this.#stopped;
    }

    /**
     * Reads configuration and keys again; a change that cannot be applied live ends the server
     * (operations 1.4). Never rejects.
     */
    async reload(): Promise<void> {
        const restart = await reloadConfig({
            configPath: this.#options.configPath,
            overrides: this.#options.overrides,
            setLevel: (level) => (this.#options.debug === 0 ? setLogLevel(this.#log, level) : undefined),
            config: this.#config,
            keys: this.#keys,
            database: this.#backends.database,
            log: this.#log,
        });
        if (!restart) {
            await this.#tls.renew();
            this.#tasks.lookAtManta();
            return;
        }
        await this.stop().then(
            () => this.#end(0),
            (error: unknown) => this.#fail(error),
        );
    }

    /** Logs a summary of the state (operations 1.4, SIGUSR2). Never rejects. */
    async logState(): Promise<void> {
        this.#log.info({ state: await this.#control.state() }, 'state');
    }

    #fail(error: unknown): void {
        this.#log.fatal({ err: error }, 'this process must not go on');
        this.#end(FAILED);
    }

    #roleActions(): RoleActions {
        return {
            load: () => this.#backends.database.database.setup(),
            // Nothing waits for another storage, which may be away.
            settle: () => recoverUploads(this.#backends.images, this.#log, { stor: 'local' }),
            becomeWriter: async () => {
                await writeDataVersion(this.#directories, `imgapi ${VERSION}`);
                await this.#backends.database.becomeWriter();
            },
            openJobs: () => this.#jobs.local.open(),
            startTasks: () => this.#tasks.start(),
            endWriting: async () => {
                // Before the lock is given away: the next holder goes on with them.
                const ended = Promise.all([this.#tasks.stop(), this.#jobs.local.stop()]);
                // A Manta that is silent would keep them for as long as calls may take; downloads go on.
                this.#backends.objects?.endCalls();
                await ended;
                await this.#backends.database.endWriting?.();
            },
            fail: (error) => this.#fail(error),
        };
    }

    async #prepare(): Promise<void> {
        await prepareDirectories(this.#directories);
        await checkDataVersion(this.#directories);
        for (const storage of this.#backends.images.storages.values()) {
            await storage.setup();
        }
        await warnOfDistantStaging(this.#directories, this.#log);
    }

    async #open(): Promise<void> {
        const config = this.#config.current;
        await this.#prepare();
        await this.#loadKeys();
        if (config.metrics !== undefined) {
            await this.#metricsListener?.listen(config.metrics.port, config.metrics.address);
        }
        await this.#roles.start();
        // Nobody waits for it: its log tells early of a wrong password, and reads never need it.
        this.#backends.images.accounts?.ping().catch(() => undefined);
        this.#jobs.workflows?.open();
        this.#logListening(await openPlain({ config: this.#config, http: this.#http, log: this.#log }));
        this.#logListening(await this.#tls.open());
        this.#log.info('startup complete');
        this.#jobs.local.run();
    }

    #logListening(url: string | undefined): void {
        if (url !== undefined) {
            this.#log.info(`Image API listening on <${url}>.`);
        }
    }

    async #loadKeys(): Promise<void> {
        if (this.#keys === undefined) {
            return;
        }
        await this.#keys.load();
        this.#keys.watch();
        if (Object.keys(this.#keys.counts()).length === 0) {
            this.#log.warn('authType=signature but no keys loaded');
        }
    }

    async #drainAndClose(): Promise<void> {
        const { drainDelaySec, shutdownTimeoutSec } = this.#config.current;
        this.#roles.startDraining();
        const overdue = setTimeout(
            () => this.#fail(new Error('the server could not be stopped in time')),
            (shutdownTimeoutSec + STOP_GRACE_SEC) * 1000,
        ).unref();
        // What it aborts need not be waited for here: the lock is given away when it has ended.
        void this.#jobs.local.stop();
        await drain({
            http: this.#http,
            log: this.#log,
            delaySeconds: drainDelaySec,
            limitSeconds: shutdownTimeoutSec,
            releaseWriter: () => this.#roles.release(),
        });
        await this.#close();
        clearTimeout(overdue);
        this.#log.info('shutdown complete');
    }

    async #close(): Promise<void> {
        await this.#roles.release();
        await this.#http.close();
        await this.#jobs.workflows?.close();
        await this.#backends.close();
        await this.#metricsListener?.close();
        this.#keys?.close();
    }
}
