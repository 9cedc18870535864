import { type ErrorEntry, operatorOnly, validationFailed } from '../../base/errors.js';
import {
    type DockerRepository,
    parseRepository,
    RepositoryNameError,
} from '../../manifest/docker/repository.js';
import { isDigest, isTag } from '../../manifest/docker/tag-and-digest.js';
import { NO_PRIVATE_IMAGES, NO_PUBLIC_IMAGES } from '../../manifest/rules-basic.js';
import type { RegistryCredentials } from '../../remotes/docker-registry.js';
import type { ImageServices, RequestContext } from '../context.js';
import { type RegistryHeaders, registryCredentials } from './registry-credentials.js';

/** What a caller says of a pull; texts that are absent or empty are not said. */
export interface PullInput {
    readonly repo: string | undefined;
    readonly tag: string | undefined;
    readonly digest: string | undefined;
    readonly headers: RegistryHeaders;
    /** Reads `public` when its turn comes; may throw 422. `undefined`: not said. */
    readonly isPublic: () => boolean | undefined;
}

/** A pull that can begin. */
export interface WantedPull {
    readonly repository: DockerRepository;
    /** Tag or digest. */
    readonly reference: string;
    readonly credentials?: RegistryCredentials;
    /** Whether the images that are made are public. */
    readonly isPublic: boolean;
}

const NEITHER = 'one of "tag" or "digest" is required';
const BOTH = 'cannot specify both "tag" and "digest"';

/** Everything that has to be there, once. @throws 422 `ValidationFailed` */
function requireParameters({ repo, tag, digest }: PullInput): {
    readonly repo: string;
    readonly reference: string;
} {
    const entries: ErrorEntry[] = [];
    if (repo === undefined) {
        entries.push({ field: 'repo', code: 'MissingParameter' });
    }
    if (tag === undefined && digest === undefined) {
        entries.push({ field: 'tag', code: 'MissingParameter', message: NEITHER });
    }
    if (tag !== undefined && digest !== undefined) {
        entries.push({ field: 'digest', code: 'Invalid', message: BOTH });
    }
    if (entries.length > 0) {
        throw validationFailed('missing parameters', entries);
    }
    return { repo: repo ?? '', reference: digest ?? tag ?? '' };
}

/** @throws 422 `ValidationFailed` */
function requireRepository(repo: string): DockerRepository {
    try {
        return parseRepository(repo);
    } catch (error) {
        if (error instanceof RepositoryNameError) {
            throw validationFailed(error.message, [{ field: 'repo', code: 'Invalid' }]);
        }
        throw error;
    }
}

/** Both become parts of paths. @throws 422 `ValidationFailed` */
function requireReference({ tag, digest }: PullInput): void {
    if (tag !== undefined && !isTag(tag)) {
        throw validationFailed('invalid tag, may only have 128 [A-Za-z0-9_.-] characters', [
            { field: 'tag', code: 'Invalid' },
        ]);
    }
    if (digest !== undefined && !isDigest(digest)) {
        throw validationFailed('invalid digest, must be "sha256:" and 64 hexadecimal digits', [
            { field: 'digest', code: 'Invalid' },
        ]);
    }
}

/** Unless it is said, images are public where they can be (manifest 3.3). @throws 422 `ValidationFailed` */
function requirePublic({ config }: ImageServices, given: boolean | undefined): boolean {
    const { mode } = config.current;
    if (mode === 'dc') {
        return given ?? true;
    }
    const isPublic = mode === 'public';
    if (given === !isPublic) {
        const message = isPublic ? NO_PRIVATE_IMAGES : NO_PUBLIC_IMAGES;
        throw validationFailed('invalid image data: public', [{ field: 'public', code: 'Invalid', message }]);
    }
    return isPublic;
}

/**
 * Checks what can be checked before a registry is asked (jobs-and-imports 5.1).
 *
 * @throws 400 `NotImplemented`, 403 `OperatorOnly`, 422
 */
export function requirePull(services: ImageServices, context: RequestContext, input: PullInput): WantedPull {
    if (context.account !== undefined) {
        throw operatorOnly();
    }
    const { repo, reference } = requireParameters(input);
    const repository = requireRepository(repo);
    requireReference(input);
    const credentials = registryCredentials(services, context, input.headers, repository);
    return {
        repository,
        reference,
        isPublic: requirePublic(services, input.isPublic()),
        ...(credentials === undefined ? {} : { credentials }),
    };
}
