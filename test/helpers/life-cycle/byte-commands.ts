import { Readable } from 'node:stream';
import fc from 'fast-check';
import { md5Base64, sha1Hex } from '../images.js';
import { invalidParameter, notFound, type ExpectedError } from '../rows.js';
import { ownImage } from './change-commands.js';
import { accountOf, type Caller, keep, type Model, type ModelImage, Refusal, refused } from './model.js';
import { channelNames, commands, picked, query, type Step } from './step.js';
import { callers, contents, icons, type Pick, picks } from './values.js';

interface UploadInput {
    readonly pick: Pick;
    readonly caller: Caller;
    readonly channel: string | undefined;
    readonly content: number;
    /** Digest parameters: none, right, or of other bytes. */
    readonly sha1: 'none' | 'right' | 'upper' | 'wrong';
    readonly md5: 'none' | 'right' | 'wrong';
    readonly storage: string | undefined;
    /** Sent in chunks, without its length. */
    readonly chunked: boolean;
}

const usually = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
    fc.oneof(
        { weight: 14, arbitrary: fc.constant(usual) },
        { weight: others.length, arbitrary: fc.constantFrom(...others) },
    );

const upload = {
    pick: picks,
    caller: callers,
    channel: channelNames,
    sha1: usually<UploadInput['sha1']>('none', 'right', 'upper', 'wrong'),
    md5: usually<UploadInput['md5']>('none', 'right', 'wrong'),
    storage: usually<string | undefined>(undefined, 'local', 'manta', 'bogus'),
    chunked: fc.boolean(),
};

const WRONG_SHA1 = '0'.repeat(40);
const WRONG_MD5 = 'AAAAAAAAAAAAAAAAAAAAAA==';

function sha1Parameter({ sha1 }: UploadInput, bytes: Buffer): string | undefined {
    const right = sha1Hex(bytes);
    return { none: undefined, right, upper: right.toUpperCase(), wrong: WRONG_SHA1 }[sha1];
}

function md5Header({ md5 }: UploadInput, bytes: Buffer): Record<string, string> {
    if (md5 === 'none') return {};
    return { 'content-md5': md5 === 'right' ? md5Base64(bytes) : WRONG_MD5 };
}

function storageRefusal({ caller, storage }: UploadInput): ExpectedError | undefined {
    if (storage === undefined) return undefined;
    if (accountOf(caller) !== undefined) {
        return invalidParameter(`invalid storage "${storage}"`, [
            'storage',
            'NotAllowed',
            'Parameter cannot be specified by non-operators',
        ]);
    }
    const message = `invalid storage "${storage}" (must be one of local, manta)`;
    return storage === 'bogus' ? invalidParameter(message, ['storage', 'Invalid']) : undefined;
}

function badUpload(code: string, message: string): ExpectedError {
    return { status: 400, code, message };
}

/** Refusals for what the bytes are, in order (http-api 3.8 #9-#12, 3.12 #6-#8). */
function digestRefusal(input: UploadInput, bytes: Buffer, kind: 'file' | 'icon'): ExpectedError | undefined {
    const code = kind === 'file' ? 'Download' : 'Upload';
    if (bytes.length === 0) {
        const message =
            kind === 'file'
                ? 'image file size is 0 bytes, empty files are not allowed'
                : 'icon size is 0 bytes, empty icons are not allowed';
        return badUpload(code, message);
    }
    if (input.sha1 === 'wrong') {
        const what = kind === 'file' ? 'file' : 'icon file';
        return badUpload(
            code,
            `"sha1" hash, ${WRONG_SHA1}, does not match the uploaded ${what} sha1 hash, ${sha1Hex(bytes)}`,
        );
    }
    return input.md5 === 'wrong'
        ? badUpload('BadDigest', `Content-MD5 '${WRONG_MD5}' didn't match '${md5Base64(bytes)}'`)
        : undefined;
}

function uploadRequest(
    input: UploadInput,
    bytes: Buffer,
    path: string,
    headers: Readonly<Record<string, string>>,
): Omit<Step, 'expected'> {
    const body = input.chunked ? Readable.from([bytes], { objectMode: false }) : bytes;
    return { method: 'PUT', path, body, headers: { ...md5Header(input, bytes), ...headers } };
}

interface FileInput extends UploadInput {
    readonly compression: string | undefined;
    readonly guid: string | undefined;
}

function fileRefusal(input: FileInput, image: ModelImage, bytes: Buffer): ExpectedError | undefined {
    const { compression } = input;
    if (image.activated) {
        const message = `cannot modify files on activated image ${String(image.fields['uuid'])}`;
        return { status: 422, code: 'ImageFilesImmutable', message };
    }
    if (compression === undefined) {
        return invalidParameter('missing "compression"', ['compression', 'Missing']);
    }
    if (compression === 'bogus') {
        const message = 'invalid compression "bogus" (must be one of gzip, bzip2, xz, none)';
        return invalidParameter(message, ['compression', 'Invalid']);
    }
    return storageRefusal(input) ?? digestRefusal(input, bytes, 'file');
}

export function filePlan(model: Model, input: FileInput): Step {
    const { caller, channel, compression = '', guid } = input;
    const bytes = contents[input.content] ?? Buffer.alloc(0);
    const uuid = picked(model, input.pick);
    const image = ownImage(model, uuid, input);
    const refusal = image instanceof Refusal ? undefined : fileRefusal(input, image, bytes);
    const path = `/images/${uuid}/file${query(caller, {
        channel,
        compression: input.compression,
        dataset_guid: guid,
        storage: input.storage,
        sha1: sha1Parameter(input, bytes),
    })}`;
    const change = (loaded: ModelImage): ModelImage =>
        keep(model, { ...loaded, file: { bytes, compression, ...(guid ? { dataset_guid: guid } : {}) } });
    return {
        ...uploadRequest(input, bytes, path, { 'content-type': 'application/octet-stream' }),
        expected: image instanceof Refusal ? image : refusal ? refused(refusal) : () => change(image),
    };
}

export const fileCommands = commands(
    'file',
    fc.record<FileInput>({
        ...upload,
        content: usually(0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 3),
        compression: usually<string | undefined>('gzip', 'none', 'xz', undefined, 'bogus'),
        guid: usually<string | undefined>(undefined, '12174250418047371888', ''),
    }),
    filePlan,
);

interface IconInput extends UploadInput {
    readonly contentType: string | undefined;
}

function iconRefusal(input: IconInput, bytes: Buffer): ExpectedError | undefined {
    const { contentType } = input;
    const media = contentType?.split(';')[0]?.toLowerCase();
    if (media !== 'image/png' && media !== 'image/gif') {
        const message = `invalid content-type, ${contentType}, must be one of image/jpeg, image/gif, image/png`;
        return badUpload('Upload', message);
    }
    const badStorage = storageRefusal(input);
    if (badStorage !== undefined) return badStorage;
    if (bytes.length > 131_072) {
        const size = input.chunked ? 'size' : `size ${bytes.length} (from Content-Length)`;
        return badUpload('Upload', `icon ${size} exceeds the maximum allowed size, 128 KiB`);
    }
    return digestRefusal(input, bytes, 'icon');
}

export const iconCommands = commands(
    'icon',
    fc.record<IconInput>({
        ...upload,
        content: usually(0, 1, 1, 2, 3),
        contentType: usually<string | undefined>(
            'image/png',
            'image/gif',
            'IMAGE/PNG; charset=x',
            'text/plain',
            undefined,
        ),
    }),
    (model, input) => {
        const { caller, channel, contentType } = input;
        const bytes = icons[input.content] ?? Buffer.alloc(0);
        const uuid = picked(model, input.pick);
        const image = ownImage(model, uuid, input);
        const refusal = image instanceof Refusal ? undefined : iconRefusal(input, bytes);
        const path = `/images/${uuid}/icon${query(caller, {
            channel,
            storage: input.storage,
            sha1: sha1Parameter(input, bytes),
        })}`;
        const media = contentType?.split(';')[0]?.toLowerCase() ?? '';
        return {
            ...uploadRequest(
                input,
                bytes,
                path,
                contentType === undefined ? {} : { 'content-type': contentType },
            ),
            expected:
                image instanceof Refusal
                    ? image
                    : refusal
                      ? refused(refusal)
                      : () => keep(model, { ...image, icon: { bytes, contentType: media } }),
        };
    },
);

export const deleteIconCommands = commands(
    'delete-icon',
    fc.record({ pick: picks, caller: callers, channel: channelNames }),
    (model, input) => {
        const uuid = picked(model, input.pick);
        const image = ownImage(model, uuid, input);
        const expected = (loaded: ModelImage): Step['expected'] => {
            const { icon, ...rest } = loaded;
            return icon === undefined
                ? refused(notFound(`image "${uuid}" has no icon`))
                : () => keep(model, rest);
        };
        return {
            method: 'DELETE',
            path: `/images/${uuid}/icon${query(input.caller, { channel: input.channel })}`,
            expected: image instanceof Refusal ? image : expected(image),
        };
    },
);
