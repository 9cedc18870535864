import type { ServerMode } from '../base/constants.js';
import { toBoolean, toNumber } from './coerce.js';
import { type FieldName, fieldsByRank, type NamedField } from './fields.js';
import { type ProvenanceReader, provenanceDocument } from './provenance.js';
import { type ShareReader, shareDocument } from './share.js';
import type { ImageFile, JsonObject, JsonValue, RawImage } from './types.js';

/** Which document of an image is meant. */
export interface DocumentForm {
    readonly mode: ServerMode;
    /** Whether `channels` is shown (manifest 7.2). */
    readonly version2: boolean;
    /** Whether `files[].stor` is shown. */
    readonly inclAdminFields: boolean;
    /** Who is shown where an image came from; absent: nobody. */
    readonly provenance?: ProvenanceReader;
    /** Who is shown what is shared with it; absent: nobody. */
    readonly share?: ShareReader;
}

type Values = Readonly<Record<string, JsonValue | undefined>>;

/** In the order of manifest 7.1, row 12: the first three always, the rest if set. */
const OPTIONAL_FILE_FIELDS = ['dataset_guid', 'digest', 'uncompressedDigest'] as const;

/** Digest that old records of uncompressed Docker layers hold instead of none (M12). */
const NO_DIGEST = 'sha256:undefined';

function fileDocument(file: ImageFile, inclAdminFields: boolean): JsonObject {
    const document: Record<string, JsonValue> = {
        sha1: file.sha1,
        size: file.size,
        compression: file.compression,
    };
    for (const key of OPTIONAL_FILE_FIELDS) {
        const value = file[key];
        if (value && value !== NO_DIGEST) {
            document[key] = value;
        }
    }
    if (inclAdminFields && file.stor) {
        document.stor = file.stor;
    }
    return document;
}

/** Fields whose form in a document is not the stored one. */
const CONVERSIONS: Readonly<
    Partial<Record<FieldName, (raw: RawImage, form: DocumentForm) => JsonValue | undefined>>
> = {
    v: ({ v }) => toNumber(v),
    disabled: ({ disabled }) => toBoolean(disabled) ?? false,
    public: (raw) => toBoolean(raw.public) ?? false,
    generate_passwords: (raw) => toBoolean(raw.generate_passwords),
    files: ({ files = [] }, { inclAdminFields }) => files.map((file) => fileDocument(file, inclAdminFields)),
    icon: ({ icon }) => Boolean(icon),
    tags: ({ tagsObj }) => tagsObj,
};

function isFilled(value: JsonValue | undefined): boolean {
    if (Array.isArray(value)) {
        return value.length > 0;
    }
    return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}

function isEmitted(
    field: NamedField,
    value: JsonValue | undefined,
    raw: RawImage,
    form: DocumentForm,
): boolean {
    switch (field.emitted?.when) {
        case undefined:
            return false;
        case 'always':
        case 'defined':
            return value !== undefined;
        case 'truthy':
            return Boolean(value);
        case 'known':
            return value !== 'null';
        case 'filled':
            return isFilled(value);
        case 'notPublicMode':
            return form.mode !== 'public' && isFilled(value);
        case 'failed':
            return raw.state === 'failed' && Boolean(value);
        case 'version2':
            return form.version2 && Boolean(value);
    }
}

/** The keys behind all others, which only those see who ask for them (README, keys after M 7.1 #32). */
function keysOnRequest(raw: RawImage, form: DocumentForm): JsonObject {
    const provenance = form.provenance && provenanceDocument(raw, form.provenance);
    const share = form.share && shareDocument(raw, form.share);
    return {
        ...(provenance === undefined ? {} : { provenance }),
        ...(share === undefined ? {} : { share }),
    };
}

const EMITTED = fieldsByRank(({ emitted }) => emitted?.rank);

/**
 * The document of an image as clients see it (manifest 7.1). The order of keys is part of the
 * contract: the Etag is a hash of the text.
 */
export function toApiManifest(raw: RawImage, form: DocumentForm): JsonObject {
    const document: Record<string, JsonValue> = {};
    for (const field of EMITTED) {
        const convert = CONVERSIONS[field.name];
        const value = convert === undefined ? (raw as unknown as Values)[field.name] : convert(raw, form);
        if (value !== undefined && isEmitted(field, value, raw, form)) {
            document[field.name] = value;
        }
    }
    return form.provenance === undefined && form.share === undefined
        ? document
        : { ...document, ...keysOnRequest(raw, form) };
}
