import type { ComputeNode } from '../../remotes/compute-nodes.js';

/** The version of platforms that do not tell theirs. */
const OLDEST_VERSION = '6.5';
/** `YYYYMMDDTHHMMSSZ`. */
const STAMP_RE = /^\d{8}T\d{6}Z$/;

function numbersOf(version: string): readonly number[] {
    return version.split('.').map((part) => Number.parseInt(part, 10) || 0);
}

/** Below 0: `a` is older than `b`; missing parts count as 0. */
function compareVersions(a: string, b: string): number {
    const [left, right] = [numbersOf(a), numbersOf(b)];
    const count = Math.max(left.length, right.length);
    for (let i = 0; i < count; i += 1) {
        const difference = (left[i] ?? 0) - (right[i] ?? 0);
        if (difference !== 0) {
            return difference;
        }
    }
    return 0;
}

/**
 * Whether images can be made on a compute node (jobs-and-imports 1.3): its version counts, and its time
 * stamp where the versions are equal.
 *
 * @param minimum version and time stamp, `minImageCreationPlatform`
 */
export function isRecentEnough(
    { sdcVersion = OLDEST_VERSION, platform = '' }: ComputeNode,
    [version, stamp]: readonly [string, string],
): boolean {
    const order = compareVersions(sdcVersion, version);
    return order === 0 ? STAMP_RE.test(platform) && platform >= stamp : order > 0;
}
