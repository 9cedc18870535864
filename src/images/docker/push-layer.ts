import { resourceNotFound } from '../../base/errors.js';
import type { StoredImage } from '../../database/database.js';
import {
    type DockerRepository,
    parseRepository,
    RepositoryNameError,
} from '../../manifest/docker/repository.js';
import { shortIdOf } from '../../manifest/docker/tag-and-digest.js';
import type { RawImage } from '../../manifest/types.js';
import { accountMayAccess } from '../../manifest/visibility.js';
import type { RegistryRepository } from '../../remotes/docker-registry.js';
import { REQUEST_RETRIES } from '../../transfers/retries.js';
import { retrying } from '../../transfers/retrying.js';
import type { ImageServices, RequestContext } from '../context.js';
import { findImage } from '../load.js';
import type { PushLines } from './push-lines.js';
import { StoredLayer } from './stored-layer.js';

/** A layer that is to be in a repository. */
export interface PushedLayer {
    /** Of the layer's image. */
    readonly uuid: string;
    /** `sha256:<hex>` of its file. */
    readonly digest: string;
}

/** What the parts of one push share. */
export interface PushRun {
    readonly services: ImageServices;
    /** Its signal ends everything. */
    readonly context: RequestContext;
    readonly repository: DockerRepository;
    readonly registry: RegistryRepository;
    readonly lines: PushLines;
}

/** How often it is told how far a layer is, milliseconds. */
const NEWS_MS = 2000;

/** @throws 404 when there is none that can be used, or the account may not know of it */
async function activeImage({ services, context }: PushRun, uuid: string): Promise<StoredImage> {
    const image = await findImage(services, uuid);
    const { account } = context;
    if (image?.raw.state !== 'active' || (account !== undefined && !accountMayAccess(image.raw, account))) {
        throw resourceNotFound(uuid);
    }
    return image;
}

/** Where in the registry that it goes to the layer came from; `undefined`: from elsewhere, or nobody knows. */
function originIn(target: DockerRepository, { tagsObj }: RawImage): DockerRepository | undefined {
    const name = tagsObj?.['docker:repo'];
    if (typeof name !== 'string') {
        return undefined;
    }
    try {
        const source = parseRepository(name);
        const isOther = source.registry === target.registry && source.remoteName !== target.remoteName;
        return isOther ? source : undefined;
    } catch (error) {
        if (error instanceof RepositoryNameError) {
            return undefined;
        }
        throw error;
    }
}

/** Sends the file of a layer, or has it taken from where it came from. @returns what has become of it */
async function upload(run: PushRun, { digest }: PushedLayer, image: StoredImage): Promise<string> {
    const { services, context, repository, registry, lines } = run;
    const file = new StoredLayer(services, context, image);
    const origin = originIn(repository, image.raw);
    let sent = 0;
    let told = 0;
    const news = setInterval(() => {
        if (sent !== told) {
            told = sent;
            lines.pushing(shortIdOf(digest), { current: sent, total: file.size });
        }
    }, NEWS_MS);
    try {
        const outcome = await registry.putBlob(
            {
                digest,
                size: file.size,
                contentType: 'application/octet-stream',
                open: () => file.open(),
                onSent: (bytes) => {
                    sent = bytes;
                },
                ...(origin === undefined ? {} : { mountFrom: origin.remoteName }),
            },
            { signal: context.signal },
        );
        return outcome === 'mounted' && origin !== undefined ? `Mounted from ${origin.localName}` : 'Pushed';
    } catch (error) {
        throw file.failure ?? error;
    } finally {
        clearInterval(news);
        file.close();
    }
}

async function send(run: PushRun, layer: PushedLayer, image: StoredImage): Promise<string> {
    const { registry, context } = run;
    const isThere = await registry.hasBlob(layer.digest, { signal: context.signal });
    return isThere ? 'Layer already exists' : upload(run, layer, image);
}

/**
 * Sees to it that the repository has a layer (jobs-and-imports 5.6). What fails for reasons of the moment is
 * tried again from the start.
 *
 * @throws 404, 500, 503; OutgoingError; the reason of the signal
 */
export async function pushLayer(run: PushRun, layer: PushedLayer): Promise<void> {
    const { context, lines } = run;
    const shortId = shortIdOf(layer.digest);
    const image = await activeImage(run, layer.uuid);
    lines.layer(shortId, 'Preparing');
    try {
        const status = await retrying(REQUEST_RETRIES, context.signal, () => send(run, layer, image));
        lines.layer(shortId, status);
    } catch (error) {
        // Of those that end because another one has failed there is nothing to say.
        if (!context.signal.aborted) {
            lines.layer(shortId, 'Image push failed');
        }
        throw error;
    }
}
