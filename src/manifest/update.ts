import { validationFailed } from '../base/errors.js';
import { isObject } from './coerce.js';
import { EntryList } from './entry-list.js';
import { fieldNamed, fieldsByRank } from './fields.js';
import type { DraftRecord } from './rule.js';
import { isActivated } from './state.js';
import { setTags } from './tags.js';
import type { JsonObject, JsonValue, ManifestRules, RawImage } from './types.js';
import { validateRaw } from './validate.js';

/** What an update depends on beside the body. */
export interface UpdateOptions {
    readonly rules: ManifestRules;
    /** Configured channels; `undefined`: none are. */
    readonly channelNames: readonly string[] | undefined;
    /** Whether the request names an account, an empty one included. */
    readonly accountGiven: boolean;
}

/** Fields only operators may change, in the order they are checked (http-api 3.15, step 4). */
const OPERATOR_FIELDS = fieldsByRank(({ update }) => (update?.by === 'operator' ? update.rank : undefined));

/** What may change of a file's entry. */
const FILE_FIELDS: readonly string[] = ['digest', 'uncompressedDigest'];

type Fields = Readonly<Record<string, unknown>>;

function checkFiles(files: JsonValue | undefined, raw: RawImage, list: EntryList): void {
    const stored = raw.files?.[0] as Fields | undefined;
    const given: unknown = Array.isArray(files) && files.length === 1 ? files[0] : undefined;
    if (stored === undefined || !isObject(given)) {
        list.invalid('files', 'must be an array with one file object');
        return;
    }
    for (const [key, value] of Object.entries(given)) {
        const current = Object.hasOwn(stored, key) ? stored[key] : undefined;
        if (!FILE_FIELDS.includes(key) && value !== current) {
            list.add(
                'files',
                'NotAllowed',
                'Can only update "digest" or "uncompressedDigest" fields on files',
            );
        }
    }
}

/** Who may change what, and when (http-api 3.15, steps 3-8). */
function checkPermissions(raw: RawImage, body: JsonObject, accountGiven: boolean): void {
    const list = new EntryList();
    for (const key of Object.keys(body)) {
        if (fieldNamed(key)?.update === undefined) {
            list.add(key, 'NotAllowed', 'Parameter cannot be updated');
        }
    }
    const activated = isActivated(raw);
    for (const { name, update } of OPERATOR_FIELDS) {
        if (!Object.hasOwn(body, name) || update?.by !== 'operator') {
            continue;
        }
        if (accountGiven) {
            list.add(name, 'NotAllowed', 'Can only be updated by operators');
        } else if (update.unactivatedOnly === true && activated) {
            list.add(name, 'NotAllowed', 'Can only be updated on unactivated images');
        } else if (name === 'files') {
            checkFiles(body.files, raw, list);
        }
    }
    if (list.entries.length > 0) {
        throw list.toError('invalid image update data');
    }
}

/** New channels must exist; names the image has already may stay (http-api 3.15, step 9). */
function checkChannelNames(
    raw: RawImage,
    channels: JsonValue | undefined,
    configured: readonly string[],
): void {
    if (!Array.isArray(channels)) {
        return;
    }
    const refuse = (message: string): never => {
        throw validationFailed(message, [{ field: 'channels', code: 'Invalid' }]);
    };
    if (channels.length === 0) {
        refuse('invalid image data: channels');
    }
    const known = new Set([...configured, ...(raw.channels ?? [])]);
    // Entries of other types get their own message from the rules.
    const unknown = (channels as readonly JsonValue[]).find(
        (name): name is string => typeof name === 'string' && !known.has(name),
    );
    if (unknown !== undefined) {
        refuse(`unknown channel: ${unknown}`);
    }
}

/** `files` with new digests in the first entry; empty ones change nothing (manifest 6). */
function mergeFiles(raw: RawImage, files: JsonValue): Fields[] {
    const [stored, ...others] = raw.files ?? [];
    const { sha256, ...before } = stored ?? {};
    const given = (files as readonly Fields[])[0] ?? {};
    const digests = Object.entries(given).filter(
        ([key, value]) => FILE_FIELDS.includes(key) && Boolean(value),
    );
    return [
        // Our own key stays the last one (backends F2).
        { ...before, ...Object.fromEntries(digests), ...(sha256 === undefined ? {} : { sha256 }) },
        ...(others as readonly object[] as readonly Fields[]),
    ];
}

/** The record with the body's fields; `null` removes a field (http-api 3.15, merge semantics). */
function merge(raw: RawImage, body: JsonObject): Fields {
    const draft: DraftRecord = { ...raw };
    for (const [key, value] of Object.entries(body)) {
        if (key === 'tags') {
            draft.tags = undefined;
            draft.tagsObj = undefined;
            if (value !== null) {
                setTags(draft, value);
            }
        } else if (key === 'files') {
            draft.files = mergeFiles(raw, value);
        } else {
            draft[key] = value ?? undefined;
        }
    }
    // Leaves out what was removed; a key that is there without a value would count as sent.
    return Object.fromEntries(Object.entries(draft).filter(([, value]) => value !== undefined));
}

/**
 * UpdateImage on a record: who may change what, then merge and strict validation (http-api 3.15,
 * steps 2-10; manifest 6). Changes neither `raw` nor `body`.
 *
 * @throws ApiError `ValidationFailed`
 */
export function applyUpdate(raw: RawImage, body: JsonObject, options: UpdateOptions): RawImage {
    if (Object.keys(body).length === 0) {
        throw validationFailed('invalid image update data: no parameters provided', []);
    }
    checkPermissions(raw, body, options.accountGiven);
    if (options.channelNames !== undefined) {
        checkChannelNames(raw, body.channels, options.channelNames);
    }
    return validateRaw(merge(raw, body), options.rules, 'strict');
}
