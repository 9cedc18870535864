import { VALID_FILE_COMPRESSIONS } from '../base/constants.js';
import { UUID_RE } from '../base/uuid.js';
import { isLonger, json, text, toBoolean } from './coerce.js';
import type { EntryList } from './entry-list.js';
import { MAX_BILLING_TAG_LENGTH, maxFilesOf, MAX_TAGS_LENGTH } from './limits.js';
import type { Rule } from './rule.js';
import { isCompression, isTrait, isUser } from './shapes.js';

function checkFile(file: Readonly<Record<string, unknown>>, list: EntryList): void {
    for (const key of ['sha1', 'size', 'compression']) {
        if (!file[key]) {
            list.invalid('files', `invalid image "files": file missing "${key}" field`);
        }
    }
    if (Boolean(file.compression) && !isCompression(file.compression)) {
        const accepted = VALID_FILE_COMPRESSIONS.join(', ');
        list.invalid(
            'files',
            `invalid image "files": invalid compression "${text(file.compression)}" (must be one of ${accepted})`,
        );
    }
}

/** Rule of `files`; an entry that is `null` counts as `{}` (M5). */
export const checkFiles: Rule = (manifest, list) => {
    const files = manifest.files;
    if (files === undefined) {
        if (toBoolean(manifest.activated) === true) {
            list.missing('files', 'if activated is "true" files must be present');
        }
    } else if (!Array.isArray(files)) {
        list.invalid('files', `invalid image "files" (not an array): ${text(files)}`);
    } else if (files.length > maxFilesOf(manifest.type)) {
        list.invalid('files', 'invalid image "files": too many files');
    } else {
        for (const file of files as readonly unknown[]) {
            checkFile((file ?? {}) as Readonly<Record<string, unknown>>, list);
        }
    }
};

/** Rule of `acl`; stops at the first bad account. */
export const checkAcl: Rule = ({ acl }, list) => {
    if (acl === undefined) {
        list.missing('acl');
    } else if (!Array.isArray(acl)) {
        list.invalid('acl', `invalid image "acl" (not an array): ${text(acl)}`);
    } else {
        const accounts = acl as readonly unknown[];
        const at = accounts.findIndex((account) => !UUID_RE.test(text(account)));
        if (at !== -1) {
            list.invalid('acl', `invalid image "acl" (item ${at} is not a UUID): ${text(accounts[at])}`);
        }
    }
};

/** Adds an entry for each item that is not good, until the list is full. */
function checkItems(
    items: readonly unknown[],
    list: EntryList,
    isGood: (item: unknown) => boolean,
    add: (item: unknown) => void,
): void {
    for (const item of items) {
        if (!isGood(item)) {
            add(item);
            if (list.isFull) {
                return;
            }
        }
    }
}

const isText = (value: unknown): boolean => typeof value === 'string';

/** Rule of `users`: entries have a `name` and nothing else. */
export const checkUsers: Rule = ({ users }, list) => {
    if (users === undefined) {
        list.missing('users');
    } else if (!Array.isArray(users)) {
        list.invalid('users', `invalid image "users" (not an array): ${json(users)}`);
    } else {
        checkItems(users, list, isUser, (item) =>
            list.invalid('users', `invalid image "users" entry: ${json(item)}`),
        );
    }
};

/** Rule of `billing_tags`. */
export const checkBillingTags: Rule = ({ billing_tags: tags }, list) => {
    if (tags === undefined) {
        list.missing('billing_tags');
    } else if (!Array.isArray(tags)) {
        list.invalid('billing_tags', `invalid image "billing_tags" (not an array): ${text(tags)}`);
    } else {
        checkItems(
            tags,
            list,
            (item) => isText(item) && !isLonger(item, MAX_BILLING_TAG_LENGTH),
            (item) => list.invalid('billing_tags', `invalid image "billing_tags" entry : ${text(item)}`),
        );
    }
};

/** Rule of `traits`; an array is checked by index. */
export const checkTraits: Rule = ({ traits }, list) => {
    if (traits === undefined) {
        list.missing('traits');
    } else if (typeof traits !== 'object' || traits === null) {
        list.invalid('traits', `invalid image "traits" (not an object): ${json(traits)}`);
    } else {
        const values = traits as Readonly<Record<string, unknown>>;
        checkItems(
            Object.keys(values),
            list,
            (key) => isTrait(values[key as string]),
            (key) =>
                list.invalid(
                    'traits',
                    `invalid image "traits" entry: (${key as string}, ${json(values[key as string])})`,
                ),
        );
    }
};

/** Rule of `tags`: any values, limited as a whole. */
export const checkTags: Rule = ({ tags }, list) => {
    if (tags === undefined) {
        list.missing('tags');
    } else if (typeof tags !== 'object' || tags === null || Array.isArray(tags)) {
        list.invalid('tags', `invalid image "tags" (not an object): ${json(tags)}`);
    } else {
        const { length } = JSON.stringify(tags);
        if (length > MAX_TAGS_LENGTH) {
            list.invalid(
                'tags',
                `image "tags" object is too big: ${length} characters (max ${MAX_TAGS_LENGTH})`,
            );
        }
    }
};

/** Rule of `inherited_directories`. */
export const checkInheritedDirectories: Rule = (manifest, list) => {
    const field = 'inherited_directories';
    const directories = manifest[field];
    if (directories === undefined) {
        list.missing(field);
    } else if (manifest.type !== 'zone-dataset') {
        const shown = json(directories);
        list.invalid(field, `invalid image "${field}" (only valid for a type:zone-dataset image): ${shown}`);
    } else if (!Array.isArray(directories)) {
        list.invalid(field, `invalid image "${field}" (not an array): ${json(directories)}`);
    } else {
        checkItems(directories, list, isText, (item) =>
            list.invalid(field, `invalid image "${field}" entry: ${json(item)}`),
        );
    }
};

/** Rule of `channels`; names that are not configured pass, as does an empty list (manifest 3.3). */
export const checkChannels: Rule = (manifest, list, context) => {
    const channels = manifest.channels;
    if (channels === undefined) {
        list.missing('channels');
    } else if (!context.channels) {
        list.invalid('channels', 'channels is invalid with an IMGAPI not configured for channels');
    } else if (!Array.isArray(channels)) {
        list.invalid('channels', `invalid image "channels" (not an array): ${json(channels)}`);
    } else {
        checkItems(channels, list, isText, (item) =>
            list.invalid('channels', `invalid image "channels" entry: ${json(item)}`),
        );
    }
};
