import type { Test } from 'tap';
import type { Config } from '#lib/base/config-types.js';
import type { HttpClientOptions, OutgoingTimeouts } from '#lib/base/http-client.js';
import { OutgoingError } from '#lib/base/http-errors.js';
import { parseRepository, type DockerRepository } from '#lib/manifest/docker/repository.js';
import type { RegistryRepository, RepositoryUse } from '#lib/remotes/docker-registry.js';
import { HttpDockerRegistries } from '#lib/remotes/docker/registries.js';
import { makeClient } from './outgoing.js';

/** How a test asks a registry. */
export interface AskedRepository extends Partial<RepositoryUse> {
    /** Default: `a/b`. */
    readonly name?: string;
    /** What is different from what the URL says. */
    readonly facts?: Partial<DockerRepository>;
    readonly config?: Partial<Config>;
    /** What the registry's part sees instead of `config`. */
    readonly seenConfig?: Partial<Config>;
    readonly timeouts?: Partial<OutgoingTimeouts>;
    readonly client?: Omit<HttpClientOptions, 'config'>;
}

/** The repository of a registry at a URL, through a client that is closed with the test. */
export function repositoryAt(t: Test, url: string, asked: AskedRepository = {}): RegistryRepository {
    const { name = 'a/b', facts, config = {}, timeouts, credentials } = asked;
    const { scope = 'pull', supplier = 'operator' } = asked;
    const { client } = makeClient(t, config, asked.client);
    const current = { maxSockets: 100, serverName: 'IMGAPI/9', ...(asked.seenConfig ?? config) };
    const registries = new HttpDockerRegistries(() => Promise.resolve(client), { current }, timeouts);
    const repository = { ...parseRepository(`${url}/${name}`), ...facts };
    return registries.open(repository, {
        scope,
        supplier,
        ...(credentials === undefined ? {} : { credentials }),
    });
}

/** A request that nobody gives up. */
export function unending(): { readonly signal: AbortSignal } {
    return { signal: new AbortController().signal };
}

/** How a request that must fail does so. */
export async function failureOf(work: Promise<unknown>): Promise<OutgoingError> {
    const error: unknown = await work.then(
        () => new Error('it did not fail'),
        (thrown: unknown) => thrown,
    );
    if (error instanceof OutgoingError) return error;
    throw error;
}
