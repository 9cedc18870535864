import type { AnswerHeaders } from '../../base/http-client.js';
import { OutgoingError } from '../../base/http-errors.js';
import type { Instance } from '../instances.js';

const TEXT_FIELDS = ['alias', 'owner_uuid', 'state', 'brand', 'server_uuid'] as const;

function instanceOf(value: unknown): Instance {
    const entry: Readonly<Record<string, unknown>> =
        typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
    const { uuid } = entry;
    if (typeof uuid !== 'string') {
        throw new OutgoingError('malformed', 'VMAPI: an instance without a uuid');
    }
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

/** How many instances match in all, whatever the page; `undefined` when VMAPI does not tell. */
export function totalOf(headers: AnswerHeaders): number | undefined {
    const total = headers['x-joyent-resource-count'];
    return typeof total === 'string' && /^\d{1,15}$/.test(total) ? Number(total) : undefined;
}
