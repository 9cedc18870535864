// What the clients of a kill run write, at random, and what comes of it.
import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { manifest, sha1Hex } from '../helpers/images.js';

/** What a client knows of an image; `undefined` as a whole: there is none. */
export interface Known {
    readonly uuid: string;
    readonly description: string;
    readonly acl: readonly string[];
    readonly origin?: string;
    /** Hashes of the bytes. */
    readonly file?: string;
    readonly icon?: string;
    readonly activated: boolean;
}

/** The bytes an image has. */
export type Bytes = 'file' | 'icon';
export const BYTES: readonly Bytes[] = ['file', 'icon'];

/** One request of a write. */
export interface Send {
    readonly method: 'POST' | 'PUT' | 'DELETE';
    readonly path: string;
    readonly json?: unknown;
    readonly body?: Buffer;
    readonly contentType?: string;
}

/** A write and what it leads to. */
export interface Write {
    /** Sent at the same time, to different servers if there are several. */
    readonly requests: readonly Send[];
    /** What the image may be when all of them were acknowledged. */
    readonly after: readonly (Known | undefined)[];
    /** What is replaced; meanwhile the record names neither the old bytes nor the new ones. */
    readonly replaces?: Bytes;
    /** Called with the document of the last answer when all were acknowledged. */
    readonly onAcknowledged?: (document: Readonly<Record<string, unknown>> | undefined) => void;
    /** Called when one was cut off: it may have been done or not. */
    readonly onCut?: () => void;
}

export type Choice = () => Write;

/** The image without some of its bytes. */
export function without(known: Known, bytes: Bytes): Known {
    const { file, icon, ...others } = known;
    return {
        ...others,
        ...(bytes === 'file' || file === undefined ? {} : { file }),
        ...(bytes === 'icon' || icon === undefined ? {} : { icon }),
    };
}

const imageOf = ({ uuid }: Known): string => `/images/${uuid}`;

function change(known: Known, request: Send, changes: Partial<Known>): Write {
    return { requests: [request], after: [{ ...known, ...changes }] };
}

/** A new image under a uuid of the client's choice. */
export function importOf(
    uuid: string,
    facts: { readonly description: string; readonly origin?: string; readonly isPublic: boolean },
): Write {
    const { description, origin, isPublic } = facts;
    const more = { description, ...(origin === undefined ? {} : { origin }) };
    const json = manifest({ uuid, name: 'crash', type: 'other', os: 'other', public: isPublic, ...more });
    return {
        requests: [{ method: 'POST', path: `/images/${uuid}?action=import&skip_owner_check=true`, json }],
        after: [{ uuid, acl: [], activated: false, ...more }],
    };
}

/** Uploads of one file at the same time: one of them is the last. */
export function uploadOf(known: Known, count: number): Write {
    const bodies = Array.from({ length: count }, () => randomBytes(randomInt(1, 300_000)));
    return {
        requests: bodies.map((body) => ({
            method: 'PUT',
            path: `${imageOf(known)}/file?compression=none&sha1=${sha1Hex(body)}`,
            body,
        })),
        after: bodies.map((body) => ({ ...known, file: sha1Hex(body) })),
        replaces: 'file',
    };
}

function iconOf(known: Known): Write {
    const body = randomBytes(randomInt(1, 4096));
    const path = `${imageOf(known)}/icon`;
    const request: Send = { method: 'PUT', path, body, contentType: 'image/png' };
    return { ...change(known, request, { icon: sha1Hex(body) }), replaces: 'icon' };
}

/** What can be done with an image on any server. */
export function choicesOf(known: Known, description: string): Choice[] {
    const path = imageOf(known);
    const update: Send = { method: 'POST', path: `${path}?action=update`, json: { description } };
    const account = randomUUID();
    const share: Send = { method: 'POST', path: `${path}/acl`, json: [account] };
    const choices: Choice[] = [
        () => change(known, update, { description }),
        () => change(known, share, { acl: [...known.acl, account] }),
        () => iconOf(known),
    ];
    if (known.activated) {
        choices.push(() => ({ requests: [{ method: 'DELETE', path }], after: [undefined] }));
    } else {
        choices.push(() => uploadOf(known, 1));
        if (known.file !== undefined) {
            const activate: Send = { method: 'POST', path: `${path}?action=activate`, json: {} };
            choices.push(() => change(known, activate, { activated: true }));
        }
    }
    return choices;
}

/** What can be done besides where there are several servers. */
export function moreChoicesOf(known: Known): Choice[] {
    const path = imageOf(known);
    const uuid = randomUUID();
    const move: Send = { method: 'POST', path: `${path}?action=update`, json: { uuid } };
    const choices: Choice[] = [() => ({ requests: [{ method: 'DELETE', path }], after: [undefined] })];
    if (!known.activated) {
        choices.push(
            () => change(known, move, { uuid }),
            () => uploadOf(known, 2),
        );
    }
    if (known.icon !== undefined) {
        const request: Send = { method: 'DELETE', path: `${path}/icon` };
        choices.push(() => ({ requests: [request], after: [without(known, 'icon')] }));
    }
    return choices;
}
