import type { JsonObject, JsonValue, RawImage } from './types.js';

/** Where an image came from, kept as `x_imgapi.provenance` (jobs-and-imports 8.6). */
export interface Provenance {
    readonly kind: 'clone' | 'copy' | 'import';
    /** The image it was made from. */
    readonly source_image: string;
    readonly source_owner?: string;
    readonly source_datacenter?: string;
    /** Without user info; shown to operators only. */
    readonly source_url?: string;
    /** ISO date. */
    readonly at: string;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The provenance of an image; `undefined` when it has none that can be used. */
export function provenanceOf(raw: RawImage): Provenance | undefined {
    const provenance = raw.x_imgapi?.['provenance'];
    if (!isObject(provenance)) {
        return undefined;
    }
    const { kind, source_image: sourceImage, at } = provenance;
    const isUsable =
        (kind === 'clone' || kind === 'copy' || kind === 'import') &&
        typeof sourceImage === 'string' &&
        typeof at === 'string';
    return isUsable ? (provenance as unknown as Provenance) : undefined;
}
