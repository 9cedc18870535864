import type Logger from 'bunyan';
import { ApiError } from '../../base/errors.js';
import { isObject } from '../../manifest/coerce.js';
import type { DockerRepository } from '../../manifest/docker/repository.js';
import type { RegistryCredentials } from '../../remotes/docker-registry.js';
import type { ImageServices, RequestContext } from '../context.js';

/** The headers by which a caller tells who it is to registries, as they came; absent: not sent. */
export interface RegistryHeaders {
    /** `x-registry-auth`: base64 of JSON, an auth object. */
    readonly auth?: string;
    /** `x-registry-config`: base64 of JSON, auth objects by registry. */
    readonly config?: string;
}

/** The name Docker's clients had for its registry in their settings. */
const LEGACY_HUB = 'https://index.docker.io/v1/';

type Auth = Readonly<Record<string, unknown>>;

/** An object in a header; one that cannot be decoded counts for nothing, and is never shown. */
function decode(header: string | undefined, name: string, log: Logger): Auth | undefined {
    if (header === undefined || header === '') {
        return undefined;
    }
    try {
        const value: unknown = JSON.parse(Buffer.from(header, 'base64').toString());
        if (isObject(value)) {
            return value;
        }
    } catch {
        // The parser's message quotes what it has read.
    }
    log.warn(`header "${name}" is ignored: it is not base64 of a JSON object`);
    return undefined;
}

function ofRegistry(config: Auth | undefined, registry: string): Auth | undefined {
    const names = registry === 'docker.io' ? [registry, LEGACY_HUB] : [registry];
    const name = names.find((one) => config !== undefined && Object.hasOwn(config, one));
    const found = name === undefined ? undefined : config?.[name];
    return isObject(found) ? found : undefined;
}

function textIn(auth: Auth, key: string): string {
    const value = auth[key];
    return typeof value === 'string' ? value : '';
}

/** What an auth object says; `undefined`: nothing, as the one of a client that is not logged in. */
function credentialsIn(auth: Auth | undefined): RegistryCredentials | undefined {
    if (auth === undefined) {
        return undefined;
    }
    const identityToken = textIn(auth, 'identitytoken');
    if (identityToken !== '') {
        return { identityToken };
    }
    const [username, password] = [textIn(auth, 'username'), textIn(auth, 'password')];
    return username === '' && password === '' ? undefined : { username, password };
}

/**
 * Who asks a registry, as the headers of a request say (jobs-and-imports 5.1).
 *
 * @returns `undefined`: nobody in particular
 * @throws 400 `NotImplemented` for an identity token, unless the configuration has them used
 */
export function registryCredentials(
    { config }: Pick<ImageServices, 'config'>,
    { log }: Pick<RequestContext, 'log'>,
    headers: RegistryHeaders,
    { registry }: Pick<DockerRepository, 'registry'>,
): RegistryCredentials | undefined {
    const credentials =
        credentialsIn(decode(headers.auth, 'x-registry-auth', log)) ??
        credentialsIn(ofRegistry(decode(headers.config, 'x-registry-config', log), registry));
    if (credentials !== undefined && 'identityToken' in credentials && !config.current.dockerIdentityToken) {
        throw new ApiError(
            'NotImplemented',
            'OAuth to Docker registry is not yet supported, please "docker logout" and "docker login" and try again',
        );
    }
    return credentials;
}
