import type Logger from 'bunyan';
import { LocalArchive } from '../archive/local-archive.js';
import type { Clock } from '../base/clock.js';
import type { BaseDirectories, ConfigSource } from '../base/config-types.js';
import type { StorageType } from '../base/constants.js';
import type { OutgoingHttp } from '../base/http-client.js';
import { KeyedQueue } from '../base/keyed-queue.js';
import type { ImageServices } from '../images/context.js';
import { currentFiles } from '../images/current-files.js';
import { claimSettled } from '../images/recover-uploads.js';
import type { ExportArea } from '../images/export-area.js';
import { CountedStorage, StorageCounts } from '../storage/counted-storage.js';
import { createExportJournal } from '../storage/export-journal.js';
import { FileCloneJournal } from '../storage/file-clone-journal.js';
import { FileUploadJournal } from '../storage/file-upload-journal.js';
import { FileDeleteJournal } from '../storage/journal.js';
import { LocalStorage } from '../storage/local/local-storage.js';
import type { Storage, StoredFileName } from '../storage/storage.js';
import type { ObjectStore } from '../remotes/object-store.js';
import { HttpDockerRegistries } from '../remotes/docker/registries.js';
import { RemoteImageSources } from '../remotes/imgapi/remote-image-source.js';
import { HttpStreamsServers } from '../remotes/simplestreams/http-streams-server.js';
import { MantaStorage } from '../storage/manta/manta-storage.js';
import { createDatacenterServices, type DatacenterServices } from './datacenter-services.js';
import { Layers } from '../transfers/layers/layers.js';
import { TransferBoard } from '../transfers/transfer-board.js';
import { createMantaObjects } from './manta-objects.js';
import { createOutgoing, type Outgoing } from './outgoing.js';
import { serveDatabase, type ServedDatabase } from './served-database.js';

/** What the backends are made from. */
export interface BackendOptions {
    readonly config: ConfigSource;
    readonly directories: BaseDirectories;
    readonly log: Logger;
    readonly clock: Clock;
}

/** The parts of a server behind the ports. */
export interface Backends {
    readonly images: ImageServices;
    readonly database: ServedDatabase;
    readonly archive: LocalArchive;
    readonly localStorage: Storage;
    readonly storageCounts: StorageCounts;
    readonly layers: Layers;
    /** The Manta area, also where no files are kept there; absent: none is configured. */
    readonly objects?: ObjectStore;
    /** Ends every connection; no call follows. */
    close(): Promise<void>;
}

async function closeAll(
    datacenter: DatacenterServices,
    outgoing: Outgoing,
    served: ServedDatabase,
    objects: ObjectStore | undefined,
): Promise<void> {
    await datacenter.close();
    await outgoing.close();
    await served.close();
    objects?.close();
}

/** The servers that images come from and go to; their clients are made when they are needed. */
function otherServers(
    http: OutgoingHttp,
    config: ConfigSource,
): Pick<ImageServices, 'sources' | 'registries' | 'streamsServers' | 'http'> {
    return {
        sources: new RemoteImageSources(http),
        registries: new HttpDockerRegistries(http, config),
        streamsServers: new HttpStreamsServers(http),
        http,
    };
}

/** Files of images in Manta, and where they are exported to. */
function createMantaStorage(
    { config, directories, log, clock }: BackendOptions,
    objects: ObjectStore,
    journal: FileDeleteJournal,
): { readonly storage: Storage; readonly exports: ExportArea } {
    const storage = new MantaStorage({
        objects,
        rootDir: config.current.manta?.rootDir ?? '',
        log,
        clock,
        noteTemporary: (uuid, name, notBefore) => journal.note(uuid, [{ stor: 'manta', name }], notBefore),
    });
    const exports = {
        objects,
        journal: createExportJournal({ directories, log, clock }),
        pathOf: (uuid: string, name: StoredFileName) => storage.pathOf(uuid, name),
    };
    return { storage, exports };
}

/** Makes the backends that the configuration names; nothing is opened yet. */
export async function createBackends(options: BackendOptions): Promise<Backends> {
    const { config, directories, clock, log } = options;
    const objects = await createMantaObjects(config.current);
    const served = await serveDatabase({ directories, config, clock, log: log.child({ component: 'db' }) });
    const { database, sharing } = served;
    const outgoing = createOutgoing(config);
    const datacenter = await createDatacenterServices({ config, log, clock, http: outgoing.http });
    const { accounts, instances, computeNodes } = datacenter;
    const storageLog = log.child({ component: 'storage' });
    const storageCounts = new StorageCounts();
    const localStorage = new CountedStorage(
        new LocalStorage({ directories, log: storageLog }),
        storageCounts,
    );
    const storages = new Map<StorageType, Storage>([['local', localStorage]]);
    const archive = new LocalArchive({ directories, mode: config.current.mode, log: storageLog });
    const imageQueue = new KeyedQueue();
    const uploads = new FileUploadJournal({
        directories,
        log: storageLog,
        clock,
        writers: served.writers,
    });
    const journal = new FileDeleteJournal({
        directories,
        log: storageLog,
        clock,
        storages,
        currentFiles: (uuid) => currentFiles(database, uuid),
        imageQueue,
        writers: served.writers,
        uploads: { claim: (uuid, name) => claimSettled(images, uuid, name, storageLog) },
    });
    let exports: ExportArea | undefined;
    if (objects !== undefined && config.current.storageTypes.includes('manta')) {
        const inManta = createMantaStorage({ ...options, log: storageLog }, objects, journal);
        storages.set('manta', new CountedStorage(inManta.storage, storageCounts));
        ({ exports } = inManta);
    }
    const layers = new Layers({ directories, clock, log: storageLog });
    const clones = new FileCloneJournal({ directories, log: storageLog, clock });
    const images: ImageServices = {
        config,
        database,
        storages,
        archive,
        journal,
        uploads,
        clones,
        imageQueue,
        importQueue: new KeyedQueue(),
        sharing,
        clock,
        ...otherServers(outgoing.http, config),
        transfers: new TransferBoard(),
        layers,
        ...(exports === undefined ? {} : { exports }),
        ...(accounts === undefined ? {} : { accounts }),
        ...(instances === undefined ? {} : { instances }),
        ...(computeNodes === undefined ? {} : { computeNodes }),
    };
    return {
        images,
        database: served,
        archive,
        localStorage,
        storageCounts,
        layers,
        ...(objects === undefined ? {} : { objects }),
        close: () => closeAll(datacenter, outgoing, served, objects),
    };
}
