import { ApiError, internalError } from '../../base/errors.js';
import { newUuid } from '../../base/uuid.js';
import type { TellingWork } from '../../base/work-lines.js';
import { buildImage } from '../../manifest/build.js';
import { deepFreeze } from '../../manifest/freeze.js';
import { withImportId } from '../../manifest/import-id.js';
import type { LxdAlias, LxdImage } from '../../manifest/lxd/lxd-image.js';
import { lxdManifest } from '../../manifest/lxd/lxd-manifest.js';
import type { RawImage } from '../../manifest/types.js';
import { clearWay } from '../clear-way.js';
import type { ImageServices, RequestContext } from '../context.js';
import { inSelectedChannel } from '../create-image.js';
import { finishImport } from '../finish-import.js';
import { withLocalOwner } from '../import-image.js';
import { ownContext } from '../own-context.js';
import { manifestRules } from '../rules.js';
import { toldWork } from '../told-work.js';
import { fetchFiles } from './fetch-files.js';
import { findRemoteImage, registryUrl } from './find-image.js';
import { LXD_RULES, type LxdImport, type LxdRules } from './import-run.js';
import { type LxdLine, LxdLines } from './lxd-lines.js';

/** The record of an image, marked as that of an import until it is activated. @throws 422 */
async function lxdRecord(run: LxdImport, image: LxdImage): Promise<RawImage> {
    const { services, context, alias } = run;
    const config = services.config.current;
    const manifest = lxdManifest(image, alias.registry, config.mode === 'public');
    const owned = await withLocalOwner(services, manifest, true);
    const raw = buildImage('import', inSelectedChannel(services, context, owned), {
        rules: manifestRules(config),
        lifespanDays: config.placeholderImageLifespanDays,
        now: services.clock.now(),
    });
    return deepFreeze({ ...raw, x_imgapi: withImportId(undefined, newUuid()) });
}

/** Makes the image, unless it is here; in its turn among the imports of this process. */
async function bringImage(run: LxdImport, raw: RawImage, image: LxdImage): Promise<void> {
    const { services, context, lines } = run;
    const { uuid } = raw;
    const isHere = async (): Promise<boolean> => (await clearWay(services, context, uuid)) !== undefined;
    if (await isHere()) {
        lines.status('Already exists');
        return;
    }
    const files = await fetchFiles(run, raw, image.version.files);
    try {
        await finishImport(services, context, raw, files, () => lines.status('Activating image'));
    } catch (error) {
        const isOvertaken = error instanceof ApiError && error.code === 'ImageUuidAlreadyExists';
        if (!isOvertaken || !(await isHere())) {
            throw error;
        }
        lines.status('Already exists');
        return;
    }
    lines.status('Pull complete');
}

/** @throws ApiError; the reason of the signal */
async function importImage(run: LxdImport): Promise<void> {
    const { services, context, alias, server, rules } = run;
    const image = await findRemoteImage(server, alias, rules.documentRetries, context.signal);
    const raw = await lxdRecord(run, image);
    await services.importQueue.runUnlessAborted(raw.uuid, context.signal, () => bringImage(run, raw, image));
}

/** What the last line says of a failure. */
function failureOf(error: unknown): ApiError {
    return error instanceof ApiError ? error : internalError('internal error', error);
}

/**
 * AdminImportLxdImage: brings an image of a server of LXD images here, and tells how it goes (jobs-and-imports
 * 6). What is not activated when it fails is taken back.
 *
 * @returns the work; it throws the ApiError for the last line
 */
export function importLxdImage(
    services: ImageServices,
    context: RequestContext,
    alias: LxdAlias,
    rules: LxdRules = LXD_RULES,
): TellingWork<LxdLine> {
    return toldWork(context, failureOf, async (say, told) => {
        const { channel } = told;
        const own = ownContext(told);
        await importImage({
            services,
            context: channel === undefined ? own : { ...own, channel },
            alias,
            server: services.streamsServers.at(registryUrl(services.config.current, alias.registry)),
            lines: new LxdLines(say, alias.text),
            rules,
        });
    });
}
