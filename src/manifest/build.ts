import { invalidParameter } from '../base/errors.js';
import { newUuid } from '../base/uuid.js';
import { toNumber } from './coerce.js';
import { MAX_ENTRIES } from './entry-list.js';
import { fieldNamed, fieldsByRank, type NamedField } from './fields.js';
import { MANIFEST_VERSION } from './limits.js';
import type { DraftRecord } from './rule.js';
import { setTags } from './tags.js';
import type { JsonObject, ManifestRules, RawImage } from './types.js';
import { upgradeManifest } from './upgrade.js';
import { validateRaw } from './validate.js';

/** What a record is built for (manifest 5). */
export type BuildKind = 'create' | 'import' | 'placeholder';

/** What building depends on beside the manifest. */
export interface BuildOptions {
    readonly rules: ManifestRules;
    /** Days until a placeholder may be removed. */
    readonly lifespanDays: number;
    /** Milliseconds since the epoch. */
    readonly now: number;
}

const MS_PER_DAY = 86_400_000;
/** The last date the language knows, milliseconds since the epoch; the first is as far before it. */
const LAST_DATE = 8_640_000_000_000_000;

/** Fields that follow the head of the record, in their order there. */
const BODY_FIELDS = fieldsByRank(({ input }) => input?.rank);

function isConsumed(kind: BuildKind, data: JsonObject, key: string): boolean {
    const taken = fieldNamed(key)?.input?.taken;
    switch (taken) {
        case undefined:
            return false;
        case 'zvol':
            return data.type === 'zvol';
        case 'import':
            // The fields only imports know are left over when empty; a placeholder is told its uuid.
            return key === 'uuid' ? kind !== 'create' : kind === 'import' && Boolean(data[key]);
        default:
            return true;
    }
}

/** Refuses keys nobody reads (manifest 3.5). */
function checkExtraParameters(kind: BuildKind, data: JsonObject): void {
    const extra = Object.keys(data)
        .filter((key) => !isConsumed(kind, data, key))
        .slice(0, MAX_ENTRIES);
    if (extra.length > 0) {
        throw invalidParameter(
            `invalid extra parameters: ${extra.map((key) => `"${key}"`).join(', ')}`,
            extra.map((field) => ({ field, code: 'Invalid' })),
        );
    }
}

/** Checks that come before those for extra parameters (manifest 3.5). */
function checkImportFields(data: JsonObject): void {
    if (!data.uuid) {
        throw invalidParameter('missing "uuid"', [{ field: 'uuid', code: 'MissingParameter' }]);
    }
    if (Boolean(data.published_at) && typeof data.published_at !== 'string') {
        throw invalidParameter('invalid "published_at"', [{ field: 'published_at', code: 'Invalid' }]);
    }
}

/** The first keys of every record (manifest 5, step 2). */
function head(data: JsonObject): DraftRecord {
    return {
        v: data.v,
        owner: data.owner,
        name: data.name,
        version: data.version,
        type: data.type,
        os: data.os,
        public: data.public ? data.public : false,
        disabled: data.disabled ? data.disabled : false,
        activated: false,
        state: 'unactivated',
        acl: data.acl,
    };
}

function isTaken(field: NamedField, data: JsonObject): boolean {
    const value = data[field.name];
    switch (field.input?.taken) {
        case 'truthy':
            return Boolean(value);
        case 'zvol':
            return data.type === 'zvol' && value !== undefined;
        default:
            return value !== undefined;
    }
}

/** Copies the fields that follow the head (manifest 5, steps 3-5). */
function addBody(draft: DraftRecord, data: JsonObject): void {
    for (const field of BODY_FIELDS) {
        const value = data[field.name];
        if (!isTaken(field, data) || value === undefined) {
            continue;
        }
        if (field.name === 'tags') {
            setTags(draft, value);
        } else {
            draft[field.name] = field.name === 'image_size' ? toNumber(value) : value;
        }
    }
}

function placeholderExpiry({ now, lifespanDays }: BuildOptions): string {
    const expiry = now + lifespanDays * MS_PER_DAY;
    return new Date(Math.max(-LAST_DATE, Math.min(expiry, LAST_DATE))).toISOString();
}

/** The record of a finished image as one that only stands for it until it is here (jobs-and-imports 8.2). */
export function asPlaceholder(raw: RawImage, options: BuildOptions): RawImage {
    const draft = { ...raw, expires_at: placeholderExpiry(options), activated: false, state: 'creating' };
    return validateRaw(draft, options.rules, 'strict');
}

/** The part that differs by kind (manifest 5, step 6). */
function addKindFields(draft: DraftRecord, kind: BuildKind, data: JsonObject, options: BuildOptions): void {
    switch (kind) {
        case 'create':
            draft.uuid = newUuid();
            break;
        case 'import':
            draft.uuid = data.uuid;
            for (const key of ['published_at', 'urn']) {
                if (data[key]) {
                    draft[key] = data[key];
                }
            }
            break;
        case 'placeholder':
            draft.v = MANIFEST_VERSION;
            draft.expires_at = placeholderExpiry(options);
            draft.uuid = data.uuid;
            draft.type = 'null';
            draft.os = 'null';
            draft.state = 'creating';
            break;
    }
}

/**
 * Builds the record of a new image from what a client sent (manifest 5): upgrade, checks, defaults,
 * strict validation. `data` is not changed. The caller has set `v` for CreateImage, and the owner.
 *
 * @throws ApiError `InvalidParameter` for a missing uuid, a bad date or extra parameters, in this
 *     order, then `ValidationFailed` (manifest 3.5)
 */
export function buildImage(kind: BuildKind, data: JsonObject, options: BuildOptions): RawImage {
    const manifest = upgradeManifest(data);
    if (kind === 'import') {
        checkImportFields(manifest);
    }
    checkExtraParameters(kind, manifest);
    const draft = head(manifest);
    addBody(draft, manifest);
    addKindFields(draft, kind, manifest, options);
    return validateRaw(draft, options.rules, 'strict');
}
