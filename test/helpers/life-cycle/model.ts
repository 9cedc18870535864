import { md5Base64, sha1Hex, USERS } from '../images.js';
import { notFound, notOwner, validationFailed, type ExpectedError } from '../rows.js';

/** Whatever can be written as JSON, as a manifest field may hold it. */
export type Value = unknown;
export type Fields = Readonly<Record<string, Value>>;

/** Accounts that take part; whoever else is named is a stranger. */
export const ACCOUNTS = [USERS.vader, USERS.luke, USERS.emperor] as const;
/** An account nobody knows. */
export const STRANGER = 'dddddddd-2547-11e2-b758-63a2afd747d1';
export const UNSET_OWNER = '00000000-0000-0000-0000-000000000000';
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Who asks: the operator, or one of {@link ACCOUNTS} by its index. */
export type Caller = 'operator' | 0 | 1 | 2;

/** The account of a call, `undefined` for the operator. */
export function accountOf(caller: Caller): string | undefined {
    return caller === 'operator' ? undefined : ACCOUNTS[caller];
}

export interface ModelFile {
    readonly bytes: Buffer;
    readonly compression: string;
    readonly dataset_guid?: string;
    readonly digest?: string;
    readonly uncompressedDigest?: string;
}

export interface ModelIcon {
    readonly bytes: Buffer;
    readonly contentType: string;
}

/** An image as its clients must find it. Never changed in place. */
export interface ModelImage {
    /** Fields of the manifest that are set, those with odd spellings in their proper form. */
    readonly fields: Fields;
    readonly activated: boolean;
    readonly file?: ModelFile;
    readonly icon?: ModelIcon;
    /** An entity tag this image had before its last change. */
    readonly earlierTag?: string;
}

/** What a server is configured to be, as far as clients notice. */
export interface Rules {
    readonly mode: 'dc' | 'private';
    /** Names of the channels, the default one first. */
    readonly channels?: readonly string[];
    /** Accounts that exist; not given: nobody looks. */
    readonly knownOwners?: ReadonlySet<string>;
}

/** The whole registry in memory. */
export interface Model {
    readonly rules: Rules;
    readonly images: Map<string, ModelImage>;
    /** Uuids that were images once. */
    readonly former: Set<string>;
}

export function uuidOf(image: ModelImage): string {
    return String(image.fields['uuid']);
}

export function ownerOf(image: ModelImage): string {
    return String(image.fields['owner']);
}

export function list(image: ModelImage, field: string): readonly string[] {
    return (image.fields[field] ?? []) as readonly string[];
}

/** Order of the keys of an image document (http-api 1.13); the entity tag depends on it. */
const DOCUMENT_KEYS = [
    ...['v', 'uuid', 'owner', 'name', 'version', 'state', 'disabled', 'public', 'published_at', 'type', 'os'],
    ...['files', 'acl', 'description', 'homepage', 'eula', 'icon', 'urn', 'requirements', 'users'],
    ...['generate_passwords', 'inherited_directories', 'origin', 'nic_driver', 'disk_driver', 'cpu_type'],
    ...['image_size', 'tags', 'billing_tags', 'traits', 'error', 'channels'],
] as const;

function fileDocument(file: ModelFile, withStorage: boolean): Fields {
    return {
        sha1: sha1Hex(file.bytes),
        size: file.bytes.length,
        compression: file.compression,
        ...(file.dataset_guid === undefined ? {} : { dataset_guid: file.dataset_guid }),
        ...(file.digest === undefined ? {} : { digest: file.digest }),
        ...(file.uncompressedDigest === undefined ? {} : { uncompressedDigest: file.uncompressedDigest }),
        ...(withStorage ? { stor: 'local' } : {}),
    };
}

function isShown(key: string, value: Value, image: ModelImage): boolean {
    switch (key) {
        case 'acl':
        case 'billing_tags':
            return ((value ?? []) as readonly unknown[]).length > 0;
        case 'traits':
            return Object.keys(value ?? {}).length > 0;
        case 'description':
        case 'homepage':
        case 'eula':
        case 'nic_driver':
        case 'disk_driver':
        case 'cpu_type':
        case 'image_size':
            return Boolean(value);
        case 'error':
            return image.fields['state'] === 'failed' && value !== undefined;
        default:
            return value !== undefined;
    }
}

/** The document of an image in version 2 form (http-api 1.13, manifest 7). */
export function documentOf(image: ModelImage, withStorage = false): Fields {
    const all: Fields = {
        ...image.fields,
        // Always shown, also by a placeholder that has none.
        public: image.fields['public'] === true,
        files: image.file === undefined ? [] : [fileDocument(image.file, withStorage)],
        icon: image.icon === undefined ? undefined : true,
    };
    return Object.fromEntries(
        DOCUMENT_KEYS.map((key) => [key, all[key]] as const).filter(([key, value]) =>
            isShown(key, value, image),
        ),
    );
}

export function tagOf(document: Fields): string {
    return sha1Hex(JSON.stringify(document));
}

/** Headers that describe stored bytes (http-api 1.6). */
export function byteHeaders(bytes: Buffer, contentType: string): Readonly<Record<string, string>> {
    return {
        'content-type': contentType,
        etag: sha1Hex(bytes),
        'content-md5': md5Base64(bytes),
        'accept-ranges': 'bytes',
    };
}

/** State of an image by what was done to it (http-api 1.14). */
export function computedState(activated: boolean, disabled: boolean): string {
    if (!activated) return 'unactivated';
    return disabled ? 'disabled' : 'active';
}

/** Whether an account may see an image (http-api 1.15). */
export function mayAccess(image: ModelImage, account: string): boolean {
    if (ownerOf(image) === account) return true;
    if (!image.activated) return false;
    return image.fields['public'] === true || list(image, 'acl').includes(account);
}

/** An expectation that the call is refused. */
export class Refusal {
    constructor(readonly error: ExpectedError) {}
}

export function refused(error: ExpectedError): Refusal {
    return new Refusal(error);
}

/** The channel a request works in; `undefined`: no restriction (http-api 1.12 CHAN, CHAN*). */
export function selectChannel(
    model: Model,
    name: string | undefined,
    starAllowed = false,
): string | undefined | Refusal {
    const { channels } = model.rules;
    if (channels === undefined) return undefined;
    if (name === undefined || name === '') return channels[0];
    if (name === '*' && starAllowed) return undefined;
    if (channels.includes(name)) return name;
    return refused(validationFailed(`unknown channel: ${name}`, ['channel', 'Invalid']));
}

/** LOAD of http-api 1.12. */
export function load(
    model: Model,
    uuid: string,
    caller: Caller,
    channel: string | undefined,
): ModelImage | Refusal {
    const image = model.images.get(uuid);
    if (image === undefined) return refused(notFound(`image ${uuid} not found`));
    const account = accountOf(caller);
    const inChannel = channel === undefined || list(image, 'channels').includes(channel);
    if (!inChannel || (account !== undefined && !mayAccess(image, account))) {
        return refused(notFound('image not found'));
    }
    return image;
}

/** LOAD, then OWNER. */
export function loadOwn(
    model: Model,
    uuid: string,
    caller: Caller,
    channel: string | undefined,
): ModelImage | Refusal {
    const image = load(model, uuid, caller, channel);
    if (image instanceof Refusal) return image;
    const account = accountOf(caller);
    return account === undefined || account === ownerOf(image)
        ? image
        : refused(notOwner(account, uuidOf(image)));
}

/** Other images that were made from one, of any state; those in one channel, if one is given. */
export function dependentsOf(model: Model, uuid: string, channel?: string): readonly string[] {
    return [...model.images.values()]
        .filter((image) => image.fields['origin'] === uuid && uuidOf(image) !== uuid)
        .filter((image) => channel === undefined || list(image, 'channels').includes(channel))
        .sort(compareImages)
        .map(uuidOf);
}

/** Whether an image, with this origin, would be among its own ancestors. */
export function wouldLoop(model: Model, uuid: string, origin: Value): boolean {
    let at = origin;
    for (let steps = 0; typeof at === 'string' && steps <= model.images.size; steps += 1) {
        if (at === uuid) return true;
        at = model.images.get(at)?.fields['origin'];
    }
    return false;
}

/** Stores an image as it is after a change. */
export function keep(model: Model, image: ModelImage): ModelImage {
    const uuid = uuidOf(image);
    const before = model.images.get(uuid);
    const earlierTag = before === undefined ? image.earlierTag : tagOf(documentOf(before));
    const kept = { ...image, ...(earlierTag === undefined ? {} : { earlierTag }) };
    model.images.set(uuid, kept);
    return kept;
}

export function forget(model: Model, uuid: string): void {
    model.images.delete(uuid);
    model.former.add(uuid);
}

/** Milliseconds of the publication; an image without one sits at the epoch (http-api 3.1). */
export function publishedTime(image: ModelImage): number {
    const date = image.fields['published_at'];
    return typeof date === 'string' ? Date.parse(date) : 0;
}

/** The total order of lists (http-api D23). */
export function compareImages(a: ModelImage, b: ModelImage): number {
    const times = publishedTime(a) - publishedTime(b);
    if (times !== 0) return times;
    return uuidOf(a) < uuidOf(b) ? -1 : 1;
}
