// Who may see and change what, written down from http-api 1.12, 1.15 and 3 as tables.
import { PNG, USERS, gzipFile, manifest, type Fixture } from './images.js';
import {
    badAccount,
    badAction,
    invalidParameter,
    notFound,
    notOwner,
    OPERATOR_ONLY,
    uuidExists,
    validationFailed,
    type ExpectedError,
} from './rows.js';

/** How a caller stands to the images: vader owns them, luke is on their ACL. */
export const CALLERS = { owner: 'vader', member: 'luke', stranger: 'emperor', operator: undefined } as const;
export type Caller = keyof typeof CALLERS;

export const STATES = ['active', 'disabled', 'unactivated', 'creating', 'failed'] as const;
export type State = (typeof STATES)[number];

/** What an image is, as far as access goes. */
export interface Sample {
    readonly uuid: string;
    readonly state: State;
    readonly public: boolean;
}

/** Who may know of an image (http-api 1.15). */
const SEEN_BY: Readonly<Record<'public' | 'private', Readonly<Record<State, readonly Caller[]>>>> = {
    public: {
        active: ['owner', 'member', 'stranger', 'operator'],
        disabled: ['owner', 'member', 'stranger', 'operator'],
        unactivated: ['owner', 'operator'],
        creating: ['owner', 'operator'],
        failed: ['owner', 'operator'],
    },
    private: {
        active: ['owner', 'member', 'operator'],
        disabled: ['owner', 'member', 'operator'],
        unactivated: ['owner', 'operator'],
        creating: ['owner', 'operator'],
        failed: ['owner', 'operator'],
    },
};

export function sees(caller: Caller, { state, public: isPublic }: Sample): boolean {
    return SEEN_BY[isPublic ? 'public' : 'private'][state].includes(caller);
}

/** Which states a `state` filter of ListImages lets through, and whether of others' images too (3.1). */
const LISTED: Readonly<Record<string, { readonly states: readonly State[]; readonly foreign: boolean }>> = {
    '': { states: ['active'], foreign: true },
    active: { states: ['active'], foreign: true },
    disabled: { states: ['disabled'], foreign: false },
    unactivated: { states: ['unactivated', 'creating', 'failed'], foreign: false },
    all: { states: STATES, foreign: true },
    creating: { states: ['creating'], foreign: true },
    failed: { states: ['failed'], foreign: true },
};
export const LIST_STATES: readonly string[] = Object.keys(LISTED);

/** Whether ListImages with this `state` and `public` shows an image to a caller. */
export function isListed(caller: Caller, image: Sample, state: string, isPublic: string): boolean {
    const filter = LISTED[state];
    const wanted = isPublic === '' || isPublic === String(image.public);
    const own = caller === 'owner' || caller === 'operator';
    return (
        filter !== undefined &&
        filter.states.includes(image.state) &&
        wanted &&
        (own || (filter.foreign && sees(caller, image)))
    );
}

/** Each state as it is stored. Only images that were uploaded have a file, all but disabled ones an icon. */
const RECORDS: Readonly<Record<State, Partial<Fixture>>> = {
    active: { activated: true, file: gzipFile('active'), icon: PNG },
    disabled: { activated: true, disabled: true, file: gzipFile('disabled') },
    unactivated: { file: gzipFile('unactivated'), icon: PNG },
    creating: { state: 'creating', more: { type: 'null', os: 'null' } },
    failed: { state: 'failed', more: { type: 'null', os: 'null', error: { code: 'x', message: 'y' } } },
};

const isActivated = ({ state }: Sample): boolean => state === 'active' || state === 'disabled';
const hasFile = ({ state }: Sample): boolean => RECORDS[state].file !== undefined;
const hasIcon = ({ state }: Sample): boolean => RECORDS[state].icon !== undefined;

/** The stored image of a sample; further keys go into the record. */
export function fixtureOf(sample: Sample, more: Readonly<Record<string, unknown>> = {}): Fixture {
    const record = RECORDS[sample.state];
    const placeholder = sample.state === 'creating' || sample.state === 'failed';
    return {
        uuid: sample.uuid,
        name: 'seen',
        owner: USERS.vader,
        public: sample.public,
        ...record,
        ...(isActivated(sample) ? { published_at: '2012-01-01T00:00:00.000Z' } : {}),
        more: {
            acl: [USERS.luke],
            ...(placeholder ? { expires_at: '2999-01-01T00:00:00.000Z' } : {}),
            ...record.more,
            ...more,
        },
    };
}

/** What an allowed caller gets: a status without an error, or an error. */
export type Outcome = 200 | 204 | ExpectedError;

/** A call that names one image. */
export interface Operation {
    readonly name: string;
    readonly method: string;
    /** What follows `/images/<uuid>`. */
    readonly suffix: string;
    readonly json?: unknown;
    readonly body?: Buffer;
    readonly headers?: Readonly<Record<string, string>>;
    /**
     * Who is let in: whoever sees the image, its owner, operators (told after the image was found), or
     * operators before anything else is looked at.
     */
    readonly allowed: 'viewer' | 'owner' | 'operator' | 'operator first';
    /** Whether the answer is the image's document. */
    readonly document?: boolean;
    /** Only for servers with channels. */
    readonly channels?: boolean;
    /** What becomes of it for a caller who is let in. */
    readonly outcome: (image: Sample, caller: Caller) => Outcome;
}

const immutable = ({ uuid }: Sample): ExpectedError => ({
    status: 422,
    code: 'ImageFilesImmutable',
    message: `cannot modify files on activated image ${uuid}`,
});

function activation(image: Sample): Outcome {
    const { uuid } = image;
    if (isActivated(image)) {
        const message = `image "${uuid}" is already activated`;
        return { status: 422, code: 'ImageAlreadyActivated', message };
    }
    const message = `image "${uuid}" cannot be activated: it has no file`;
    return hasFile(image) ? 200 : { status: 422, code: 'NoActivationNoFile', message };
}

function storageChange(image: Sample): Outcome {
    if (hasIcon(image)) {
        const message = 'cannot change stor for images with an icon';
        return { status: 400, code: 'NotImplemented', message };
    }
    return hasFile(image) ? 200 : notFound(`image "${image.uuid}" has no file`);
}

const ok = (): Outcome => 200;
const withIcon = (image: Sample): Outcome =>
    hasIcon(image) ? 200 : notFound(`image "${image.uuid}" has no icon`);

const action = (name: string, rest: Partial<Operation> = {}): Operation => ({
    name,
    method: 'POST',
    suffix: `?action=${name}`,
    allowed: 'owner',
    document: true,
    outcome: ok,
    ...rest,
});

const READS: readonly Operation[] = [
    { name: 'GetImage', method: 'GET', suffix: '', allowed: 'viewer', document: true, outcome: ok },
    {
        name: 'GetImageFile',
        method: 'GET',
        suffix: '/file',
        allowed: 'viewer',
        outcome: (image) => (hasFile(image) ? 200 : notFound(`image "${image.uuid}" has no file`)),
    },
    { name: 'GetImageIcon', method: 'GET', suffix: '/icon', allowed: 'viewer', outcome: withIcon },
    ...['jobs', 'ancestors', 'dependents', 'clones'].map((what): Operation => ({
        name: `list of ${what}`,
        method: 'GET',
        suffix: `/${what}`,
        allowed: 'viewer',
        outcome: ok,
    })),
    {
        name: 'usage',
        method: 'GET',
        suffix: '/usage',
        allowed: 'viewer',
        // The datacenter has no VMAPI.
        outcome: () => ({ status: 501, code: 'NotAvailable', message: 'image usage is not available' }),
    },
];

const FIELD_WRITES: readonly Operation[] = [
    action('update', { json: { description: 'changed', public: true } }),
    action('update', {
        name: 'update of what is the operators',
        json: { traits: { ssd: true } },
        outcome: (_, caller) =>
            caller === 'operator'
                ? 200
                : validationFailed('invalid image update data: traits', [
                      'traits',
                      'NotAllowed',
                      'Can only be updated by operators',
                  ]),
    }),
    action('enable'),
    action('disable'),
    action('activate', { outcome: activation }),
    action('channel-add', { json: { channel: 'release' }, channels: true }),
    action('add', { suffix: '/acl', name: 'AddImageAcl', json: [USERS.sdc] }),
    action('remove', { suffix: '/acl?action=remove', name: 'RemoveImageAcl', json: [USERS.luke] }),
    action('no-such-thing', { outcome: () => badAction('no-such-thing') }),
    action('', {
        name: 'no action',
        suffix: '',
        outcome: () => invalidParameter('no image "action" was specified', ['action', 'MissingParameter']),
    }),
];

const BYTE_WRITES: readonly Operation[] = [
    {
        name: 'AddImageFile',
        method: 'PUT',
        suffix: '/file?compression=gzip',
        body: gzipFile('another file'),
        allowed: 'owner',
        document: true,
        outcome: (image) => (isActivated(image) ? immutable(image) : 200),
    },
    {
        name: 'AddImageIcon',
        method: 'PUT',
        suffix: '/icon',
        body: PNG,
        headers: { 'content-type': 'image/png' },
        allowed: 'owner',
        document: true,
        outcome: ok,
    },
    {
        name: 'DeleteImageIcon',
        method: 'DELETE',
        suffix: '/icon',
        allowed: 'owner',
        document: true,
        outcome: withIcon,
    },
];

/** Without Manta nothing can be exported, whoever asks. */
const exportImage = action('export', {
    suffix: '?action=export&manta_path=/vader/stor/x',
    outcome: () => ({ status: 503, code: 'StorageUnsupported', message: 'storage type is unsupported' }),
});

const ADMIN_WRITES: readonly Operation[] = [
    exportImage,
    action('change-stor', {
        suffix: '?action=change-stor&stor=local',
        allowed: 'operator',
        document: false,
        outcome: storageChange,
    }),
    action('import', {
        suffix: '?action=import&skip_owner_check=true',
        allowed: 'operator first',
        outcome: ({ uuid, state }) => (state === 'creating' ? 200 : uuidExists(uuid)),
    }),
];

/** Only an active image that is shared by name, and nobody but the account it is shared with. */
function cloning({ uuid, state }: Sample, caller: Caller): Outcome {
    const account = CALLERS[caller];
    if (account === undefined) return badAccount('undefined');
    if (state !== 'active') return validationFailed('image is not active', ['active', 'Invalid']);
    const message = `Image ${uuid} is not shared with account ${USERS[account]}`;
    return caller === 'member' ? 200 : { status: 422, code: 'ImageNotShared', message };
}

const cloneImage: Operation = {
    name: 'CloneImage',
    method: 'POST',
    suffix: '/clone',
    allowed: 'viewer',
    outcome: cloning,
};

const deleteImage: Operation = {
    name: 'DeleteImage',
    method: 'DELETE',
    suffix: '',
    allowed: 'owner',
    outcome: () => 204,
};

/** Every call that names an image. */
export const OPERATIONS: readonly Operation[] = [
    ...READS,
    ...FIELD_WRITES,
    ...BYTE_WRITES,
    ...ADMIN_WRITES,
    cloneImage,
    deleteImage,
];

/** The body of a call; an import sends the manifest of the image it is made on. */
export function bodyOf({ name, json }: Operation, { uuid }: Sample): unknown {
    return name === 'import' ? manifest({ uuid, name: 'imported' }) : json;
}

/**
 * What the rules say of a call.
 *
 * @param inChannel false: the call selects a channel the image is not in
 */
export function expectedOutcome(
    { allowed, outcome }: Operation,
    image: Sample,
    caller: Caller,
    inChannel = true,
): Outcome {
    if (allowed === 'operator first') return caller === 'operator' ? outcome(image, caller) : OPERATOR_ONLY;
    if (!inChannel || !sees(caller, image)) return notFound('image not found');
    if (allowed === 'operator' && caller !== 'operator') return OPERATOR_ONLY;
    const foreign = caller === 'member' || caller === 'stranger';
    if (allowed === 'owner' && foreign) return notOwner(USERS[CALLERS[caller]], image.uuid);
    return outcome(image, caller);
}
