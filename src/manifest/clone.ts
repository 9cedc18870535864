import { buildImage, type BuildOptions } from './build.js';
import { deepFreeze } from './freeze.js';
import type { Provenance } from './provenance.js';
import { toApiManifest } from './serialize.js';
import type { JsonObject, RawImage } from './types.js';

/** What a clone has of its own. */
export interface CloneFacts {
    readonly owner: string;
    /** The image it is an increment of; absent: none. */
    readonly origin?: string;
    readonly disabled: boolean;
}

/** Fields of the source's document that a clone does not take over (jobs-and-imports 4, manifest 7). */
const LEFT_OUT: readonly string[] = ['uuid', 'acl', 'origin', 'published_at', 'urn', 'icon', 'error'];

/**
 * The record of a clone before its activation, under a fresh uuid: private, with the entry of the
 * source's file, whose bytes it shares in the same storage (jobs-and-imports 4, 8.6).
 *
 * @throws 422 `ValidationFailed` for a source that no image could be made from today
 */
export function cloneRecord(source: RawImage, clone: CloneFacts, options: BuildOptions): RawImage {
    const { rules, now } = options;
    const document = toApiManifest(source, { mode: rules.mode, version2: true, inclAdminFields: false });
    const kept = Object.entries(document).filter(([key]) => !LEFT_OUT.includes(key));
    const data: JsonObject = { ...Object.fromEntries(kept), ...clone, public: false };
    const provenance: Provenance = {
        kind: 'clone',
        source_image: source.uuid,
        source_owner: source.owner,
        at: new Date(now).toISOString(),
    };
    return deepFreeze({
        ...buildImage('create', data, options),
        ...(source.files === undefined ? {} : { files: source.files }),
        x_imgapi: { provenance: { ...provenance } },
    });
}
