import { ltr, Range, satisfies } from 'semver';

/** The API versions (README, API versions; http-api 1.9). */
const API_VERSIONS = ['1.0.0', '2.0.0', '2.1.0'] as const;

/** Range of a request that names none. */
const DEFAULT_RANGE = '~1';

/** Longer ranges are not looked at; real ones have a few characters. */
const MAX_RANGE_LENGTH = 256;
const MAX_REMEMBERED = 100;

/** What an `Accept-Version` range asks for. */
export interface VersionChoice {
    /** As received, or the default. */
    readonly range: string;
    /** Whether one of our versions satisfies it. */
    readonly supported: boolean;
    /** Whether image documents have the version 2 form (manifest 7.2). */
    readonly version2: boolean;
    /** Whether image documents have what is new in 2.1: the range admits that, but not 2.0 (jobs-and-imports 8.6). */
    readonly asksProvenance: boolean;
}

const UNKNOWN = { supported: false, version2: false, asksProvenance: false } as const;

function parse(range: string): VersionChoice {
    try {
        const parsed = new Range(range);
        const admits2 = satisfies('2.0.0', parsed);
        const asksProvenance = !admits2 && satisfies('2.1.0', parsed);
        return {
            range,
            supported: API_VERSIONS.some((version) => satisfies(version, parsed)),
            version2: admits2 || asksProvenance || ltr('2.0.0', parsed),
            asksProvenance,
        };
    } catch {
        return { range, ...UNKNOWN };
    }
}

const remembered = new Map<string, VersionChoice>();

/**
 * Reads an `Accept-Version` header: absent means `~1`, empty means any. Clients send the same few
 * ranges again and again, so a bounded number of answers is kept.
 */
export function chooseVersion(header: string | undefined): VersionChoice {
    const range = header === undefined ? DEFAULT_RANGE : header === '' ? '*' : header;
    const known = remembered.get(range);
    if (known !== undefined) {
        return known;
    }
    if (range.length > MAX_RANGE_LENGTH) {
        return { range, ...UNKNOWN };
    }
    const choice = parse(range);
    if (remembered.size < MAX_REMEMBERED) {
        remembered.set(range, choice);
    }
    return choice;
}
