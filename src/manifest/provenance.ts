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

/** Who reads a provenance. */
export interface ProvenanceReader {
    /** `undefined`: an operator. */
    readonly account: string | undefined;
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

/** How much of an image's provenance a reader is shown (jobs-and-imports 8.6). */
export type ProvenanceView = 'none' | 'owner' | 'operator';

/** Operators are shown all there is, owners all but the address it came from, others nothing. */
export function provenanceView(raw: RawImage, { account }: ProvenanceReader): ProvenanceView {
    const isHidden = account !== undefined && account !== raw.owner;
    if (isHidden || provenanceOf(raw) === undefined) {
        return 'none';
    }
    return account === undefined ? 'operator' : 'owner';
}

/** Keys in the order of a document. */
const KEYS = ['kind', 'source_image', 'source_owner', 'source_datacenter', 'source_url', 'at'] as const;

/** The key `provenance` of a document; `undefined` when the reader is shown none. */
export function provenanceDocument(raw: RawImage, reader: ProvenanceReader): JsonObject | undefined {
    const view = provenanceView(raw, reader);
    const provenance = provenanceOf(raw);
    if (view === 'none' || provenance === undefined) {
        return undefined;
    }
    const shown = KEYS.filter((key) => key !== 'source_url' || view === 'operator')
        .map((key) => [key, provenance[key]] as const)
        .filter((entry): entry is [(typeof KEYS)[number], string] => typeof entry[1] === 'string');
    return Object.fromEntries(shown);
}
