import type { RegistryRepository } from '../../remotes/docker-registry.js';
import type { ImageServices, RequestContext } from '../context.js';
import type { PullLines } from './import-lines.js';
import type { WantedPull } from './import-request.js';

/** What the steps of one pull share. */
export interface PullRun {
    readonly services: ImageServices;
    /** Of the pull itself, for nobody in particular; its signal ends the pull. */
    readonly context: RequestContext;
    readonly wanted: WantedPull;
    readonly registry: RegistryRepository;
    readonly lines: PullLines;
    /** Marks the records that the pull has made and not activated yet. */
    readonly importId: string;
}
