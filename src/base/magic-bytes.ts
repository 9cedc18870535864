import type { FileCompression } from './constants.js';

/** How many first bytes of a file {@link compressionByMagic} looks at. */
export const MAGIC_LENGTH = 6;

/** What compressed files begin with (operations 5.5, jobs-and-imports 5.3). */
const MAGIC: readonly (readonly [FileCompression, readonly number[]])[] = [
    ['bzip2', [0x42, 0x5a, 0x68]],
    ['gzip', [0x1f, 0x8b, 0x08]],
    ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

/** Whether a file that begins with `first` begins with `magic`. */
export function hasMagic(first: Uint8Array, magic: readonly number[]): boolean {
    return magic.every((byte, at) => first[at] === byte);
}

/** The compression of a file that begins with these bytes; `undefined` when they do not tell. */
export function compressionByMagic(first: Uint8Array): FileCompression | undefined {
    return MAGIC.find(([, magic]) => hasMagic(first, magic))?.[0];
}
