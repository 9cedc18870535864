import type { AnswerHeaders } from '../../base/http-client.js';
import { OutgoingError } from '../../base/http-errors.js';
import { isObject } from '../../manifest/coerce.js';
import type { Instance, InstanceFacts } from '../instances.js';

type Fields = Readonly<Record<string, unknown>>;

const TEXT_FIELDS = ['alias', 'owner_uuid', 'state', 'brand', 'server_uuid'] as const;

/** The fields of an instance. @throws OutgoingError `malformed` when it has no uuid */
function identified(value: unknown): { readonly uuid: string; readonly entry: Fields } {
    const entry = isObject(value) ? value : {};
    const { uuid } = entry;
    if (typeof uuid !== 'string') {
        throw new OutgoingError('malformed', 'VMAPI: an instance without a uuid');
    }
    return { uuid, entry };
}

function instanceOf(value: unknown): Instance {
    const { uuid, entry } = identified(value);
    const texts = TEXT_FIELDS.filter((field) => typeof entry[field] === 'string');
    return { uuid, ...Object.fromEntries(texts.map((field) => [field, entry[field]])) };
}

/**
 * The instances of a `GET /vms` answer, with the fields we know; those that are no text are left out.
 *
 * @throws OutgoingError `malformed`
 */
export function instancesOf(body: unknown): readonly Instance[] {
    if (!Array.isArray(body)) {
        throw new OutgoingError('malformed', 'VMAPI: the list of instances is no list');
    }
    return body.map(instanceOf);
}

/** A text field that says something. */
function textOf(entry: Fields, key: string): string | undefined {
    const value = entry[key];
    return typeof value === 'string' && value !== '' ? value : undefined;
}

function diskImagesOf({ disks }: Fields): readonly string[] {
    const images = (Array.isArray(disks) ? disks : []).map((disk: unknown) =>
        isObject(disk) ? textOf(disk, 'image_uuid') : undefined,
    );
    return images.filter((image) => image !== undefined);
}

/** The instance of a `GET /vms/:uuid` answer. @throws OutgoingError `malformed` */
export function instanceFactsOf(body: unknown): InstanceFacts {
    const { uuid, entry } = identified(body);
    const brand = textOf(entry, 'brand');
    const imageUuid = textOf(entry, 'image_uuid');
    const kernelVersion = textOf(entry, 'kernel_version');
    const serverUuid = textOf(entry, 'server_uuid');
    return {
        uuid,
        diskImages: diskImagesOf(entry),
        isDocker: Boolean(entry['docker']),
        ...(brand === undefined ? {} : { brand }),
        ...(imageUuid === undefined ? {} : { imageUuid }),
        ...(kernelVersion === undefined ? {} : { kernelVersion }),
        ...(serverUuid === undefined ? {} : { serverUuid }),
    };
}

/** How many instances match in all, whatever the page; `undefined` when VMAPI does not tell. */
export function totalOf(headers: AnswerHeaders): number | undefined {
    const total = headers['x-joyent-resource-count'];
    return typeof total === 'string' && /^\d{1,15}$/.test(total) ? Number(total) : undefined;
}
