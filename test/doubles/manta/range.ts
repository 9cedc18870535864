import { MantaError } from './manta-error.js';

/** Bytes `start` to `end`, both included. */
export interface ByteRange {
    readonly start: number;
    readonly end: number;
}

/** The one range a header asks for; `undefined`: everything. @throws what cannot be satisfied */
export function parseRange(header: string | undefined, size: number): ByteRange | undefined {
    if (header === undefined) return undefined;
    const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(header.trim()) ?? [];
    // Something else than one range is passed over, as HTTP has it.
    if (from === '' && to === '') return undefined;
    const start = from === '' ? Math.max(size - Number(to), 0) : Number(from);
    const end = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
    if (start >= size || end < start) {
        throw new MantaError(416, 'RequestedRangeNotSatisfiable', `${header} is not satisfiable`, {
            'content-range': `bytes */${size}`,
        });
    }
    return { start, end };
}
