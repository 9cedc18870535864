import { isObject } from '../../../manifest/coerce.js';
import { sameValue } from '../../../manifest/copied-fields.js';
import { readOldFormats } from '../../../manifest/old-formats.js';
import { toApiManifest } from '../../../manifest/serialize.js';
import type { JsonObject, JsonValue, RawImage } from '../../../manifest/types.js';

/** The form that shows most. */
const FORM = { mode: 'private', version2: true, inclAdminFields: true } as const;

/** What only operators of a server see, so that a manifest without it need not be of an image without it. */
const NOT_ALWAYS_SHOWN: ReadonlySet<string> = new Set(['acl', 'channels']);

/** Of the server that was asked, not of the image. */
const NOT_COMPARED: ReadonlySet<string> = new Set(['provenance', 'share']);

/** A manifest in the form in which any two can be compared. */
export interface ComparableManifest {
    readonly uuid: string;
    readonly document: JsonObject;
    /** Whether it comes from a server that may not show everything. */
    readonly isPartial: boolean;
}

/** How a field of an image differs; absent: it is not there. */
export interface FieldDifference {
    readonly a?: JsonValue;
    readonly b?: JsonValue;
}

/** Only records have it; servers show `state` in its place. */
function isRecord(data: Readonly<Record<string, unknown>>): boolean {
    return 'activated' in data;
}

/**
 * Reads a record, of any age, or a manifest as a server sends it.
 *
 * @returns undefined: it is neither
 */
export function comparableManifest(data: unknown, isPartial: boolean): ComparableManifest | undefined {
    if (!isObject(data) || typeof data['uuid'] !== 'string') {
        return undefined;
    }
    const { uuid } = data;
    if (!isRecord(data)) {
        return { uuid, document: data as JsonObject, isPartial };
    }
    try {
        const current = readOldFormats({ ...data }) as unknown as RawImage;
        return { uuid, document: toApiManifest(current, FORM), isPartial };
    } catch {
        // Of a form that no server reads.
        return undefined;
    }
}

function withoutStor(files: JsonValue | undefined): JsonValue | undefined {
    return Array.isArray(files)
        ? files.map((file) =>
              isObject(file)
                  ? (Object.fromEntries(Object.entries(file).filter(([key]) => key !== 'stor')) as JsonObject)
                  : (file as JsonValue),
          )
        : files;
}

function showsStor({ document: { files } }: ComparableManifest): boolean {
    return Array.isArray(files) && files.some((file) => isObject(file) && 'stor' in file);
}

function isHidden(field: string, { document, isPartial }: ComparableManifest): boolean {
    return isPartial && NOT_ALWAYS_SHOWN.has(field) && document[field] === undefined;
}

/** How two manifests of an image differ, by field; what one of two servers does not show is no difference. */
export function differences(
    a: ComparableManifest,
    b: ComparableManifest,
    ignored: ReadonlySet<string>,
): ReadonlyMap<string, FieldDifference> {
    const bothShowStor = showsStor(a) && showsStor(b);
    const valueOf = (side: ComparableManifest, field: string): JsonValue | undefined =>
        field === 'files' && !bothShowStor ? withoutStor(side.document[field]) : side.document[field];
    const fields = new Set([...Object.keys(a.document), ...Object.keys(b.document)]);
    const found = new Map<string, FieldDifference>();
    for (const field of fields) {
        const [left, right] = [valueOf(a, field), valueOf(b, field)];
        if (
            !NOT_COMPARED.has(field) &&
            !ignored.has(field) &&
            !isHidden(field, a) &&
            !isHidden(field, b) &&
            !sameValue(field, left, right)
        ) {
            found.set(field, {
                ...(left === undefined ? {} : { a: left }),
                ...(right === undefined ? {} : { b: right }),
            });
        }
    }
    return found;
}
