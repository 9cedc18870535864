import type Logger from 'bunyan';
import type { Archive } from '../archive/archive.js';
import type { AccountDirectory } from '../accounts/accounts.js';
import type { Clock } from '../base/clock.js';
import type { ConfigSource } from '../base/config-types.js';
import type { StorageType } from '../base/constants.js';
import type { KeyedQueue } from '../base/keyed-queue.js';
import type { OutgoingHttp } from '../base/http-client.js';
import type { Database, StoredImage } from '../database/database.js';
import type { SharingStore } from '../database/sharing.js';
import type { ComputeNodeDirectory } from '../remotes/compute-nodes.js';
import type { DockerRegistries } from '../remotes/docker-registry.js';
import type { ImageSources } from '../remotes/image-source.js';
import type { InstanceDirectory } from '../remotes/instances.js';
import type { StreamsServers } from '../remotes/simplestreams.js';
import type { CloneJournal } from '../storage/clone-journal.js';
import type { DeleteJournal } from '../storage/delete-journal.js';
import type { Storage } from '../storage/storage.js';
import type { UploadJournal } from '../storage/upload-journal.js';
import type { LayerFetcher } from '../transfers/layers/layer.js';
import type { TransferBoard } from '../transfers/transfer-board.js';
import type { ExportArea } from './export-area.js';

/** What every use-case needs of the server. */
export interface ImageServices {
    readonly config: ConfigSource;
    readonly database: Database;
    /** Storages that are set up; `local` always is (backends 9). */
    readonly storages: ReadonlyMap<StorageType, Storage>;
    readonly archive: Archive;
    readonly journal: DeleteJournal;
    readonly uploads: UploadJournal;
    readonly clones: CloneJournal;
    /** One task at a time for each image uuid: every change of a record and its files runs in here. */
    readonly imageQueue: KeyedQueue;
    /**
     * One import at a time for each image uuid, from its record to its activation. An import enters the
     * image's queue from here, never the other way round.
     */
    readonly importQueue: KeyedQueue;
    readonly clock: Clock;
    /** Who may own images; absent: owners are not checked (only mode `dc` has accounts). */
    readonly accounts?: AccountDirectory;
    /** Which accounts trust which (jobs-and-imports 8.8). */
    readonly sharing: SharingStore;
    /** Where images with files in storage `manta` can be exported to; absent: there is no such storage. */
    readonly exports?: ExportArea;
    /** Which instances use an image; absent: no VMAPI is configured. */
    readonly instances?: InstanceDirectory;
    /** Who makes images of instances; absent: no CNAPI is configured. */
    readonly computeNodes?: ComputeNodeDirectory;
    /** Other image servers, which images are copied from. */
    readonly sources: ImageSources;
    /** Docker registries, which images are pulled from and pushed to. */
    readonly registries: DockerRegistries;
    /** Servers of LXD images. */
    readonly streamsServers: StreamsServers;
    /** Requests to servers that a caller names. */
    readonly http: OutgoingHttp;
    /** What is being copied from other image servers in requests. */
    readonly transfers: TransferBoard;
    /** Fetches layers of Docker images. */
    readonly layers: LayerFetcher;
}

/** Who calls and how, as far as use-cases need it. */
export interface RequestContext {
    readonly requestId: string;
    /** The same, if the client has chosen it by `x-request-id`; a workflow service gets it (jobs-and-imports 0.5). */
    readonly clientRequestId?: string;
    readonly log: Logger;
    /** Aborted when the client has gone or the server gives up waiting. */
    readonly signal: AbortSignal;
    /** The `account` parameter, a UUID; absent: an operator call. */
    readonly account?: string;
    /** Whether the `account` parameter occurs at all, even empty; default: `account` is set (http-api 3.15 #4). */
    readonly accountGiven?: boolean;
    /**
     * The image of the request as it was read from the database for it; what changes the image may
     * start from it, see {@link Database}.
     */
    readonly seen?: StoredImage;
    /** The authenticated user; absent: anonymous (also with `authType: none`). */
    readonly user?: string;
    /** The selected channel; absent: no channel restriction (http-api 1.12, CHAN). */
    readonly channel?: string;
    /** Whether the answer has the version 2 form (http-api 1.9). */
    readonly version2: boolean;
    readonly userAgent: string;
}
