import type { Config } from '../../base/config-types.js';
import { MAX_IMAGE_SIZE, MAX_IMAGE_SIZE_STR } from '../../base/constants.js';
import { ApiError, invalidParameter } from '../../base/errors.js';
import { OutgoingError } from '../../base/http-errors.js';
import { parseHttpUrl } from '../../base/http-urls.js';
import { isObject } from '../../manifest/coerce.js';
import type { LxdAlias, LxdImage } from '../../manifest/lxd/lxd-image.js';
import { invalidResponse } from '../../manifest/lxd/members.js';
import { findLxdImage } from '../../manifest/lxd/products.js';
import { INDEX_PATH, productsPath } from '../../manifest/lxd/streams-index.js';
import type { StreamsServer } from '../../remotes/simplestreams.js';
import type { RetryPolicy } from '../../transfers/retries.js';
import { retrying } from '../../transfers/retrying.js';
import { hostRefusal } from '../refused-host.js';
import { failsAsRemote } from '../remote-failure.js';

/**
 * The URL of a server of LXD images (jobs-and-imports 6). The configuration is not checked beforehand: what is
 * no URL there counts as missing.
 *
 * @throws 422 `InvalidParameter`
 */
export function registryUrl({ lxdRegistries }: Config, name: string): string {
    const entries = isObject(lxdRegistries) ? Object.entries(lxdRegistries) : [];
    const urls = new Map(entries.filter(([, url]) => typeof url === 'string' && parseHttpUrl(url)));
    const url = urls.get(name);
    if (url === undefined) {
        const valid = [...urls.keys()].join(', ');
        throw invalidParameter(`No registry found for "${name}" - valid registries are "${valid}"`, [
            { field: 'alias', code: 'Invalid' },
        ]);
    }
    return url;
}

/** A rejection handler for a document of a server. @throws ApiError; the reason of a signal as it is */
function failsAsDocument(what: string, missing: string): (error: unknown) => never {
    return (error) => {
        if (!(error instanceof OutgoingError)) {
            throw error;
        }
        if (error.kind === 'malformed') {
            throw invalidResponse(missing);
        }
        throw hostRefusal(error, 'alias') ?? failsAsRemote(`Unable to get ${what}`)(error);
    };
}

/** @throws 400 `ImageFileTooBig` */
function requireAllowedSizes({ version }: LxdImage): void {
    for (const { size } of version.files) {
        if (size > MAX_IMAGE_SIZE) {
            throw new ApiError(
                'ImageFileTooBig',
                `Image file size, ${size}, exceeds the max allowed file size, ${MAX_IMAGE_SIZE_STR}`,
            );
        }
    }
}

/**
 * The image that a server has under an alias, with files that are not too large (jobs-and-imports 6).
 *
 * @throws 400 `InvalidContent`, `ImageFileTooBig`, 404 `NotFound`, 422, 503 `RemoteSourceError`; the reason of
 * the signal
 */
export async function findRemoteImage(
    server: StreamsServer,
    { registry, name }: LxdAlias,
    retries: RetryPolicy,
    signal: AbortSignal,
): Promise<LxdImage> {
    const read = (path: string, what: string, missing: string): Promise<unknown> =>
        retrying(retries, signal, () => server.document(path, signal)).catch(
            failsAsDocument(`${what} of LXD registry "${registry}"`, missing),
        );
    const index = await read(INDEX_PATH, 'index', 'no index found');
    const image = findLxdImage(await read(productsPath(index), 'products', 'no products found'), name);
    requireAllowedSizes(image);
    return image;
}
