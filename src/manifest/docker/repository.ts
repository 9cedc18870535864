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
