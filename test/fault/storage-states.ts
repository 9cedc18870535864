// What an image may be, as far as its only client can know, and what the client does to it.
import { randomBytes, randomInt } from 'node:crypto';
import type { Document } from '../helpers/http-client.js';
import { manifest, sha1Hex } from '../helpers/images.js';
import type { Touched } from './outage-figures.js';

/** The bytes an image has. */
export type Slot = 'file' | 'icon';
export const SLOTS: readonly Slot[] = ['file', 'icon'];

/** Bytes, and the storage they are in. */
export interface Stored {
    readonly body: Buffer;
    readonly sha1: string;
    readonly stor: Touched;
}

/** An image; `undefined`: there is none. */
export type Known = { readonly [slot in Slot]?: Stored } | undefined;

/** What a client can do to an image. */
export interface Write {
    readonly method: 'POST' | 'PUT' | 'DELETE';
    readonly path: string;
    readonly json?: unknown;
    readonly body?: Buffer;
    readonly contentType?: string;
    /** The storages it has to do with besides those that have bytes of the image. */
    readonly stor?: Touched;
    /** What becomes of an image. */
    readonly after: (before: Known) => Known;
    /** What it replaces; meanwhile, and until a failure is settled, the record may not name it. */
    readonly replaces?: Slot;
}

/** Sizes of files, bytes. */
const SMALLEST = 100_000;
const LARGEST = 3_000_000;
/** Where the bytes of files come from. */
const POOL = randomBytes(2 * LARGEST);

/** Bytes that no other upload has. */
function newBytes(slot: Slot): Buffer {
    const size = slot === 'icon' ? randomInt(1000, 100_000) : randomInt(SMALLEST, LARGEST);
    const start = randomInt(LARGEST);
    return Buffer.concat([randomBytes(16), POOL.subarray(start, start + size)]);
}

/** Tells two states apart. */
export function keyOf(known: Known): string {
    if (known === undefined) return 'none';
    return SLOTS.map((slot) => `${slot} ${known[slot]?.sha1} ${known[slot]?.stor}`).join();
}

/** Whether an image has to do with Manta. */
export function touches(known: Known): Touched {
    return SLOTS.some((slot) => known?.[slot]?.stor === 'manta') ? 'manta' : 'local';
}

/** How a record, with admin fields, goes with what an image may be; `lacking`: but for bytes it may lack. */
export function fit(
    known: Known,
    found: Document | undefined,
    mayLack: ReadonlySet<Slot>,
): 'whole' | 'lacking' | 'no' {
    if (known === undefined || found === undefined) return known === found ? 'whole' : 'no';
    const [file] = found['files'] as readonly Document[];
    const isRight = {
        file: file?.['sha1'] === known.file?.sha1 && file?.['stor'] === known.file?.stor,
        icon: (found['icon'] === true) === (known.icon !== undefined),
    };
    const isAbsent = { file: file === undefined, icon: found['icon'] !== true };
    const wrong = SLOTS.filter((slot) => !isRight[slot]);
    if (wrong.length === 0) return 'whole';
    return wrong.every((slot) => isAbsent[slot] && mayLack.has(slot)) ? 'lacking' : 'no';
}

/** A new image. */
export function importOf(uuid: string): Write {
    return {
        method: 'POST',
        path: `/images/${uuid}?action=import`,
        json: manifest({ uuid, name: 'outage', type: 'other', os: 'other' }),
        after: () => ({}),
    };
}

/** New bytes for an image. */
export function uploadOf(uuid: string, slot: Slot, stor: Touched): Write {
    const body = newBytes(slot);
    const stored: Stored = { body, sha1: sha1Hex(body), stor };
    const query = slot === 'file' ? `compression=none&sha1=${stored.sha1}` : `sha1=${stored.sha1}`;
    return {
        method: 'PUT',
        path: `/images/${uuid}/${slot}?${query}&storage=${stor}`,
        body,
        ...(slot === 'icon' ? { contentType: 'image/png' } : {}),
        stor,
        after: (before) => ({ ...before, [slot]: stored }),
        replaces: slot,
    };
}

/** Everything that can be done to an image that is there, in these storages. */
export function choicesOf(
    uuid: string,
    known: NonNullable<Known>,
    stors: readonly Touched[],
): readonly (() => Write)[] {
    const path = `/images/${uuid}`;
    const stor = (): Touched => stors[randomInt(stors.length)] as Touched;
    const upload = (): Write => uploadOf(uuid, 'file', stor());
    const icon = (): Write => uploadOf(uuid, 'icon', stor());
    const remove = (): Write => ({ method: 'DELETE', path, after: () => undefined });
    const removeIcon = (): Write => ({
        method: 'DELETE',
        path: `${path}/icon`,
        after: (before) => (before?.file === undefined ? {} : { file: before.file }),
    });
    const { file } = known;
    const isMovable = stors.length > 1 && file !== undefined && known.icon === undefined;
    const move = (): Write => moveOf(uuid, file?.stor === 'local' ? 'manta' : 'local');
    return [
        upload,
        upload,
        upload,
        known.icon === undefined ? icon : removeIcon,
        icon,
        remove,
        ...(isMovable ? [move, move, move, move] : []),
    ];
}

function moveOf(uuid: string, stor: Touched): Write {
    return {
        method: 'POST',
        path: `/images/${uuid}?action=change-stor&stor=${stor}`,
        stor,
        after: (before) =>
            before?.file === undefined ? before : { ...before, file: { ...before.file, stor } },
    };
}
