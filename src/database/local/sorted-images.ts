import { comparePlaced, comparePositions, markerUuid, type PlacedImage } from '../match.js';
import type { Marker, Query } from '../query.js';

/** Most records of one block; a block that grows beyond is split in half. */
const BLOCK_SIZE = 512;

/** Number of leading items for which `isBefore` holds, where it holds for none after the first it does not. */
function countBefore<T>(items: readonly T[], isBefore: (item: T) => boolean): number {
    let low = 0;
    let high = items.length;
    while (low < high) {
        const middle = (low + high) >>> 1;
        // `middle` lies within the array.
        if (isBefore(items[middle] as T)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/**
 * Records in the total order (backends 2.2), in blocks of bounded size: adding and removing cost a
 * binary search and a short shift, and a walk may start anywhere.
 */
export class SortedImages {
    /** Blocks in order, none empty. */
    readonly #blocks: PlacedImage[][] = [];
    #size = 0;

    /** Number of records. */
    get size(): number {
        return this.#size;
    }

    /** Puts a record in its place; it must not be there yet. */
    add(image: PlacedImage): void {
        this.#size += 1;
        const lastBlock = this.#blocks.at(-1);
        const last = lastBlock?.at(-1);
        if (lastBlock === undefined || last === undefined || comparePlaced(last, image) < 0) {
            this.#append(lastBlock, image);
            return;
        }
        const [at, index] = this.#find(image.time, image.raw.uuid);
        // The record is before the last one, so there is a block for it.
        const block = this.#blocks[at] ?? lastBlock;
        block.splice(index, 0, image);
        if (block.length > BLOCK_SIZE) {
            this.#blocks.splice(at + 1, 0, block.splice(block.length >>> 1));
        }
    }

    #append(lastBlock: PlacedImage[] | undefined, image: PlacedImage): void {
        if (lastBlock === undefined || lastBlock.length >= BLOCK_SIZE) {
            this.#blocks.push([image]);
        } else {
            lastBlock.push(image);
        }
    }

    /** Takes a record out; does nothing when it is not there. */
    remove(image: PlacedImage): void {
        const [at, index] = this.#find(image.time, image.raw.uuid);
        const block = this.#blocks[at];
        if (block?.[index] !== image) {
            return;
        }
        this.#size -= 1;
        block.splice(index, 1);
        if (block.length === 0) {
            this.#blocks.splice(at, 1);
        }
    }

    /** Calls `visit` for each record from the marker on, in the given direction, until it returns false. */
    walk(order: Query['order'], marker: Marker | undefined, visit: (image: PlacedImage) => boolean): void {
        if (order === 'asc') {
            this.#walkUp(
                marker === undefined ? [0, 0] : this.#find(marker.time, markerUuid(marker, order)),
                visit,
            );
        } else {
            this.#walkDown(
                marker === undefined
                    ? [this.#blocks.length, 0]
                    : this.#findBehind(marker.time, markerUuid(marker, order)),
                visit,
            );
        }
    }

    #walkUp([at, index]: readonly [number, number], visit: (image: PlacedImage) => boolean): void {
        let start = index;
        for (let b = at; b < this.#blocks.length; b += 1, start = 0) {
            const block = this.#blocks[b] ?? [];
            for (let i = start; i < block.length; i += 1) {
                if (!visit(block[i] as PlacedImage)) {
                    return;
                }
            }
        }
    }

    /** Visits what lies before the given place, last first. */
    #walkDown([at, index]: readonly [number, number], visit: (image: PlacedImage) => boolean): void {
        let end = index;
        for (let b = at; b >= 0; b -= 1, end = Infinity) {
            const block = this.#blocks[b] ?? [];
            for (let i = Math.min(end, block.length) - 1; i >= 0; i -= 1) {
                if (!visit(block[i] as PlacedImage)) {
                    return;
                }
            }
        }
    }

    /** Block and index of the first record that is not before the position. */
    #find(time: number, uuid: string): [number, number] {
        return this.#locate((image) => comparePositions(image.time, image.raw.uuid, time, uuid) < 0);
    }

    /** Block and index of the first record that is behind the position. */
    #findBehind(time: number, uuid: string): [number, number] {
        return this.#locate((image) => comparePositions(image.time, image.raw.uuid, time, uuid) <= 0);
    }

    #locate(isBefore: (image: PlacedImage) => boolean): [number, number] {
        // No block is empty, so each has a last record.
        const at = countBefore(this.#blocks, (block) => isBefore(block.at(-1) as PlacedImage));
        return [at, countBefore(this.#blocks[at] ?? [], isBefore)];
    }
}
