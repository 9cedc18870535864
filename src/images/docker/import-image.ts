import { internalError } from '../../base/errors.js';
import { newUuid } from '../../base/uuid.js';
import type { TellingWork } from '../../base/work-lines.js';
import type { StoredImage } from '../../database/database.js';
import type { DockerLayer } from '../../manifest/docker/docker-layer.js';
import { imageLayers } from '../../manifest/docker/image-layers.js';
import { type LayerFile, rebuildImage } from '../../manifest/docker/rebuild-image.js';
import { isDigest } from '../../manifest/docker/tag-and-digest.js';
import type { ImageServices, RequestContext } from '../context.js';
import { ownContextInChannel } from '../own-context.js';
import { toldWork } from '../told-work.js';
import { activateLayer } from './import-activation.js';
import { fetchLayers, releaseLayers } from './import-layers.js';
import { type PulledImage, type PullLine, PullLines } from './import-lines.js';
import { fetchConfig, fetchManifest, type FetchedManifest } from './import-manifest.js';
import type { WantedPull } from './import-request.js';
import type { PullRun } from './import-run.js';
import { registryFailure } from './registry-failure.js';

/** What makes an image out of its layers. */
interface ImagePlan {
    readonly layers: readonly DockerLayer[];
    /** @param images of the layers, all of them here */
    readonly describe: (images: readonly StoredImage[]) => Omit<PulledImage, 'imageUuid' | 'size'>;
}

/** What the record of a layer says of its file. @throws 500 when it does not */
function layerFile({ raw }: StoredImage, digest: string | undefined): LayerFile {
    const [file] = raw.files ?? [];
    const unpacked = file?.compression === 'none' ? digest : file?.uncompressedDigest;
    if (file === undefined || !isDigest(unpacked)) {
        throw internalError(`the digest of layer ${raw.uuid} unpacked is not known`);
    }
    return { size: file.size, compression: file.compression, uncompressedDigest: unpacked };
}

async function planImage({ registry, context }: PullRun, found: FetchedManifest): Promise<ImagePlan> {
    const { manifest, bytes, digest } = found;
    if (manifest.kind === 'schema1') {
        const { layers } = manifest;
        return {
            layers,
            describe: (images) => {
                const files = images.map((image, at) => layerFile(image, layers[at]?.digest));
                return { ...rebuildImage(manifest, files), version: '2.1' };
            },
        };
    }
    const config = await fetchConfig(registry, manifest.config, context.signal);
    return {
        layers: imageLayers(config, manifest),
        describe: () => ({
            config,
            configDigest: manifest.config.digest,
            manifestText: bytes.toString(),
            manifestDigest: digest,
            version: '2.2',
        }),
    };
}

/** Has all layers become images, the base first. @returns them, and whether any is new */
async function bringLayers(
    run: PullRun,
    layers: readonly DockerLayer[],
): Promise<{ readonly images: readonly StoredImage[]; readonly isNew: boolean }> {
    const found = await fetchLayers(run, layers);
    try {
        const images: StoredImage[] = [];
        for (const one of found) {
            images.push('held' in one ? await activateLayer(run, one) : one.image);
        }
        return { images, isNew: found.some((one) => 'held' in one) };
    } finally {
        releaseLayers(found);
    }
}

/** @throws ApiError, OutgoingError; the reason of the signal */
async function pull(run: PullRun): Promise<void> {
    const { wanted, lines, context, registry } = run;
    const { reference } = wanted;
    const { localName } = wanted.repository;
    lines.status(`${reference}: Pulling from ${localName} (req ${context.requestId})`);
    const { signal } = context;
    await registry.ping({ signal });
    const subject = `${localName}:${reference}`;
    const plan = await planImage(run, await fetchManifest(registry, reference, subject, signal));
    plan.layers.forEach((layer) => lines.layer(layer));
    const { images, isNew } = await bringLayers(run, plan.layers);
    const described = plan.describe(images);
    lines.image({
        ...described,
        imageUuid: plan.layers.at(-1)?.uuid ?? '',
        size: images.reduce((sum, { raw }) => sum + (raw.files?.[0]?.size ?? 0), 0),
    });
    lines.status(`Digest: ${described.manifestDigest}`);
    const named = isDigest(reference) ? `${localName}@${reference}` : subject;
    lines.status(`Status: ${isNew ? 'Downloaded newer image' : 'Image is up to date'} for ${named}`);
}

/**
 * AdminImportDockerImage: brings an image of a registry here, each layer as an image of its own, and tells how
 * it goes (jobs-and-imports 5.3, 5.4). What is not activated when it fails is taken back; layers that have been
 * fetched are kept for the next pull.
 *
 * @returns the work; it throws the ApiError for the last line
 */
export function importDockerImage(
    services: ImageServices,
    context: RequestContext,
    wanted: WantedPull,
): TellingWork<PullLine> {
    const { repository, credentials } = wanted;
    return toldWork(context, registryFailure, async (say, told) => {
        const run: PullRun = {
            services,
            context: ownContextInChannel(told),
            wanted,
            registry: services.registries.open(repository, {
                scope: 'pull',
                supplier: 'operator',
                ...(credentials === undefined ? {} : { credentials }),
            }),
            lines: new PullLines(say, repository.canonicalName),
            importId: newUuid(),
        };
        await pull(run);
    });
}
