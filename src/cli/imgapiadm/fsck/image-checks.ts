import { MAX_ORIGIN_DEPTH } from '../../../base/constants.js';
import { toBoolean } from '../../../manifest/coerce.js';
import { restoreLine } from './entry-checks.js';
import type { Check, Complaint, Place, Subject } from './check.js';

/** What of a record matters to others. */
export interface ImageFacts {
    readonly uuid: string;
    /** Whether the server can use the record. */
    readonly isUsable: boolean;
    readonly name: string;
    readonly version: string;
    readonly owner: string;
    readonly state: 'unactivated' | 'active' | 'disabled';
    readonly origin: string | undefined;
    readonly urn: string | undefined;
}

/** All records by uuid. */
export type Images = ReadonlyMap<string, ImageFacts>;

/** A check of a record among all others. */
export interface ImageCheck extends Check {
    readonly look: (images: Images, place: Place) => Iterable<readonly [uuid: string, complaint: Complaint]>;
}

function textOf(value: unknown): string | undefined {
    return typeof value === 'string' && value !== '' ? value : undefined;
}

/** The {@link ImageFacts} of a record. */
export function factsOf({ record: { uuid, current }, raw }: Subject): ImageFacts {
    const activated = toBoolean(current['activated']) === true;
    const usable = toBoolean(current['disabled']) === true ? 'disabled' : 'active';
    return {
        uuid,
        isUsable: raw !== undefined,
        name: String(current['name']),
        version: String(current['version']),
        owner: String(current['owner']),
        state: activated ? usable : 'unactivated',
        origin: textOf(current['origin']),
        urn: textOf(current['urn']),
    };
}

/** What is wrong with the image that another one is directly based on. */
function originComplaint(origin: string, images: Images, { tool }: Place): Complaint | undefined {
    const found = images.get(origin);
    if (found === undefined) {
        return {
            message: `origin ${origin} is missing`,
            advice: [`${tool} import -S URL ${origin}`, restoreLine(origin)],
        };
    }
    if (!found.isUsable) {
        return { message: `origin ${origin} has a record that the server cannot use` };
    }
    if (found.state === 'unactivated') {
        return { message: `origin ${origin} is not active`, advice: [`${tool} activate ${origin}`] };
    }
    // It can still be used, and based on.
    return found.state === 'disabled'
        ? { message: `origin ${origin} is disabled`, severity: 'info' }
        : undefined;
}

/** Where the origins of an image lead, from the first one on. */
function chainComplaint({ uuid, origin }: ImageFacts, images: Images): Complaint | undefined {
    const seen = new Set([uuid]);
    for (let next = origin; next !== undefined; next = images.get(next)?.origin) {
        if (seen.has(next)) {
            const where = next === uuid ? 'it is' : `its origin ${next} is`;
            return { message: `${where} based on itself: the origins go round in a circle` };
        }
        seen.add(next);
        if (seen.size > MAX_ORIGIN_DEPTH + 1) {
            return { message: `its chain of origins is longer than ${MAX_ORIGIN_DEPTH}` };
        }
    }
    return undefined;
}

export const ORIGIN: ImageCheck = {
    name: 'origin',
    severity: 'error',
    finds: `an origin that is missing or not active (disabled: info), a circle of origins, more than ${MAX_ORIGIN_DEPTH} of them`,
    shown: { only: 'images that the server shows: others count as missing' },
    *look(images, place) {
        for (const facts of images.values()) {
            if (facts.origin !== undefined) {
                const complaints = [
                    originComplaint(facts.origin, images, place),
                    chainComplaint(facts, images),
                ];
                for (const complaint of complaints.filter((one) => one !== undefined)) {
                    yield [facts.uuid, complaint];
                }
            }
        }
    },
};

const MAX_NAMED = 5;

/** The others of a group, by name as far as there are few. */
function others(group: readonly ImageFacts[], facts: ImageFacts): string {
    const shown = group.slice(0, MAX_NAMED + 1).filter((other) => other !== facts);
    const named = shown.slice(0, MAX_NAMED).map(({ uuid }) => uuid);
    const more = group.length - 1 - named.length;
    return `${named.join(', ')}${more === 0 ? '' : ` and ${more} more`}`;
}

/** Images that say the same, each with the names of the others. */
function* sharing(
    images: Images,
    keyOf: (facts: ImageFacts) => string | undefined,
): Iterable<readonly [ImageFacts, string]> {
    const groups = new Map<string, ImageFacts[]>();
    for (const facts of images.values()) {
        const key = keyOf(facts);
        if (key !== undefined) {
            const group = groups.get(key) ?? [];
            group.push(facts);
            groups.set(key, group);
        }
    }
    for (const group of groups.values()) {
        for (const facts of group.length > 1 ? group : []) {
            yield [facts, others(group, facts)];
        }
    }
}

const DUPLICATE_NAME: ImageCheck = {
    name: 'duplicate-name',
    severity: 'info',
    finds: 'active images of the same owner, name and version',
    *look(images) {
        const key = ({ isUsable, state, owner, name, version }: ImageFacts): string | undefined =>
            isUsable && state === 'active' ? JSON.stringify([owner, name, version]) : undefined;
        for (const [{ uuid }, twins] of sharing(images, key)) {
            yield [uuid, { message: `same owner, name and version as ${twins}` }];
        }
    },
};

const DUPLICATE_URN: ImageCheck = {
    name: 'duplicate-urn',
    severity: 'error',
    finds: 'two images with the same "urn", which Moray would refuse',
    *look(images) {
        for (const [{ uuid, urn = '' }, twins] of sharing(images, (facts) => facts.urn)) {
            yield [uuid, { message: `same urn "${urn}" as ${twins}` }];
        }
    },
};

/** Checks of all records together, in the order of operations 2.5. */
export const IMAGE_CHECKS: readonly ImageCheck[] = [ORIGIN, DUPLICATE_NAME, DUPLICATE_URN];
