import { isDeepStrictEqual } from 'node:util';
import { UNSET_OWNER_UUID } from '../../../base/constants.js';
import { isExpired } from '../../../maintenance/purge.js';
import { isObject, toBoolean } from '../../../manifest/coerce.js';
import { PUBLISHED_AT_RE } from '../../../manifest/limits.js';
import { toModernForm } from '../../../manifest/modern-form.js';
import { computeState } from '../../../manifest/state.js';
import { tagsToSearch } from '../../../manifest/tags.js';
import type { RawImage } from '../../../manifest/types.js';
import { entryText } from '../records/record-run.js';
import type { Data } from '../records/stored-records.js';
import { CHANNELS } from './channel-check.js';
import type { Complaint, RecordCheck, Subject } from './check.js';

const COMPUTED_STATES: readonly unknown[] = ['unactivated', 'active', 'disabled'];
/** What old records have in another form, and the check that tells of it. */
const TAG_KEYS: ReadonlySet<string> = new Set(['tags', 'tagsObj', 'tag']);
const FILE_KEYS = ['sha1', 'size', 'compression', 'stor'] as const;

function flagsOf(current: Data): { readonly activated: boolean; readonly disabled: boolean } {
    return {
        activated: toBoolean(current['activated']) === true,
        disabled: toBoolean(current['disabled']) === true,
    };
}

function isActivated(current: Data): boolean {
    return flagsOf(current).activated;
}

function filesOf(data: Data): readonly Data[] {
    const files = data['files'];
    return Array.isArray(files) ? files.map((file: unknown) => (isObject(file) ? file : {})) : [];
}

/** Complaints about what only old servers wrote, by key. */
function oldForms({ record: { data }, raw }: Subject, isWanted: (key: string) => boolean): string[] {
    if (raw === undefined) {
        return [];
    }
    const modern = toModernForm(raw) as unknown as Data;
    const keys = new Set([...Object.keys(data), ...Object.keys(modern)]);
    return [...keys].filter((key) => isWanted(key) && !isDeepStrictEqual(data[key], modern[key]));
}

function modern(current: Data): Data {
    return toModernForm(current as unknown as RawImage) as unknown as Data;
}

const UUID: RecordCheck = {
    name: 'uuid',
    severity: 'error',
    finds: 'a record whose uuid is not that of its file name',
    shown: 'nothing',
    look: ({ record: { uuid, data } }) =>
        data['uuid'] === uuid
            ? []
            : [{ message: `the record says that its uuid is ${JSON.stringify(data['uuid']) ?? 'none'}` }],
};

const STATE: RecordCheck = {
    name: 'state',
    severity: 'error',
    finds: 'a state that disagrees with "activated" and "disabled"',
    fix: 'computes it, unless it is "creating" or "failed"',
    shown: { only: 'whether it disagrees with "disabled"' },
    look: ({ record: { current } }) => {
        const { state } = current;
        const flags = flagsOf(current);
        const computed = computeState(flags);
        const isPlaceholder = state === 'creating' || state === 'failed';
        if (isPlaceholder ? !flags.activated : state === undefined || state === computed) {
            return [];
        }
        const message = `state is "${String(state)}", but activated ${flags.activated} and disabled ${flags.disabled} mean "${computed}"`;
        return [{ message, final: !COMPUTED_STATES.includes(state) }];
    },
    repair: (current) => ({ ...current, state: computeState(flagsOf(current)) }),
};

const NO_FILES: RecordCheck = {
    name: 'no-files',
    severity: 'error',
    finds: 'an active image without files',
    // Such records are left out by servers.
    shown: 'nothing',
    covers: ({ field, code }) => field === 'files' && code === 'MissingParameter',
    look: ({ record: { current } }) =>
        isActivated(current) && (current['files'] === undefined || isDeepStrictEqual(current['files'], []))
            ? [{ message: 'activated, but it has no files' }]
            : [],
};

const FILE_ENTRY: RecordCheck = {
    name: 'file-entry',
    severity: 'error',
    finds: 'a file without "sha1", "size", "compression" or "stor", or in a storage that is not configured',
    shown: { only: 'files, not icons, without "stor" or in such a storage' },
    covers: ({ field, message }) => field === 'files' && message?.includes('file missing') === true,
    look: ({ record: { data, current }, place }) => {
        // What is read as if it were there is still missing.
        const stored = Array.isArray(data['files']) ? filesOf(data) : filesOf(current);
        const icon = current['icon'];
        return [
            ...stored.flatMap((file, index) =>
                fileComplaints(`file ${index}`, file, FILE_KEYS, place.storages),
            ),
            ...(isObject(icon) ? fileComplaints('icon', icon, ['sha1', 'size', 'stor'], place.storages) : []),
        ];
    },
};

function fileComplaints(
    what: string,
    file: Data,
    keys: readonly string[],
    storages: readonly string[] | undefined,
): readonly Complaint[] {
    const missing = keys
        .filter((key) => !file[key])
        .map((key) => ({
            message: `${what} has no "${key}"`,
            // It can be told from the bytes, so servers read such records.
            ...(key === 'compression' ? { advice: ['imgapiadm reindex'] } : {}),
        }));
    const { stor } = file;
    return typeof stor === 'string' && stor !== '' && storages?.includes(stor) === false
        ? [...missing, { message: `${what} is in storage "${stor}", which is not configured` }]
        : missing;
}

const PUBLISHED: RecordCheck = {
    name: 'published-at',
    severity: 'warn',
    finds: 'an active image without "published_at"',
    fix: 'takes the time of its first file',
    shown: 'nothing',
    covers: ({ field, code }) => field === 'published_at' && code === 'MissingParameter',
    look: ({ record: { current } }) =>
        isActivated(current) && !current['published_at']
            ? [{ message: 'activated, but it has no "published_at"' }]
            : [],
    repair: async (current, { record, place }) => {
        const { mtime } = filesOf(current)[0] ?? {};
        const isDate = typeof mtime === 'string' && PUBLISHED_AT_RE.test(mtime);
        const time = isDate ? mtime : await place.fileTime(record.uuid, 'file0');
        return time === undefined ? undefined : { ...current, published_at: time };
    },
};

const TAGS: RecordCheck = {
    name: 'tags',
    severity: 'warn',
    finds: 'search strings in "tags" that disagree with "tagsObj", and tags in forms of old servers',
    fix: 'writes both',
    shown: 'nothing',
    look: (subject) => {
        const { data } = subject.record;
        const { tags, tagsObj } = data;
        if (Array.isArray(tags) && isObject(tagsObj)) {
            return isDeepStrictEqual(tags, tagsToSearch(tagsObj))
                ? []
                : [{ message: '"tags" disagrees with "tagsObj": searches for tags go wrong' }];
        }
        const old = oldForms(subject, (key) => TAG_KEYS.has(key));
        return old.length === 0 ? [] : [{ message: `tags in an old form: ${old.join(', ')}` }];
    },
    repair: (current) => modern(current),
};

const OLD_FORM: RecordCheck = {
    name: 'old-form',
    severity: 'info',
    finds: 'one text where a list should be, booleans and numbers as texts, and other forms of old servers',
    fix: 'writes them in the form of today',
    shown: 'nothing',
    look: (subject) => {
        const isAbout = (key: string): boolean =>
            !TAG_KEYS.has(key) && (key !== 'files' || typeof subject.record.data[key] === 'string');
        const old = oldForms(subject, isAbout);
        return old.length === 0 ? [] : [{ message: `in an old form: ${old.join(', ')}` }];
    },
    repair: (current) => modern(current),
};

/** Asks nobody itself: see `asking-checks`. */
export const OWNER: RecordCheck = {
    name: 'owner',
    severity: 'warn',
    finds: 'an owner that the user database does not know; on a public server, any owner',
    shown: { only: 'owners on a public server' },
    look: ({ record: { current }, place }) => {
        const { owner } = current;
        const isOdd = place.ownerless && owner !== undefined && owner !== UNSET_OWNER_UUID;
        return isOdd
            ? [
                  {
                      message: `owner is ${JSON.stringify(owner)}, on a public server it should be ${UNSET_OWNER_UUID}`,
                  },
              ]
            : [];
    },
};

const EXPIRED: RecordCheck = {
    name: 'expired',
    severity: 'warn',
    finds: 'a placeholder whose time is over',
    fix: 'deletes it with its files, unless a job is making an image of it',
    shown: 'nothing',
    look: ({ raw, place }) =>
        raw !== undefined && isExpired(raw, place.now)
            ? [{ message: `placeholder in state "${raw.state}" that expired on ${raw.expires_at ?? ''}` }]
            : [],
    repair: 'delete',
};

/** Checks of single records, in the order of operations 2.5; {@link INVALID} is made of what they leave. */
export const RECORD_CHECKS: readonly RecordCheck[] = [
    UUID,
    STATE,
    NO_FILES,
    FILE_ENTRY,
    PUBLISHED,
    TAGS,
    OLD_FORM,
    CHANNELS,
    OWNER,
    EXPIRED,
];

/** What the rules of the server find wrong, and no other check tells better. */
export const INVALID: RecordCheck = {
    name: 'invalid',
    severity: 'error',
    finds: 'a record that the rules of this server refuse: the server leaves it out',
    shown: 'nothing',
    look: ({ entries }) =>
        entries
            .filter((entry) => !RECORD_CHECKS.some(({ covers }) => covers?.(entry) === true))
            .map((entry) => ({ message: entryText(entry) })),
};
