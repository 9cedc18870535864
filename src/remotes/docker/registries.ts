import type { OutgoingHttp, OutgoingTimeouts } from '../../base/http-client.js';
import type { OutgoingSettingsSource } from '../../base/http-peers.js';
import type { DockerRepository } from '../../manifest/docker/repository.js';
import type { DockerRegistries, RegistryRepository, RepositoryUse } from '../docker-registry.js';
import { HttpRegistryRepository } from './http-repository.js';
import { RegistrySession } from './registry-session.js';

/** Docker registries that are asked over HTTP. */
export class HttpDockerRegistries implements DockerRegistries {
    readonly #http: OutgoingHttp;
    readonly #config: OutgoingSettingsSource;
    readonly #timeouts: Partial<OutgoingTimeouts>;

    /** @param timeouts in place of those of all requests */
    constructor(
        http: OutgoingHttp,
        config: OutgoingSettingsSource,
        timeouts: Partial<OutgoingTimeouts> = {},
    ) {
        this.#http = http;
        this.#config = config;
        this.#timeouts = timeouts;
    }

    open(repository: DockerRepository, use: RepositoryUse): RegistryRepository {
        return new HttpRegistryRepository(
            new RegistrySession({
                http: this.#http,
                config: this.#config,
                repository,
                use,
                timeouts: this.#timeouts,
            }),
        );
    }
}
