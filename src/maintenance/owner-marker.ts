import { posix } from 'node:path';
import type { Clock } from '../base/clock.js';
import { systemClock } from '../base/clock.js';
import { isSettings } from '../base/config-rules.js';
import { ObjectStoreError, type ObjectStore } from '../remotes/object-store.js';

/** Age up to which a marker says that its owner is at work, milliseconds: it is refreshed every hour. */
export const MARKER_FRESH_MS = 7_200_000;

/** Largest marker that is read, bytes. */
const MAX_MARKER_SIZE = 4096;
/** How often a marker is looked at again that others change at the same time. */
const MAX_TRIES = 5;
const NAME = 'owner.json';

/** Who uses a Manta area, as a marker says; what it does not say in a readable way is absent. */
export interface MarkedOwner {
    readonly instance?: string;
    readonly host?: string;
    /** ISO date of the last refresh. */
    readonly time?: string;
}

/** Says to an operator whose an area is that is another's. */
export function foreignOwnerText({
    host = 'unknown',
    instance = 'unknown',
    time = 'unknown',
}: MarkedOwner): string {
    return `another host uses this Manta area: ${host}, instance ${instance}, last seen ${time}`;
}

/** The marker that is there. */
interface Marker {
    readonly owner: MarkedOwner;
    readonly etag: string | undefined;
    /** When it was refreshed, milliseconds since the epoch; not a number: nobody knows. */
    readonly at: number;
}

function parse(bytes: Buffer): MarkedOwner {
    try {
        const value: unknown = JSON.parse(bytes.toString());
        const text = (key: keyof MarkedOwner): Partial<MarkedOwner> =>
            isSettings(value) && typeof value[key] === 'string' ? { [key]: value[key] } : {};
        return { ...text('instance'), ...text('host'), ...text('time') };
    } catch {
        return {};
    }
}

/** When the store says that the marker was written. */
async function storedAt(objects: ObjectStore, directory: string): Promise<number> {
    for await (const { name, mtime } of objects.list(directory)) {
        if (name === NAME) {
            return mtime;
        }
    }
    return NaN;
}

async function readMarker(objects: ObjectStore, directory: string): Promise<Marker | undefined> {
    const path = posix.join(directory, NAME);
    const found = await objects.stat(path);
    if (found === undefined) {
        return undefined;
    }
    const isReadable = !found.isDirectory && found.size <= MAX_MARKER_SIZE;
    const read = isReadable
        ? await objects.read(path, MAX_MARKER_SIZE)
        : { bytes: Buffer.alloc(0), ...found };
    if (read === undefined) {
        return undefined;
    }
    const owner = parse(read.bytes);
    const time = owner.instance === undefined ? NaN : Date.parse(owner.time ?? '');
    const at = Number.isNaN(time) ? await storedAt(objects, directory) : time;
    return { owner, etag: read.etag, at };
}

/** A time to come is one of a clock that differs: nothing is taken from who has set it. */
function isFresh({ at }: Marker, clock: Clock): boolean {
    return clock.now() - at < MARKER_FRESH_MS;
}

/** The owner of a marker that another instance refreshes. */
function foreignOwner(marker: Marker | undefined, instance: string, clock: Clock): MarkedOwner | undefined {
    const isForeign = marker !== undefined && marker.owner.instance !== instance && isFresh(marker, clock);
    return isForeign ? marker.owner : undefined;
}

function markerDirectory(rootDir: string): string {
    return posix.join(rootDir, 'run');
}

/**
 * Who else is at work in a Manta area that only one host may use (operations 4.7). To be asked before
 * anything there is changed that belongs to all, such as a backup.
 *
 * @param rootDir `manta.rootDir` of the configuration
 * @param instance what tells this installation from others
 * @returns `undefined` when there is nobody
 * @throws as {@link ObjectStore} says
 */
export async function findForeignOwner(
    objects: ObjectStore,
    rootDir: string,
    instance: string,
    clock: Clock = systemClock,
): Promise<MarkedOwner | undefined> {
    return foreignOwner(await readMarker(objects, markerDirectory(rootDir)), instance, clock);
}

/** What {@link markOwner} writes, and where. */
export interface MarkOptions {
    readonly objects: ObjectStore;
    readonly rootDir: string;
    readonly instance: string;
    readonly host: string;
    readonly clock: Clock;
    readonly signal: AbortSignal;
    /** Told of a marker that nobody refreshes any more, or nobody can read, before it is replaced. */
    readonly onReplace: (owner: MarkedOwner) => void;
}

/**
 * Marks an area as that of an instance, unless another is at work there. Of two that try at the same
 * time one succeeds.
 *
 * @returns the other one; `undefined`: the area is marked
 * @throws as {@link ObjectStore} says
 */
export async function markOwner(options: MarkOptions): Promise<MarkedOwner | undefined> {
    const { objects, rootDir, instance, host, clock, signal } = options;
    const directory = markerDirectory(rootDir);
    for (let tries = 1; ; tries += 1) {
        signal.throwIfAborted();
        const marker = await readMarker(objects, directory);
        const foreign = foreignOwner(marker, instance, clock);
        if (foreign !== undefined) {
            return foreign;
        }
        if (marker !== undefined && marker.owner.instance !== instance) {
            options.onReplace(marker.owner);
        }
        const owner: Required<MarkedOwner> = { instance, host, time: new Date(clock.now()).toISOString() };
        try {
            await objects.makeDirectory(directory);
            await objects.put(posix.join(directory, NAME), Buffer.from(JSON.stringify(owner)), {
                contentType: 'application/json',
                ...(marker?.etag === undefined ? { ifNew: true } : { ifMatch: marker.etag }),
                signal,
            });
            return undefined;
        } catch (error) {
            const isChanged = error instanceof ObjectStoreError && error.status === 412;
            if (!isChanged || tries === MAX_TRIES) {
                throw error;
            }
        }
    }
}
