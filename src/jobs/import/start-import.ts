import type { RequestContext } from '../../images/context.js';
import { bytesOfFiles } from '../../manifest/document-files.js';
import type { JsonObject } from '../../manifest/types.js';
import type { SourceAddress } from '../../remotes/image-source.js';
import { sourceText } from '../../remotes/source-address.js';
import type { StartedJob } from '../job-engine.js';
import type { JobServices } from '../services.js';
import { missingOrigins, type RemoteOrigin } from './origin-chain.js';

/** An image to be copied from another image server by a job; what a caller has checked (jobs-and-imports 3.4). */
export interface ImportWish {
    readonly uuid: string;
    /** As the source answers it. */
    readonly manifest: JsonObject;
    readonly address: SourceAddress;
    readonly skipOwnerCheck: boolean;
    /** Also marks the records the job makes, as their import id. */
    readonly jobUuid: string;
    /** Whom the copy is for; absent: an operator's import. */
    readonly account?: string;
    /** The source's name in the configuration. */
    readonly datacenter?: string;
    /** The account the source is asked with for origins; absent: as an operator. */
    readonly sourceAccount?: string;
    /** Whether a record marked with the job's id stands for the image already (jobs-and-imports 8.2). */
    readonly placeholder?: boolean;
}

/** What each image will transfer, by uuid, where it is known: needed before the first of them. */
function transferSizes(images: readonly RemoteOrigin[]): JsonObject {
    return Object.fromEntries(
        images.flatMap(({ uuid, manifest }) => {
            const bytes = bytesOfFiles(manifest);
            return bytes === undefined ? [] : [[uuid, bytes]];
        }),
    );
}

/** The parameters of the job in the order of jobs-and-imports 3.4. */
function jobParams(
    services: JobServices,
    context: RequestContext,
    wish: ImportWish,
    origins: readonly RemoteOrigin[],
): JsonObject {
    const { allowInsecure } = services.config.current;
    const { account, datacenter } = wish;
    return {
        ...(origins.length === 0 ? {} : { origins: origins.map(({ uuid }) => uuid) }),
        image_uuid: wish.uuid,
        req_id: context.requestId,
        source: sourceText(wish.address),
        skip_owner_check: wish.skipOwnerCheck,
        ...(allowInsecure ? { allowInsecure } : {}),
        import_id: wish.jobUuid,
        ...(context.channel === undefined ? {} : { channel: context.channel }),
        ...(account === undefined ? {} : { account }),
        ...(datacenter === undefined ? {} : { datacenter }),
        ...(wish.placeholder === true ? { placeholder: true } : {}),
    };
}

/**
 * Starts the job that copies an image, and the origins that are not here, from another image server
 * (jobs-and-imports 3.4 #7, #8).
 *
 * @throws 409 `ImageUuidAlreadyExists`, 422 `OriginIsNotActive`, 500, 503
 */
export async function startImport(
    services: JobServices,
    context: RequestContext,
    wish: ImportWish,
): Promise<StartedJob> {
    const { uuid, manifest, address, sourceAccount } = wish;
    const origins = await missingOrigins(services, context, {
        uuid,
        manifest,
        source: services.images.sources.at(address),
        ...(sourceAccount === undefined ? {} : { account: sourceAccount }),
    });
    const job = {
        task: 'import-remote-image',
        target: `/import-remote-${uuid}`,
        imageUuid: uuid,
        params: jobParams(services, context, wish, origins),
        uuid: wish.jobUuid,
        ...(context.clientRequestId === undefined ? {} : { requestId: context.clientRequestId }),
        hidden: { supplier: address.supplier, sizes: transferSizes([...origins, { uuid, manifest }]) },
    } as const;
    return await services.engine.start(job, context.signal);
}
