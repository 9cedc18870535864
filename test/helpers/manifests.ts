import { ApiError } from '#lib/base/errors.js';
import { buildImage } from '#lib/manifest/build.js';
import type { JsonObject, ManifestRules, RawImage } from '#lib/manifest/types.js';
import { applyUpdate } from '#lib/manifest/update.js';
import { validateRaw } from '#lib/manifest/validate.js';

export const UUID = 'c58161c0-2547-11e2-a75e-9fdca1940570';
export const OWNER = '930896af-bf8c-48d4-885c-6573a94b1853';
export const OTHER = '352971aa-31ba-496c-9ade-a379feaecd52';
export const PUBLIC: ManifestRules = { mode: 'public', channels: false };
export const DC: ManifestRules = { mode: 'dc', channels: false };
export const DC_CHANNELS: ManifestRules = { mode: 'dc', channels: true };

export const CREATE: JsonObject = {
    v: 2,
    owner: OWNER,
    name: 'n',
    version: '1',
    type: 'zone-dataset',
    os: 'smartos',
    public: true,
};
export const FILE = { sha1: 'a'.repeat(40), size: 4, compression: 'gzip', contentMD5: 'm', stor: 'local' };
export const STORED: JsonObject = {
    ...CREATE,
    uuid: UUID,
    disabled: false,
    activated: false,
    state: 'unactivated',
    acl: [],
};

/** Own keys that only `JSON.parse` can make. */
export function parsed(text: string): JsonObject {
    return JSON.parse(text) as JsonObject;
}

export function stored(fields: JsonObject = {}, rules: ManifestRules = PUBLIC): RawImage {
    return validateRaw({ ...STORED, ...fields }, rules, 'lenient');
}

export function build(fields: JsonObject = {}, rules: ManifestRules = PUBLIC): RawImage {
    return buildImage('create', { ...CREATE, ...fields }, { rules, lifespanDays: 7, now: 0 });
}

/** What `run` throws, as it would be answered. */
export function refusal(run: () => unknown): unknown {
    try {
        run();
    } catch (error) {
        if (error instanceof ApiError) {
            return error.toBody();
        }
        throw error;
    }
    return 'accepted';
}

export function updated(
    raw: RawImage,
    body: JsonObject,
    options: Partial<Parameters<typeof applyUpdate>[2]> = {},
): RawImage {
    return applyUpdate(raw, body, {
        rules: PUBLIC,
        channelNames: undefined,
        accountGiven: false,
        ...options,
    });
}

/** A copy without some keys. */
export function without<T extends object, K extends keyof T>(value: T, ...keys: readonly K[]): Omit<T, K> {
    return Object.fromEntries(
        Object.entries(value).filter(([key]) => !(keys as readonly PropertyKey[]).includes(key)),
    ) as Omit<T, K>;
}
