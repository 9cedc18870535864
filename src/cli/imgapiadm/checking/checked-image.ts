import { VALID_FILE_COMPRESSIONS } from '../../../base/constants.js';
import { fileName, namedEntries, storageNameOf } from '../../../images/image-files.js';
import type { ExpectedFile } from '../../../maintenance/verify-file.js';
import { provenanceOf } from '../../../manifest/provenance.js';
import type { RawImage } from '../../../manifest/types.js';
import type { ImageDocument } from '../../../remotes/imgapi/answers.js';
import type { StoredFileName } from '../../../storage/storage.js';

/** A file or icon of an image, as its record has it. */
export interface CheckedFile {
    readonly name: StoredFileName;
    /** Storage that has it. */
    readonly stor: string;
    readonly expected: ExpectedFile;
}

/** What is needed of an image to check its files, and to say what depends on it. */
export interface CheckedImage {
    readonly uuid: string;
    readonly name: string;
    readonly version: string;
    readonly state: string;
    readonly origin?: string;
    /** Tag `docker:id`. */
    readonly dockerId?: string;
    readonly channels: readonly string[];
    /** Server it came from, with these very files. */
    readonly source?: string;
    readonly files: readonly CheckedFile[];
}

/** Name of the storage of icons of which records are not told. */
const UNTOLD_STORAGE = 'local';

/** Which file it is, as reports and the cache name it. */
export function indexOf({ name }: Pick<CheckedFile, 'name'>): number | 'icon' {
    return name === 'icon' ? name : Number(name.slice('file'.length));
}

/** The source of an image whose bytes are the same there. */
function sourceOf(raw: RawImage): string | undefined {
    const provenance = provenanceOf(raw);
    return provenance?.source_image === raw.uuid ? provenance.source_url : undefined;
}

/** From a record. */
export function imageOfRecord(raw: RawImage): CheckedImage {
    const { uuid, name, version, state, origin, channels = [] } = raw;
    const dockerId = raw.tagsObj?.['docker:id'];
    const source = sourceOf(raw);
    return {
        uuid,
        name,
        version,
        state,
        channels,
        ...(origin === undefined ? {} : { origin }),
        ...(typeof dockerId === 'string' ? { dockerId } : {}),
        ...(source === undefined ? {} : { source }),
        files: namedEntries(raw).map(({ name: file, entry }) => ({
            name: file,
            stor: storageNameOf(entry),
            expected: entry,
        })),
    };
}

type Fields = Readonly<Record<string, unknown>>;

function textOf(fields: Fields, key: string): string | undefined {
    const value = fields[key];
    return typeof value === 'string' && value !== '' ? value : undefined;
}

function objectOf(value: unknown): Fields {
    return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function listOf(value: unknown): readonly unknown[] {
    return Array.isArray(value) ? value : [];
}

/** What a document tells of a file: no MD5, and of an icon nothing but that there is one. */
function fileOfDocument(value: unknown, index: number): CheckedFile {
    const fields = objectOf(value);
    const [sha1, size] = [textOf(fields, 'sha1'), fields['size']];
    const compression = VALID_FILE_COMPRESSIONS.find((known) => known === fields['compression']);
    return {
        name: fileName(index),
        stor: textOf(fields, 'stor') ?? UNTOLD_STORAGE,
        expected: {
            ...(typeof size === 'number' ? { size } : {}),
            ...(sha1 === undefined ? {} : { sha1 }),
            ...(compression === undefined ? {} : { compression }),
        },
    };
}

/** From what a server tells of an image, admin fields included. */
export function imageOfDocument(document: ImageDocument): CheckedImage {
    const origin = textOf(document, 'origin');
    const dockerId = textOf(objectOf(document['tags']), 'docker:id');
    const files = listOf(document['files']).map(fileOfDocument);
    const icon = { name: 'icon', stor: UNTOLD_STORAGE, expected: {} } as const;
    return {
        uuid: document.uuid,
        name: textOf(document, 'name') ?? '',
        version: textOf(document, 'version') ?? '',
        state: textOf(document, 'state') ?? '',
        channels: listOf(document['channels']).filter((name) => typeof name === 'string'),
        ...(origin === undefined ? {} : { origin }),
        ...(dockerId === undefined ? {} : { dockerId }),
        files: document['icon'] === true ? [...files, icon] : files,
    };
}

/** Whether what records say of a file at two moments is the same. */
export function isSameFile(a: CheckedFile, b: CheckedFile): boolean {
    return (
        a.stor === b.stor &&
        a.expected.size === b.expected.size &&
        a.expected.sha1 === b.expected.sha1 &&
        a.expected.contentMD5 === b.expected.contentMD5
    );
}
