import { OutgoingError } from '../../base/http-errors.js';
import { isObject } from '../../manifest/coerce.js';

/** Values that SAPI keeps for an application or a service; nothing is known of their types. */
export type Metadata = Readonly<Record<string, unknown>>;

/** An application or a service of SAPI. */
export interface SapiEntry {
    readonly uuid: string;
    readonly name: string;
    /** The account it belongs to. */
    readonly owner?: string;
    readonly metadata: Metadata;
}

function malformed(what: string): OutgoingError {
    return new OutgoingError('malformed', `SAPI: ${what}`);
}

/** An application or service. @throws OutgoingError `malformed` */
export function entryOf(body: unknown): SapiEntry {
    const { uuid, name, owner_uuid: owner, metadata } = isObject(body) ? body : {};
    if (typeof uuid !== 'string' || typeof name !== 'string') {
        throw malformed('an entry without a uuid or name');
    }
    return {
        uuid,
        name,
        metadata: isObject(metadata) ? metadata : {},
        ...(typeof owner === 'string' ? { owner } : {}),
    };
}

/** The entries of a list. @throws OutgoingError `malformed` */
export function entriesOf(body: unknown): readonly SapiEntry[] {
    if (!Array.isArray(body)) {
        throw malformed('a list that is none');
    }
    return body.map(entryOf);
}
