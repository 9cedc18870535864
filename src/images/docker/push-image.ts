import { Readable } from 'node:stream';
import { ApiError } from '../../base/errors.js';
import { OutgoingError } from '../../base/http-errors.js';
import { forEachParallel } from '../../base/parallel.js';
import type { TellingWork } from '../../base/work-lines.js';
import { chainUuids } from '../../manifest/docker/image-layers.js';
import { type ImageManifest, manifestDigest } from '../../manifest/docker/image-manifest.js';
import {
    DOCKER_CONFIG_TYPE,
    DOCKER_MANIFEST_TYPE,
    MANIFEST_TYPES,
} from '../../manifest/docker/media-types.js';
import { REQUEST_RETRIES } from '../../transfers/retries.js';
import { retrying } from '../../transfers/retrying.js';
import type { ImageServices, RequestContext } from '../context.js';
import { toldWork } from '../told-work.js';
import { configBytes } from './push-config.js';
import { pushLayer, type PushRun } from './push-layer.js';
import { type PushLine, PushLines } from './push-lines.js';
import type { WantedPush } from './push-request.js';
import { registryFailure } from './registry-failure.js';

/** Layers that are sent at the same time. */
const MAX_LAYERS = 3;

const OCI_MANIFEST_TYPE = MANIFEST_TYPES[1];

/**
 * Whatever answers, but not as a registry does, is none. One that cannot be reached may be one, and one that
 * asks for what we have not is.
 */
function isNoRegistry(error: unknown): boolean {
    return (
        error instanceof OutgoingError &&
        ['status', 'malformed', 'too-large'].includes(error.kind) &&
        error.status !== 401
    );
}

/** @throws 501 `NotAvailable`; OutgoingError */
async function ping({ registry, repository, context }: PushRun): Promise<void> {
    try {
        await registry.ping({ signal: context.signal });
    } catch (error) {
        if (isNoRegistry(error)) {
            const message = `registry ${repository.registry} does not support v2`;
            throw new ApiError('NotAvailable', message, { cause: error });
        }
        throw error;
    }
}

/** The first that fails ends the others, and is the failure. */
async function pushLayers(run: PushRun, { manifest }: WantedPush): Promise<void> {
    const digests = manifest.layers.map(({ digest }) => digest);
    const uuids = chainUuids(digests);
    const layers = digests.map((digest, index) => ({ digest, uuid: uuids[index] ?? '' }));
    const failed = new AbortController();
    const signal = AbortSignal.any([run.context.signal, failed.signal]);
    const inner = { ...run, context: { ...run.context, signal } };
    await forEachParallel(layers, MAX_LAYERS, async (layer) => {
        signal.throwIfAborted();
        await pushLayer(inner, layer).catch((error: unknown) => {
            failed.abort(error);
            throw error;
        });
    });
}

async function pushConfig(run: PushRun, { config, configDigest }: WantedPush): Promise<void> {
    const { registry, context } = run;
    const { signal } = context;
    const bytes = configBytes(config, configDigest);
    await retrying(REQUEST_RETRIES, signal, async () => {
        if (!(await registry.hasBlob(configDigest, { signal }))) {
            const open = (): Promise<Readable> =>
                Promise.resolve(Readable.from([bytes], { objectMode: false }));
            const blob = { digest: configDigest, size: bytes.length, contentType: DOCKER_CONFIG_TYPE, open };
            await registry.putBlob(blob, { signal });
        }
    });
}

/** What a manifest is sent as: what it says of itself, else the kind whose config it has. */
function contentTypeOf({ mediaType, config }: ImageManifest): string {
    const own = [DOCKER_MANIFEST_TYPE, OCI_MANIFEST_TYPE].find((type) => type === mediaType);
    return own ?? (config.mediaType === DOCKER_CONFIG_TYPE ? DOCKER_MANIFEST_TYPE : OCI_MANIFEST_TYPE);
}

async function pushManifest(run: PushRun, wanted: WantedPush): Promise<void> {
    const { manifestBytes: bytes, manifest, target } = wanted;
    const { registry, context, lines } = run;
    const { signal } = context;
    const contentType = contentTypeOf(manifest);
    const named = await retrying(REQUEST_RETRIES, signal, () =>
        registry.putManifest(target.reference, bytes, contentType, { signal }),
    );
    lines.done(target.reference, named ?? manifestDigest(bytes, manifest), bytes.length);
}

async function push(run: PushRun, wanted: WantedPush): Promise<void> {
    await ping(run);
    await pushLayers(run, wanted);
    await pushConfig(run, wanted);
    await pushManifest(run, wanted);
}

/**
 * AdminPushDockerImage: puts an image into a repository of a registry, base layer first, and tells how it goes
 * (jobs-and-imports 5.6).
 *
 * @returns the work; it throws the ApiError for the last line
 */
export function pushImage(
    services: ImageServices,
    context: RequestContext,
    wanted: WantedPush,
): TellingWork<PushLine> {
    const { credentials, target } = wanted;
    const { repository } = target;
    const failureOf = (error: unknown): ApiError => registryFailure(error, 'repoAndTag');
    return toldWork(context, failureOf, async (say, told) => {
        const registry = services.registries.open(repository, {
            scope: 'push',
            supplier: told.account === undefined ? 'operator' : 'account',
            ...(credentials === undefined ? {} : { credentials }),
        });
        const lines = new PushLines(say, told.requestId);
        await push({ services, context: told, repository, registry, lines }, wanted);
    });
}
