import { forEachParallel } from '../../base/parallel.js';
import type { StoredImage } from '../../database/database.js';
import type { DockerLayer } from '../../manifest/docker/docker-layer.js';
import { layerManifest } from '../../manifest/docker/layer-manifest.js';
import type { RawImage } from '../../manifest/types.js';
import type { HeldLayer } from '../../transfers/layers/layer.js';
import { findImage } from '../load.js';
import { pulledRecord } from '../pulled-record.js';
import type { PullRun } from './import-run.js';

/** Layers that are fetched at the same time (jobs-and-imports 5.3). */
const MAX_LAYERS = 5;

/** A layer whose file is here, and the record its image is to have. */
export interface FetchedLayer {
    readonly layer: DockerLayer;
    readonly held: HeldLayer;
    readonly raw: RawImage;
}

/** A layer whose image was here before. */
export interface PresentLayer {
    readonly image: StoredImage;
}

/**
 * Fetches the file of a layer, unless its image is here.
 *
 * @throws ApiError, OutgoingError; the reason of the signal
 */
export async function fetchLayer(
    run: PullRun,
    layer: DockerLayer,
    signal: AbortSignal,
): Promise<FetchedLayer | PresentLayer> {
    const { services, registry, lines } = run;
    signal.throwIfAborted();
    const image = await findImage(services, layer.uuid);
    if (image !== undefined && image.raw.state !== 'unactivated') {
        lines.progress(layer, { status: 'Already exists' });
        return { image };
    }
    // Before anything is fetched: what it says may be refused here.
    const raw = await pulledRecord(services, run.context, layerManifest(layer, run.wanted), run.importId);
    signal.throwIfAborted();
    const { uuid, digest, compression, uncompressedDigest } = layer;
    const held = await services.layers.fetch(
        {
            uuid,
            digest,
            ...(compression === undefined ? {} : { compression }),
            ...(uncompressedDigest === undefined ? {} : { uncompressedDigest }),
            open: (resume, aborted) =>
                registry.openBlob(digest, {
                    signal: aborted,
                    ...(resume === undefined ? {} : { resume }),
                }),
        },
        (progress) => lines.progress(layer, progress),
        signal,
    );
    return { layer, held, raw };
}

/** Lets go of layers that are not to become images now; a later pull finds their files. */
export function releaseLayers(found: readonly (FetchedLayer | PresentLayer | undefined)[]): void {
    for (const one of found) {
        if (one !== undefined && 'held' in one) {
            one.held.release();
        }
    }
}

/**
 * Fetches the files of all layers whose images are not here, in their order. The first that fails ends those
 * under way, and is the failure.
 *
 * @returns in the same order; to be let go of by {@link releaseLayers}
 * @throws ApiError, OutgoingError; the reason of the signal
 */
export async function fetchLayers(
    run: PullRun,
    layers: readonly DockerLayer[],
): Promise<readonly (FetchedLayer | PresentLayer)[]> {
    const failed = new AbortController();
    const signal = AbortSignal.any([run.context.signal, failed.signal]);
    const found = layers.map((): FetchedLayer | PresentLayer | undefined => undefined);
    try {
        await forEachParallel(layers.entries(), MAX_LAYERS, async ([at, layer]) => {
            try {
                found[at] = await fetchLayer(run, layer, signal);
            } catch (error) {
                if (failed.signal.aborted) {
                    run.lines.progress(layer, { status: 'Aborted' });
                }
                failed.abort(error);
                throw error;
            }
        });
    } catch (error) {
        releaseLayers(found);
        throw error;
    }
    return found.filter((one) => one !== undefined);
}
