import { ApiError, type ErrorEntry, validationFailed } from '../../base/errors.js';
import { isUuid } from '../../base/uuid.js';
import { type ImageManifest, parseManifest } from '../../manifest/docker/image-manifest.js';
import {
    type DockerReference,
    parseReference,
    RepositoryNameError,
} from '../../manifest/docker/repository.js';
import { isDigest } from '../../manifest/docker/tag-and-digest.js';
import { nestingLevels } from '../../manifest/freeze.js';
import type { JsonObject, JsonValue, RawImage } from '../../manifest/types.js';
import type { RegistryCredentials } from '../../remotes/docker-registry.js';
import type { ImageServices, RequestContext } from '../context.js';
import { isJsonObject } from '../object-rule.js';
import { type RegistryHeaders, registryCredentials } from './registry-credentials.js';

/** What a caller says of a push. */
export interface PushInput {
    /** Where to; absent or empty: not said. */
    readonly repoAndTag: string | undefined;
    /** The body of the request: what the caller has kept of the import. */
    readonly body: JsonValue | undefined;
    readonly headers: RegistryHeaders;
}

/** A push that can begin. */
export interface WantedPush {
    readonly target: DockerReference;
    readonly credentials?: RegistryCredentials;
    readonly manifest: ImageManifest;
    /** As they are sent: every one of them counts for the digest. */
    readonly manifestBytes: Buffer;
    readonly config: JsonObject;
    readonly configDigest: string;
}

/** A field of the body. */
interface Field {
    readonly field: string;
    readonly isRight: (value: JsonValue) => boolean;
    /** What is wrong with one that is not right. */
    readonly wrong: string;
}

/** Deepest nesting of a config; it is written out again, which takes stack for every level. */
const MAX_NESTING = 256;

const FIELDS: readonly Field[] = [
    { field: 'image_uuid', isRight: isUuid, wrong: 'not a UUID' },
    { field: 'config_digest', isRight: isDigest, wrong: 'not a digest: "sha256:" and 64 hexadecimal digits' },
    {
        field: 'image',
        isRight: (value) => isJsonObject(value) && nestingLevels(value, MAX_NESTING + 1) <= MAX_NESTING,
        wrong: 'not an object of modest depth',
    },
    { field: 'manifest_str', isRight: (value) => typeof value === 'string', wrong: 'not a string' },
];

function missing(field: string): ErrorEntry {
    return { field, code: 'MissingParameter' };
}

function invalid(field: string, message: string): ApiError {
    return validationFailed(message, [{ field, code: 'Invalid' }]);
}

function isAbsent(value: JsonValue | undefined): boolean {
    return value === undefined || value === null || value === '';
}

/** Everything that has to be there at all. @throws 422 `ValidationFailed` */
function requirePresent({ repoAndTag, body }: PushInput): {
    readonly name: string;
    readonly record: JsonObject;
} {
    if (!isAbsent(body) && !isJsonObject(body)) {
        throw invalid('body', 'invalid request body: not a JSON object');
    }
    const record = isJsonObject(body) ? body : undefined;
    const fields = record === undefined ? ['body'] : FIELDS.map(({ field }) => field);
    const absent = fields.filter((field) => isAbsent(record?.[field]));
    if (repoAndTag === undefined || repoAndTag === '' || record === undefined || absent.length > 0) {
        const all = [...(isAbsent(repoAndTag) ? ['repoAndTag'] : []), ...absent];
        throw validationFailed('missing parameters', all.map(missing));
    }
    return { name: repoAndTag, record };
}

/** @throws 422 `ValidationFailed` */
function requireTypes(record: JsonObject): void {
    const errors = FIELDS.flatMap(({ field, isRight, wrong }): ErrorEntry[] =>
        isRight(record[field] ?? null) ? [] : [{ field, code: 'Invalid', message: wrong }],
    );
    if (errors.length > 0) {
        throw validationFailed('invalid parameters', errors);
    }
}

/** @throws 422 `ValidationFailed` */
function requireReference(repoAndTag: string): DockerReference {
    try {
        return parseReference(repoAndTag);
    } catch (error) {
        throw error instanceof RepositoryNameError ? invalid('repoAndTag', error.message) : error;
    }
}

/** @throws 422 `ValidationFailed` */
function requireManifest(text: string, { repository, digest, reference }: DockerReference): ImageManifest {
    try {
        JSON.parse(text);
    } catch {
        throw invalid('manifest_str', 'JSON parse of manifest_str failed');
    }
    try {
        const subject = `${repository.localName}${digest === undefined ? ':' : '@'}${reference}`;
        const manifest = parseManifest(Buffer.from(text), undefined, subject);
        if (manifest.kind === 'image') {
            return manifest;
        }
    } catch (error) {
        throw error instanceof ApiError ? invalid('manifest_str', error.message) : error;
    }
    throw invalid('manifest_str', 'manifest_str is not the manifest of an image');
}

/**
 * Everything that can be refused before a push begins (jobs-and-imports 5.6).
 *
 * @throws 400 `NotImplemented`, 422 `ValidationFailed`
 */
export function requirePush(
    services: Pick<ImageServices, 'config'>,
    context: Pick<RequestContext, 'log'>,
    { type }: Pick<RawImage, 'type'>,
    input: PushInput,
): WantedPush {
    if (type !== 'docker') {
        throw invalid('type', 'image is not a docker image');
    }
    const { name, record } = requirePresent(input);
    requireTypes(record);
    const target = requireReference(name);
    const manifestText = record['manifest_str'] as string;
    const manifest = requireManifest(manifestText, target);
    const credentials = registryCredentials(services, context, input.headers, target.repository);
    return {
        target,
        ...(credentials === undefined ? {} : { credentials }),
        manifest,
        manifestBytes: Buffer.from(manifestText),
        config: record['image'] as JsonObject,
        configDigest: record['config_digest'] as string,
    };
}
