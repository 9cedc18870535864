import { isDigest, isTag } from './tag-and-digest.js';

/** A repository of Docker images, as a name such as `busybox` or `quay.io/a/b` means it (jobs-and-imports 5.1). */
export interface DockerRepository {
    /** `docker.io`, or the host as given, with its port. */
    readonly registry: string;
    /** In URLs: `library/busybox`, `a/b`. */
    readonly remoteName: string;
    /** In messages and in the tag `docker:repo`: `busybox`, `quay.io/a/b`. */
    readonly localName: string;
    /** The `id` of message lines: `docker.io/busybox`, `quay.io/a/b`. */
    readonly canonicalName: string;
    /** Of the registry, without a trailing slash: `https://registry-1.docker.io`. */
    readonly baseUrl: string;
    /** Whether the name began with `http://` or `https://`. */
    readonly isSchemeGiven: boolean;
}

/** A name as it is pushed to: a repository and where in it (jobs-and-imports 5.6). */
export interface DockerReference {
    readonly repository: DockerRepository;
    readonly tag?: string;
    readonly digest?: string;
    /** What to name in URLs: the digest, else the tag, else `latest`. */
    readonly reference: string;
}

/** The text is no name of a repository; the message says why, without user info. */
export class RepositoryNameError extends Error {
    override readonly name = 'RepositoryNameError';

    constructor(what: string, shown?: string) {
        super(shown === undefined ? what : `${what}: ${shown.slice(0, MAX_SHOWN)}`);
    }
}

/** Most of a name that a message repeats, characters. */
const MAX_SHOWN = 255;
/** Longest name of a registry, and of a repository in it, characters. */
const MAX_NAME = 255;

const DEFAULT_REGISTRY = 'docker.io';
const DEFAULT_BASE_URL = 'https://registry-1.docker.io';
const DEFAULT_NAMESPACE = 'library/';
const DEFAULT_TAG = 'latest';

const SCHEME_RE = /^([a-z][a-z0-9+.-]*):\/\//i;
const CHARACTERS_RE = /^[a-z0-9_/.-]*$/;
/** A component of a name: so neither `.` nor `..`, nor anything else a path gives a meaning to. */
const COMPONENT_RE = /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*$/;
/** A host name, an IPv4 address or an IPv6 address in brackets, perhaps with a port. */
const HOST_RE =
    /^(?:[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;
/** Hosts that are spoken to in plain HTTP unless a scheme is given. */
const PLAIN_HOST_RE = /^(?:localhost|127\.0\.0\.1)(?::\d+)?$/i;

function invalidName(why: string, shown?: string): RepositoryNameError {
    return new RepositoryNameError(`invalid repository name, ${why}`, shown);
}

function cutScheme(text: string): { readonly scheme?: string; readonly rest: string } {
    const scheme = SCHEME_RE.exec(text)?.[1]?.toLowerCase();
    if (scheme === undefined) {
        return { rest: text };
    }
    if (scheme !== 'http' && scheme !== 'https') {
        throw invalidName('may only begin with http:// or https://, not', `${scheme}://`);
    }
    return { scheme, rest: text.slice(scheme.length + '://'.length) };
}

/** Splits off the host. A name with a scheme is a URL, so that it always has one. */
function cutHost(text: string, isUrl: boolean): { readonly host?: string; readonly name: string } {
    const end = text.indexOf('/');
    const first = text.slice(0, Math.max(end, 0));
    const isHost = end !== -1 && (isUrl || /[.:]/.test(first) || first.toLowerCase() === 'localhost');
    if (isUrl && end === -1) {
        throw invalidName('there is only a host in the URL');
    }
    return isHost ? { host: first, name: text.slice(end + 1) } : { name: text };
}

function checkHost(host: string): void {
    if (host.includes('@')) {
        throw invalidName('may not contain user info');
    }
    if (host.length > MAX_NAME || !HOST_RE.test(host) || !URL.canParse(`https://${host}/`)) {
        throw invalidName('bad host', host);
    }
}

function checkName(name: string): void {
    if (name === '') {
        throw invalidName('may not be empty');
    }
    if (!CHARACTERS_RE.test(name)) {
        // What looks like a password in front of a host must not be repeated.
        const shown = name.includes('@') && !/^[^:@]*@/.test(name) ? name.replace(/^.*@/s, '***@') : name;
        throw invalidName('may only contain [a-z0-9_/.-] characters', shown);
    }
    const components = name.split('/');
    if (components.includes('')) {
        throw invalidName('may not begin or end with a slash or have two in a row', name);
    }
    if (!components.every((component) => COMPONENT_RE.test(component))) {
        throw invalidName(
            'components may only have single separators (".", "_", "__" or hyphens) between letters and digits',
            name,
        );
    }
}

function checkLength(remoteName: string): void {
    if (remoteName.length > MAX_NAME) {
        throw invalidName(`may not have more than ${MAX_NAME} characters`, remoteName);
    }
}

/** A repository of the registry that needs no name. */
function inDefaultRegistry(name: string, scheme: string | undefined): DockerRepository {
    if (scheme === 'http') {
        throw invalidName(`${DEFAULT_REGISTRY} is not asked without encryption`);
    }
    const remoteName = name.includes('/') ? name : `${DEFAULT_NAMESPACE}${name}`;
    const isOfficial = remoteName.lastIndexOf('/') === DEFAULT_NAMESPACE.length - 1;
    const localName =
        isOfficial && remoteName.startsWith(DEFAULT_NAMESPACE)
            ? remoteName.slice(DEFAULT_NAMESPACE.length)
            : name;
    return {
        registry: DEFAULT_REGISTRY,
        remoteName,
        localName,
        canonicalName: `${DEFAULT_REGISTRY}/${localName}`,
        baseUrl: DEFAULT_BASE_URL,
        isSchemeGiven: scheme !== undefined,
    };
}

function inOtherRegistry(host: string, name: string, scheme: string | undefined): DockerRepository {
    const canonicalName = `${host}/${name}`;
    return {
        registry: host,
        remoteName: name,
        localName: canonicalName,
        canonicalName,
        baseUrl: `${scheme ?? (PLAIN_HOST_RE.test(host) ? 'http' : 'https')}://${host}`,
        isSchemeGiven: scheme !== undefined,
    };
}

/**
 * Reads the name of a repository (jobs-and-imports 5.1).
 *
 * @throws RepositoryNameError
 * @example parseRepository('busybox').canonicalName === 'docker.io/busybox'
 */
export function parseRepository(text: string): DockerRepository {
    const { scheme, rest } = cutScheme(text);
    const { host, name } = cutHost(rest, scheme !== undefined);
    if (host !== undefined) {
        checkHost(host);
    }
    checkName(name);
    const isDefault =
        host === undefined || [DEFAULT_REGISTRY, `index.${DEFAULT_REGISTRY}`].includes(host.toLowerCase());
    const repository = isDefault ? inDefaultRegistry(name, scheme) : inOtherRegistry(host, name, scheme);
    checkLength(repository.remoteName);
    return repository;
}

/**
 * Reads `<repository>`, `<repository>:<tag>`, `<repository>@<digest>` or both (jobs-and-imports 5.6).
 *
 * @throws RepositoryNameError
 */
export function parseReference(repoAndTag: string): DockerReference {
    // One in front of a slash ends user info, which the name of a repository cannot have.
    const at = repoAndTag.indexOf('@', repoAndTag.lastIndexOf('/') + 1);
    const named = at === -1 ? repoAndTag : repoAndTag.slice(0, at);
    const digest = at === -1 ? undefined : repoAndTag.slice(at + 1);
    const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
    const tag = colon === -1 ? undefined : named.slice(colon + 1);
    if (digest !== undefined && !isDigest(digest)) {
        throw new RepositoryNameError('invalid digest, must be "sha256:" and 64 hexadecimal digits', digest);
    }
    if (tag !== undefined && !isTag(tag)) {
        throw new RepositoryNameError('invalid tag, may only have 128 [A-Za-z0-9_.-] characters', tag);
    }
    return {
        repository: parseRepository(colon === -1 ? named : named.slice(0, colon)),
        ...(tag === undefined ? {} : { tag }),
        ...(digest === undefined ? {} : { digest }),
        reference: digest ?? tag ?? DEFAULT_TAG,
    };
}
