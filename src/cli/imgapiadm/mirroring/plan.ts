import { changedFields } from '../../../manifest/copied-fields.js';
import { sha1OfFirstFile } from '../../../manifest/document-files.js';
import type { JsonObject } from '../../../manifest/types.js';
import type { ImageDocument } from '../../../remotes/imgapi/answers.js';
import { isUsable } from './selection.js';

/**
 * What there is to do for an image of the source:
 * - `import`: it is not here;
 * - `update`: `fields` are not as they are there;
 * - `nothing`: it is here as it is there;
 * - `differs`: it is here with another file.
 */
export type Need =
    | { readonly kind: 'import' | 'nothing' | 'differs' }
    | { readonly kind: 'update'; readonly fields: JsonObject };

/** Who may use an image here is for those here to say. */
const OWN_FIELDS: ReadonlySet<string> = new Set(['acl']);

/** @param here the image as it is here; `undefined`: it is not */
export function needOf(image: ImageDocument, here: ImageDocument | undefined): Need {
    // One that is not activated may be left by a copy that broke off: to copy it again goes on with that.
    if (here === undefined || !isUsable(here)) {
        return { kind: 'import' };
    }
    if (sha1OfFirstFile(here) !== sha1OfFirstFile(image)) {
        return { kind: 'differs' };
    }
    const changed = Object.entries(changedFields(here, image)).filter(([field]) => !OWN_FIELDS.has(field));
    return changed.length === 0
        ? { kind: 'nothing' }
        : { kind: 'update', fields: Object.fromEntries(changed) };
}

/** Where an image here was copied from; empty: not known. */
export function sourceUrlOf({ provenance }: ImageDocument): string {
    const url =
        typeof provenance === 'object' && provenance !== null && !Array.isArray(provenance)
            ? (provenance as JsonObject)['source_url']
            : undefined;
    return typeof url === 'string' ? url : '';
}
