import type { CountedImage } from './counted-image.js';

/** What images can be counted by. */
export const DIMENSIONS = ['owner', 'type', 'os', 'state', 'channel', 'stor'] as const;

export type Dimension = (typeof DIMENSIONS)[number];

/** How many images, and what their files and icons take. */
export interface Count {
    images: number;
    bytes: number;
}

/** One of the largest images. */
export interface LargeImage {
    readonly uuid: string;
    readonly name: string;
    readonly version: string;
    readonly bytes: number;
}

/** An image that others are based on and that is no use to them. */
export interface DeadOrigin {
    readonly uuid: string;
    readonly reason: 'missing' | 'not active';
    /** Based on it directly. */
    readonly images: number;
}

const LARGEST = 10;

/** What a value is called that an image does not have. */
const NONE = '(none)';

function bytesOf(files: CountedImage['files']): number {
    return files.reduce((sum, { size }) => sum + size, 0);
}

/** The values an image counts for, each with the bytes that count. */
function sharesOf(
    image: CountedImage,
    dimension: Dimension,
): readonly (readonly [value: string, bytes: number])[] {
    const { files, channels } = image;
    const bytes = bytesOf(files);
    switch (dimension) {
        case 'owner':
        case 'type':
        case 'os':
        case 'state':
            return [[image[dimension], bytes]];
        case 'channel':
            return channels.length === 0 ? [[NONE, bytes]] : channels.map((channel) => [channel, bytes]);
        case 'stor': {
            const stors = new Set(files.map(({ stor }) => stor));
            return stors.size === 0
                ? [[NONE, 0]]
                : [...stors].map((stor) => [stor, bytesOf(files.filter((file) => file.stor === stor))]);
        }
    }
}

/** Counts images as they come; holds of each no more than what it is based on. */
export class ImageStatistics {
    readonly total: Count = { images: 0, bytes: 0 };
    readonly #by: ReadonlyMap<Dimension, Map<string, Count>>;
    readonly #origins = new Map<string, string | undefined>();
    readonly #inactive = new Set<string>();
    readonly #uncounted = new Set<string>();
    #untoldIcons = 0;
    #largest: readonly LargeImage[] = [];

    constructor(dimensions: readonly Dimension[]) {
        this.#by = new Map(dimensions.map((dimension) => [dimension, new Map<string, Count>()]));
    }

    /** Takes in an image; one that is not in the channel asked for only as the origin of others. */
    take(image: CountedImage, channel: string | undefined): void {
        if (channel === undefined || image.channels.includes(channel)) {
            this.add(image);
        } else {
            this.#relate(image);
            this.#uncounted.add(image.uuid);
        }
    }

    add(image: CountedImage): void {
        this.#relate(image);
        const { uuid, name, version } = image;
        const bytes = bytesOf(image.files);
        this.#untoldIcons += image.hasUntoldIcon ? 1 : 0;
        this.total.images += 1;
        this.total.bytes += bytes;
        for (const [dimension, counts] of this.#by) {
            for (const [value, share] of sharesOf(image, dimension)) {
                const count = counts.get(value) ?? { images: 0, bytes: 0 };
                counts.set(value, { images: count.images + 1, bytes: count.bytes + share });
            }
        }
        if (bytes > (this.#largest[LARGEST - 1]?.bytes ?? 0)) {
            this.#largest = [...this.#largest, { uuid, name, version, bytes }]
                .sort((a, b) => b.bytes - a.bytes)
                .slice(0, LARGEST);
        }
    }

    /** Icons whose bytes are not in any number. */
    get untoldIcons(): number {
        return this.#untoldIcons;
    }

    get largest(): readonly LargeImage[] {
        return this.#largest;
    }

    /** Counts by the values of a dimension, the most bytes first. */
    by(dimension: Dimension): readonly (readonly [value: string, count: Count])[] {
        return [...(this.#by.get(dimension) ?? [])].sort(
            ([a, left], [b, right]) =>
                right.bytes - left.bytes || right.images - left.images || a.localeCompare(b, 'en'),
        );
    }

    /** How many images have so many below them; `undefined`: one of those is missing, or they go in a circle. */
    get depths(): ReadonlyMap<number | undefined, number> {
        const known = new Map<string, number | undefined>();
        const counts = new Map<number | undefined, number>();
        for (const uuid of this.#origins.keys()) {
            if (!this.#uncounted.has(uuid)) {
                const depth = this.#depthOf(uuid, known);
                counts.set(depth, (counts.get(depth) ?? 0) + 1);
            }
        }
        return new Map([...counts].sort(([a = Infinity], [b = Infinity]) => a - b));
    }

    /** Origins that are missing or not active, those of the most images first. */
    get deadOrigins(): readonly DeadOrigin[] {
        const images = new Map<string, number>();
        for (const [uuid, origin] of this.#origins) {
            const isDead = origin !== undefined && (!this.#origins.has(origin) || this.#inactive.has(origin));
            if (isDead && !this.#uncounted.has(uuid)) {
                images.set(origin, (images.get(origin) ?? 0) + 1);
            }
        }
        return [...images]
            .sort(([a, left], [b, right]) => right - left || a.localeCompare(b, 'en'))
            .map(([uuid, count]) => ({
                uuid,
                reason: this.#origins.has(uuid) ? 'not active' : 'missing',
                images: count,
            }));
    }

    #relate({ uuid, origin, isActive }: CountedImage): void {
        this.#origins.set(uuid, origin);
        if (!isActive) {
            this.#inactive.add(uuid);
        }
    }

    #depthOf(uuid: string, known: Map<string, number | undefined>): number | undefined {
        const path: string[] = [];
        const onPath = new Set<string>();
        let current: string | undefined = uuid;
        while (
            current !== undefined &&
            !known.has(current) &&
            !onPath.has(current) &&
            this.#origins.has(current)
        ) {
            path.push(current);
            onPath.add(current);
            current = this.#origins.get(current);
        }
        // Below the last one is nothing, something known, or no end.
        let depth = current === undefined ? -1 : known.get(current);
        for (const one of path.toReversed()) {
            depth = depth === undefined ? undefined : depth + 1;
            known.set(one, depth);
        }
        return known.get(uuid);
    }
}
