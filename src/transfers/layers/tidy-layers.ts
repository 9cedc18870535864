import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type Logger from 'bunyan';
import type { Clock } from '../../base/clock.js';
import { removeIfPresent } from '../../base/durable-files.js';
import { unlessMissing } from '../../base/unless-missing.js';
import { isUuid } from '../../base/uuid.js';
import type { LayerArea } from './layer-area.js';
import type { PartNames } from './part-names.js';

/** Age at which what lies in the area counts as left behind, milliseconds (jobs-and-imports 9.9). */
const STALE_MS = 86_400_000;
/** The same of half a pair: nobody takes that long between its two halves. */
const HALF_MS = 600_000;
/** Pairs that stay besides those that are in use (jobs-and-imports 9.9). */
const MAX_PAIRS = 100;

/** What {@link tidyLayers} needs. */
export interface TidyOptions {
    readonly area: LayerArea;
    readonly clock: Clock;
    readonly log: Logger;
    /** Whether this process needs the pair. */
    readonly isInUse: (uuid: string) => boolean;
    /** Removes a pair, or half of one, unless it is in use by then. */
    readonly remove: (uuid: string) => Promise<void>;
}

interface Found {
    readonly name: string;
    readonly uuid: string;
    /** What follows the uuid, without a dot. */
    readonly rest: string;
    readonly ageMs: number;
}

async function lookAround({ area, clock }: TidyOptions): Promise<readonly Found[]> {
    const found: Found[] = [];
    for (const name of (await unlessMissing(readdir(area.directory))) ?? []) {
        const facts = await unlessMissing(stat(join(area.directory, name)));
        if (facts?.isFile() === true) {
            const uuid = name.slice(0, 36);
            const rest = isUuid(uuid) ? name.slice(37) : name;
            found.push({ name, uuid, rest, ageMs: clock.now() - facts.mtimeMs });
        }
    }
    return found;
}

/** Files that belong to no pair: parts, temporary ones, and what nobody knows. */
async function isLeft({ rest, ageMs }: Found, names: PartNames): Promise<boolean> {
    const isPart = rest.endsWith('.part');
    return ageMs > STALE_MS || (isPart && (await names.isAbandoned(rest.slice(0, -'.part'.length))));
}

/** The uuids of pairs, and halves of pairs, that are too old or too many; the oldest of them go. */
function surplus(halves: readonly Found[], isInUse: (uuid: string) => boolean): readonly string[] {
    const ages = new Map<string, number[]>();
    for (const { uuid, ageMs } of halves) {
        if (!isInUse(uuid)) {
            ages.set(uuid, [...(ages.get(uuid) ?? []), ageMs]);
        }
    }
    const youngestFirst = [...ages]
        .map(([uuid, both]) => ({ uuid, isPair: both.length === 2, ageMs: Math.min(...both) }))
        .sort((a, b) => a.ageMs - b.ageMs);
    let pairs = 0;
    return youngestFirst
        .filter(({ isPair, ageMs }) => {
            pairs += isPair ? 1 : 0;
            return ageMs > (isPair ? STALE_MS : HALF_MS) || (isPair && pairs > MAX_PAIRS);
        })
        .map(({ uuid }) => uuid);
}

/**
 * Removes from the area what is too old, too much, or left by a process that is gone.
 *
 * @returns how many things were removed
 * @throws the reason of the signal, or the file system's errors
 */
export async function tidyLayers(options: TidyOptions, signal: AbortSignal): Promise<number> {
    const { area, isInUse, remove, log } = options;
    const found = await lookAround(options);
    const halves = found.filter(({ rest }) => rest === 'data' || rest === 'json');
    let removed = 0;
    for (const file of found.filter((one) => !halves.includes(one))) {
        signal.throwIfAborted();
        if (await isLeft(file, area.names)) {
            await removeIfPresent(join(area.directory, file.name));
            log.info({ file: file.name }, 'part of a layer removed that nobody waits for');
            removed += 1;
        }
    }
    for (const uuid of surplus(halves, isInUse)) {
        signal.throwIfAborted();
        await remove(uuid);
        log.info({ uuid }, 'staged layer removed');
        removed += 1;
    }
    return removed;
}
