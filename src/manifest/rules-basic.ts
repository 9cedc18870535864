import { UUID_RE } from '../base/uuid.js';
import { isLonger, json, text, toBoolean, toNumber } from './coerce.js';
import type { EntryList } from './entry-list.js';
import type { FieldName } from './fields.js';
import {
    MAX_DESCRIPTION_LENGTH,
    MAX_NAME_LENGTH,
    MAX_URL_LENGTH,
    MAX_VERSION_LENGTH,
    OSES,
    PUBLISHED_AT_RE,
    TYPES,
    WEB_URL_RE,
} from './limits.js';
import type { Rule } from './rule.js';
import { isFlag, isName, isState, isVersion, type Shape } from './shapes.js';

/** Rule of `v`. */
export const checkV: Rule = ({ v }, list) => {
    if (v === undefined) {
        list.missing('v');
        return;
    }
    const number = toNumber(v);
    if (Number.isNaN(number) || number < 0) {
        list.invalid('v', '"v" must be a positive integer');
    }
};

/** Rule of `uuid`, `owner` and `origin`. */
export function checkUuid(field: FieldName): Rule {
    return (manifest, list) => {
        const value = manifest[field];
        if (value === undefined) {
            list.missing(field);
        } else if (!UUID_RE.test(text(value))) {
            list.invalid(field);
        }
    };
}

/** Rule of `urn`; the server itself never applies it (manifest 3.1, step 2). */
export const checkUrn: Rule = ({ urn }, list) => {
    if (urn === undefined) {
        list.missing('urn');
    } else if (typeof urn !== 'string') {
        list.invalid('urn');
    }
};

function checkLabel(field: FieldName, limit: number, isGood: Shape, characters: string): Rule {
    return (manifest, list) => {
        const value = manifest[field];
        if (value === undefined) {
            list.missing(field);
        } else if (isLonger(value, limit)) {
            list.invalid(field, `image ${field} is too long, max ${limit} characters`);
        } else if (!isGood(value)) {
            list.invalid(
                field,
                `image ${field} has invalid characters (only alpha-numeric characters and ${characters} are allowed)`,
            );
        }
    };
}

/** Rule of `name`. */
export const checkName = checkLabel('name', MAX_NAME_LENGTH, isName, '" ", ".", "-", "_" and "/"');
/** Rule of `version`; `+` is allowed although the message omits it (manifest 13). */
export const checkVersion = checkLabel('version', MAX_VERSION_LENGTH, isVersion, '".", "-", "_" and "/"');

/** Rule of `description`: numbers and the like pass, `null` does not (M1). */
export const checkDescription: Rule = ({ description }, list) => {
    if (description === undefined) {
        list.missing('description');
    } else if (description === null) {
        list.invalid('description', 'invalid image "description" (not a string): null');
    } else if (isLonger(description, MAX_DESCRIPTION_LENGTH)) {
        list.invalid(
            'description',
            `image description is too long, max ${MAX_DESCRIPTION_LENGTH} characters`,
        );
    }
};

/** Rule of `homepage` and `eula`; no URL is parsed, since parsers throw (manifest 3.3). */
export function checkUrl(field: FieldName, title: string): Rule {
    return (manifest, list) => {
        const value = manifest[field];
        if (value === undefined) {
            list.missing(field);
        } else if (typeof value !== 'string' || !WEB_URL_RE.test(value)) {
            list.invalid(field, `invalid image ${title} URL protocol`);
        } else if (value.length > MAX_URL_LENGTH) {
            list.invalid(field, `image ${title} URL is too long (max ${MAX_URL_LENGTH} characters)`);
        }
    };
}

/** Rule of `disabled` and `activated`. */
export function checkFlag(field: FieldName): Rule {
    return (manifest, list) => {
        const value = manifest[field];
        if (value === undefined) {
            list.missing(field);
        } else if (!isFlag(value)) {
            list.invalid(field);
        }
    };
}

/** Rule of `icon` and `generate_passwords`: as {@link checkFlag}, with a message. */
export function checkOptionalFlag(field: FieldName): Rule {
    return (manifest, list) => {
        const value = manifest[field];
        if (value === undefined) {
            list.missing(field);
        } else if (!isFlag(value)) {
            list.invalid(field, `invalid image "${field}" (not an accepted boolean value): ${json(value)}`);
        }
    };
}

/** Rule of `published_at`: the shape alone, impossible dates pass. */
export const checkPublishedAt: Rule = (manifest, list) => {
    const value = manifest.published_at;
    if (value === undefined && toBoolean(manifest.activated) === true) {
        list.missing('published_at', 'if activated is "true" published_at must be present');
    } else if (Boolean(value) && !PUBLISHED_AT_RE.test(text(value))) {
        list.invalid('published_at', 'published_at date not in "YYYY-MM-DDTHH:MM:SS(.SSS)Z" format');
    }
};

/** Rule of `state`. */
export const checkState: Rule = ({ state }, list) => {
    if (state === undefined) {
        list.missing('state');
    } else if (!isState(state)) {
        list.invalid('state');
    }
};

/** What is said of a private image on a public server, and the other way round. */
export const NO_PRIVATE_IMAGES = 'private images are not allowed on a public Images API';
export const NO_PUBLIC_IMAGES = 'public images are not allowed on a private Images API';

/** Rule of `public`: public servers have public images only, private ones private images only. */
export const checkPublic: Rule = (manifest, list, { profile }) => {
    const value = manifest.public;
    if (value === undefined) {
        list.missing('public');
        return;
    }
    const isPublic = toBoolean(value);
    if (isPublic === undefined) {
        list.invalid('public', `invalid value for "public": ${json(value)}`);
    } else if (profile === 'public' && !isPublic) {
        list.invalid('public', NO_PRIVATE_IMAGES);
    } else if (profile === 'private' && isPublic) {
        list.invalid('public', NO_PUBLIC_IMAGES);
    }
};

function checkKind(field: FieldName, kinds: readonly string[]): Rule {
    const addWrong = (list: EntryList, value: unknown): void =>
        list.invalid(field, `invalid image ${field}, "${text(value)}", must be one of: ${kinds.join(', ')}`);
    return (manifest, list) => {
        const value = manifest[field];
        if (value === undefined) {
            list.missing(field);
        } else if (value !== 'null') {
            if (!kinds.includes(text(value))) {
                addWrong(list, value);
            }
        } else if (manifest.state !== 'creating' && manifest.state !== 'failed') {
            list.invalid(field, `invalid image ${field}, "null"`);
        }
    };
}

/** Rule of `type`; placeholders have the text `null`. */
export const checkType = checkKind('type', TYPES);
/** Rule of `os`, as `type`. */
export const checkOs = checkKind('os', OSES);

/** Rule of `error`: `null` and arrays pass. */
export const checkError: Rule = ({ error }, list) => {
    if (error === undefined) {
        list.missing('error');
    } else if (typeof error !== 'object') {
        list.invalid('error', `invalid image "error" (not an object): ${json(error)}`);
    }
};
