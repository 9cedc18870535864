import { ApiError, internalError } from '../../base/errors.js';
import { newUuid } from '../../base/uuid.js';
import type { TellingWork } from '../../base/work-lines.js';
import type { LxdAlias, LxdImage } from '../../manifest/lxd/lxd-image.js';
import { lxdManifest } from '../../manifest/lxd/lxd-manifest.js';
import type { RawImage } from '../../manifest/types.js';
import { clearWay } from '../clear-way.js';
import type { ImageServices, RequestContext } from '../context.js';
import { finishImport } from '../finish-import.js';
import { ownContextInChannel } from '../own-context.js';
import { pulledRecord } from '../pulled-record.js';
import { toldWork } from '../told-work.js';
import { fetchFiles } from './fetch-files.js';
import { findRemoteImage, registryUrl } from './find-image.js';
import { LXD_RULES, type LxdImport, type LxdRules } from './import-run.js';
import { type LxdLine, LxdLines } from './lxd-lines.js';

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
    const isPublic = services.config.current.mode === 'public';
    const raw = await pulledRecord(
        services,
        context,
        lxdManifest(image, alias.registry, isPublic),
        newUuid(),
    );
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
        await importImage({
            services,
            context: ownContextInChannel(told),
            alias,
            server: services.streamsServers.at(registryUrl(services.config.current, alias.registry)),
            lines: new LxdLines(say, alias.text),
            rules,
        });
    });
}
