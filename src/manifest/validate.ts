import type { ErrorEntry } from '../base/errors.js';
import { EntryList } from './entry-list.js';
import { freezeLevels, nestingLevels } from './freeze.js';
import { normaliseAcceptedForms, normaliseBeforeRules, withoutEmptyKeys } from './normalise.js';
import type { DraftRecord, Leniency, Manifest, RuleContext } from './rule.js';
import { checkFields, checkUnknownKeys } from './rules.js';
import type { ManifestRules, RawImage } from './types.js';

/**
 * Deepest nesting of a field's value. Nothing real comes near; far deeper values would overflow the
 * stack wherever they are written as JSON or text.
 */
const MAX_NESTING = 512;

/** What an icon's record must have, in the order it is checked (manifest 3.1, step 5). */
const ICON_FIELDS = ['contentMD5', 'size', 'contentType'] as const;

/** Refuses values that are too deep, as `levelsOf` counts. */
function checkNesting(record: Manifest, list: EntryList, levelsOf: (value: unknown) => number): void {
    const depths = Object.values(record).map((value) => (typeof value === 'object' ? levelsOf(value) : 0));
    if (depths.every((depth) => depth <= MAX_NESTING)) {
        return;
    }
    for (const [at, key] of Object.keys(record).entries()) {
        if ((depths[at] ?? 0) > MAX_NESTING) {
            list.invalid(key === 'tagsObj' ? 'tags' : key, 'nested too deeply');
        }
    }
}

/** How the rules see an icon's record: `true` if it is whole; a broken one is reported here (M11). */
function iconValue(icon: unknown, list: EntryList): unknown {
    if (!icon) {
        return icon;
    }
    const missing = ICON_FIELDS.find((key) => !(icon as Manifest)[key]);
    if (missing === undefined) {
        return true;
    }
    list.invalid('icon', `invalid image "icon": icon missing "${missing}" field`);
    return undefined;
}

/** The manifest that the rules look at (manifest 3.1, steps 2-7). */
function toManifest(draft: DraftRecord, list: EntryList, leniency: Leniency): Manifest {
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- named only to keep them out of the rest
    const { urn: _unchecked, tags: _search, icon, billing_tags: billingTags, ...manifest } = draft;
    // Whatever a client sent as tags is looked at; a stored empty value is as good as none (M6).
    if (leniency === 'strict' ? draft.tagsObj !== undefined : Boolean(draft.tagsObj)) {
        manifest.tags = draft.tagsObj;
    }
    const shownIcon = iconValue(icon, list);
    if (shownIcon !== undefined) {
        manifest.icon = shownIcon;
    }
    if (billingTags) {
        manifest.billing_tags = billingTags;
    }
    return manifest;
}

function profileOf(rules: ManifestRules, state: unknown): RuleContext['profile'] {
    return rules.mode === 'dc' && state === 'creating' ? 'minimal' : rules.mode;
}

/**
 * Validates a record: the one way in for what clients send (`strict`) and what is loaded (`lenient`).
 * Returns a normalised copy, frozen with everything in it; nested values are shared with `raw` and
 * frozen too. Takes a few microseconds (manifest 3.1).
 *
 * @throws ApiError `ValidationFailed` with one entry for each fault, in the order of manifest 3.2
 */
export function validateRaw(
    raw: Readonly<Record<string, unknown>>,
    rules: ManifestRules,
    leniency: Leniency,
): RawImage {
    const list = new EntryList();
    checkNesting(raw, list, freezeLevels);
    const draft: DraftRecord = { ...raw };
    if (list.entries.length === 0) {
        normaliseBeforeRules(draft, list, leniency);
        const manifest = toManifest(draft, list, leniency);
        const profile = profileOf(rules, draft.state);
        checkFields(manifest, list, { profile, channels: rules.channels, leniency });
    }
    if (list.entries.length > 0) {
        throw list.toError('invalid image data');
    }
    if (leniency === 'strict') {
        normaliseAcceptedForms(draft);
    }
    return Object.freeze(withoutEmptyKeys(draft)) as unknown as RawImage;
}

/** What the stand-alone validators take beside the manifest. */
export interface ValidatorOptions {
    /** The configured channels by name; given: the server has channels. Only its presence matters. */
    readonly channelFromName?: object | undefined;
}

function validateManifest(
    manifest: Manifest,
    profile: RuleContext['profile'],
    options: ValidatorOptions = {},
): readonly ErrorEntry[] | null {
    const list = new EntryList();
    checkNesting(manifest, list, (value) => nestingLevels(value, MAX_NESTING + 1));
    if (list.entries.length === 0) {
        const channels = Boolean(options.channelFromName);
        checkFields(manifest, list, { profile, channels, leniency: 'strict' });
        checkUnknownKeys(manifest, list);
    }
    return list.entries.length === 0 ? null : list.entries;
}

/** Checks an API manifest by the rules of placeholders; `null` if it is good (manifest 3.2). */
export function validateMinimalManifest(manifest: Manifest): readonly ErrorEntry[] | null {
    return validateManifest(manifest, 'minimal');
}

/** Checks an API manifest by the rules of mode `dc`; `null` if it is good (manifest 3.2, H56). */
export function validateDcManifest(
    manifest: Manifest,
    options?: ValidatorOptions,
): readonly ErrorEntry[] | null {
    return validateManifest(manifest, 'dc', options);
}

/** Checks an API manifest by the rules of mode `public`; `null` if it is good (manifest 3.2). */
export function validatePublicManifest(
    manifest: Manifest,
    options?: ValidatorOptions,
): readonly ErrorEntry[] | null {
    return validateManifest(manifest, 'public', options);
}

/** Checks an API manifest by the rules of mode `private`; `null` if it is good (manifest 3.2). */
export function validatePrivateManifest(
    manifest: Manifest,
    options?: ValidatorOptions,
): readonly ErrorEntry[] | null {
    return validateManifest(manifest, 'private', options);
}
