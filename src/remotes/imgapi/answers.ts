import type { AnswerHeaders } from '../../base/http-client.js';
import { OutgoingError } from '../../base/http-errors.js';
import type { JsonObject } from '../../manifest/types.js';

/** An object of which nothing is known. */
export type Fields = Readonly<Record<string, unknown>>;

/** A file of an image on another server. */
export interface RemoteFile {
    readonly size: number;
    /** Storage that has it. */
    readonly stor: string;
}

/** What is known of an image on another server, admin fields included (http-api 1.13). */
export interface RemoteImage {
    readonly uuid: string;
    readonly name: string;
    readonly version: string;
    readonly files: readonly RemoteFile[];
    /** Where icons lie is not told. */
    readonly hasIcon: boolean;
    readonly channels: readonly string[];
}

/** What a server tells of itself (operations 1.7). */
export interface RemoteState {
    readonly version: string;
    /** Process id; absent: it does not say. */
    readonly pid?: number;
    readonly storageTypes: readonly string[];
    /** Names; none: the server has no channels. */
    readonly channels: readonly string[];
    /** Whether the process that answered may change images. */
    readonly isWriter: boolean;
    /** Names of the temporary files of uploads that it is receiving. */
    readonly uploads: readonly string[];
    /** Absent: it does not say. */
    readonly mode?: string;
    /** How many images it holds in memory; absent: it does not. */
    readonly images?: number;
    /** What its checks of itself and of what it depends on have said, by their names (operations 1.6). */
    readonly checks: ReadonlyMap<string, Fields>;
}

/** An image document, as it is sent. */
export type ImageDocument = JsonObject & { readonly uuid: string };

/** What a server tells of a job (jobs-and-imports 8.3). */
export interface RemoteJob {
    readonly execution: string;
    /** Bytes so far; none where the server does not know. */
    readonly bytesDone: number;
    readonly error?: { readonly code?: string; readonly message: string };
}

function malformed(what: string): OutgoingError {
    return new OutgoingError('malformed', `image server: ${what}`);
}

function fieldsOf(value: unknown, what: string): Fields {
    if (typeof value !== 'object' || value === null) {
        throw malformed(`${what} is no object`);
    }
    return value as Fields;
}

function textOf(fields: Fields, key: string): string {
    const value = fields[key];
    return typeof value === 'string' ? value : '';
}

function listOf(value: unknown): readonly unknown[] {
    return Array.isArray(value) ? value : [];
}

function isText(value: unknown): value is string {
    return typeof value === 'string';
}

function fileOf(value: unknown): RemoteFile {
    const { size, stor } = fieldsOf(value, 'a file');
    if (typeof stor !== 'string') {
        throw malformed('a file without its storage');
    }
    return { size: typeof size === 'number' ? size : 0, stor };
}

/** An image document that was asked for with admin fields. @throws OutgoingError `malformed` */
export function imageOf(value: unknown): RemoteImage {
    const fields = fieldsOf(value, 'an image');
    const uuid = textOf(fields, 'uuid');
    if (uuid === '') {
        throw malformed('an image without a uuid');
    }
    return {
        uuid,
        name: textOf(fields, 'name'),
        version: textOf(fields, 'version'),
        files: listOf(fields['files']).map(fileOf),
        hasIcon: fields['icon'] === true,
        channels: listOf(fields['channels']).filter(isText),
    };
}

/** A list of images. @throws OutgoingError `malformed` */
export function imagesOf(value: unknown): readonly RemoteImage[] {
    if (!Array.isArray(value)) {
        throw malformed('the list of images is no list');
    }
    return value.map(imageOf);
}

/** An answer of `GET /state`. @throws OutgoingError `malformed` */
export function stateOf(value: unknown): RemoteState {
    const fields = fieldsOf(value, 'the state');
    const storageTypes = fields['storageTypes'];
    if (!Array.isArray(storageTypes)) {
        throw malformed('its state does not name its storages');
    }
    const { pid, images, dependencies } = fields;
    const mode = textOf(fields, 'mode');
    return {
        version: textOf(fields, 'version'),
        ...(typeof pid === 'number' ? { pid } : {}),
        storageTypes: storageTypes.filter(isText),
        channels: listOf(fields['channels'])
            .map((channel) => textOf(fieldsOf(channel, 'a channel'), 'name'))
            .filter((name) => name !== ''),
        isWriter: fields['role'] !== 'reader',
        uploads: listOf(fields['uploads']).filter(isText),
        ...(mode === '' ? {} : { mode }),
        ...(typeof images === 'number' ? { images } : {}),
        checks: new Map(
            Object.entries(fieldsOf(dependencies ?? {}, 'what it depends on')).map(([name, check]) => [
                name,
                fieldsOf(check, 'a check'),
            ]),
        ),
    };
}

/** An image document with all it has. @throws OutgoingError `malformed` */
export function documentOf(value: unknown): ImageDocument {
    const fields = fieldsOf(value, 'an image');
    if (textOf(fields, 'uuid') === '') {
        throw malformed('an image without a uuid');
    }
    return fields as ImageDocument;
}

/** A list of image documents. @throws OutgoingError `malformed` */
export function documentsOf(value: unknown): readonly ImageDocument[] {
    if (!Array.isArray(value)) {
        throw malformed('the list of images is no list');
    }
    return value.map(documentOf);
}

/** What the headers of an answer tell of the bytes that it brings. @throws OutgoingError `malformed` */
export function fileFactsOf(headers: AnswerHeaders): { readonly size: number; readonly md5?: string } {
    const [length, md5] = [headers['content-length'], headers['content-md5']];
    if (typeof length !== 'string' || !/^\d{1,15}$/.test(length)) {
        throw malformed('an answer without its length');
    }
    return { size: Number(length), ...(typeof md5 === 'string' ? { md5 } : {}) };
}

/** The job an answer to a wish names. @throws OutgoingError `malformed` */
export function startedJobOf(value: unknown): string {
    const uuid = textOf(fieldsOf(value, 'an answer'), 'job_uuid');
    if (uuid === '') {
        throw malformed('an answer without a job');
    }
    return uuid;
}

function jobErrorOf(value: unknown): RemoteJob['error'] {
    if (typeof value !== 'object' || value === null) {
        return undefined;
    }
    const fields = value as Fields;
    const code = textOf(fields, 'code');
    return { message: textOf(fields, 'message'), ...(code === '' ? {} : { code }) };
}

/** The progress of a job. @throws OutgoingError `malformed` */
export function jobOf(value: unknown): RemoteJob {
    const fields = fieldsOf(value, 'a job');
    const bytes = fields['bytes_done'];
    const error = jobErrorOf(fields['error']);
    return {
        execution: textOf(fields, 'execution'),
        bytesDone: typeof bytes === 'number' && bytes > 0 ? bytes : 0,
        ...(error === undefined ? {} : { error }),
    };
}
