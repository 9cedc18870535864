import { extname } from 'node:path';
import { UUID_RE } from '../base/uuid.js';
import type { FileCompression } from '../base/constants.js';
import { isObject, text, toNumber } from './coerce.js';
import { MANIFEST_VERSION } from './limits.js';
import type { JsonObject, JsonValue } from './types.js';

/** Fields of version 1 that have no place in version 2 (manifest 4, steps 3, 4 and 9). */
const DROPPED: ReadonlySet<string> = new Set([
    'creator_uuid',
    'vendor_uuid',
    'creator_name',
    'cloud_name',
    'creator_admin',
    'restricted_to_uuid',
    'owner_uuid',
    'platform_type',
    'created_at',
    'updated_at',
    '_url',
]);

const DATE_WITHOUT_SECONDS = /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}Z/;

const COMPRESSION_OF_EXTENSION: ReadonlyMap<string, FileCompression> = new Map([
    ['.gz', 'gzip'],
    ['.bz2', 'bzip2'],
]);

type Fields = Record<string, JsonValue>;

/** A manifest that looks like version 1 but cannot be upgraded. */
class CannotUpgrade extends Error {}

function need(condition: boolean, reason: string): void {
    if (!condition) {
        throw new CannotUpgrade(reason);
    }
}

function versionOf(data: JsonObject): number {
    if (!data.v) {
        need(Boolean(data.creator_uuid), 'manifest has no "v" field');
        return 1;
    }
    const version = toNumber(data.v);
    need(!Number.isNaN(version), '"v" is not a number');
    return version;
}

/** Who may see the image (step 4). */
function sharing(data: JsonObject): Fields {
    if (!data.restricted_to_uuid) {
        return { public: true };
    }
    need(data.public === undefined, 'both "restricted_to_uuid" and "public"');
    return { public: false, acl: [data.restricted_to_uuid] };
}

function publishedAt(data: JsonObject): Fields {
    const date = data.published_at ? data.published_at : data.created_at;
    if (!date) {
        return {};
    }
    const lacksSeconds = typeof date === 'string' && DATE_WITHOUT_SECONDS.test(date);
    return { published_at: lacksSeconds ? `${date.slice(0, -1)}:00Z` : date };
}

function upgradeFile(file: JsonValue): JsonValue {
    need(isObject(file), '"files" has an entry that is no object');
    const { path, url, ...kept } = file as JsonObject;
    if (kept.compression) {
        return kept;
    }
    const name = path ? path : url;
    need(typeof name === 'string', '"files" has an entry without "path" and "url"');
    return { ...kept, compression: COMPRESSION_OF_EXTENSION.get(extname(name as string)) ?? 'none' };
}

function upgradedFiles(data: JsonObject): Fields {
    if (!data.files) {
        return {};
    }
    need(Array.isArray(data.files), '"files" is not an array');
    return { files: (data.files as readonly JsonValue[]).map(upgradeFile) };
}

function upgradeFromVersion1(data: JsonObject): JsonObject {
    need(UUID_RE.test(text(data.uuid)), '"uuid" is not a UUID');
    const { creator_uuid: owner } = data;
    need(Boolean(owner), 'no "creator_uuid"');
    need(data.owner === undefined, 'both "creator_uuid" and "owner"');
    const disabled = Boolean(data.disabled);
    return {
        ...Object.fromEntries(Object.entries(data).filter(([key]) => !DROPPED.has(key))),
        owner: owner as JsonValue,
        ...sharing(data),
        disabled,
        state: disabled ? 'disabled' : 'active',
        ...publishedAt(data),
        ...upgradedFiles(data),
        ...(data.image_size ? { image_size: toNumber(data.image_size) } : {}),
        v: MANIFEST_VERSION,
    };
}

/**
 * Turns a version 1 manifest into a version 2 one (manifest 4). What cannot be upgraded is returned
 * unchanged, for the usual checks to refuse; `onFailure` hears why. Never changes `data`.
 */
export function upgradeManifest(data: JsonObject, onFailure?: (reason: string) => void): JsonObject {
    try {
        return versionOf(data) >= MANIFEST_VERSION ? data : upgradeFromVersion1(data);
    } catch (error) {
        if (!(error instanceof CannotUpgrade)) {
            throw error;
        }
        onFailure?.(error.message);
        return data;
    }
}
