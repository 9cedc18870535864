import { VALID_STORAGES } from '../../../base/constants.js';
import { countOption } from '../batch/batch-options.js';
import { UsageError, type Invocation } from '../command.js';
import { serverInsteadOfData, wantedChannel } from '../offline/data-options.js';
import type { ServerAccess } from '../server-access.js';
import { uuidArguments } from '../uuid-arguments.js';
import type { CheckedFile, CheckedImage } from './checked-image.js';
import type { Thoroughness } from './file-checker.js';

/** Images at the same time, of each storage. */
export const DEFAULT_PARALLEL = 4;
export const MAX_PARALLEL = 64;
const MAX_DAYS = 100_000;
const DAY_MS = 86_400_000;

/** States to choose from. */
export const STATES = ['all', 'active', 'unactivated', 'disabled', 'creating', 'failed'] as const;

/** What to check, and how. */
export interface CheckOrder {
    /** None: all images. */
    readonly uuids: readonly string[];
    readonly state: (typeof STATES)[number];
    /** Absent: all. */
    readonly stor?: string;
    /** Absent: all. */
    readonly channel?: string;
    readonly dockerOnly: boolean;
    readonly icons: boolean;
    readonly thoroughness: Thoroughness;
    readonly force: boolean;
    readonly usesCache: boolean;
    readonly maxAgeMs?: number;
    /** Bytes a second. */
    readonly rate?: number;
    readonly parallel: number;
    readonly json: boolean;
    readonly quiet: boolean;
    /** The server to use; absent: its data. */
    readonly access?: ServerAccess;
}

/** An option that must be one of a few words. @throws UsageError */
function wordOption<T extends string>(
    { parsed }: Invocation,
    name: string,
    words: readonly T[],
): T | undefined {
    const given = parsed.values.get(name);
    const found = words.find((word) => word === given);
    if (given !== undefined && found === undefined) {
        throw new UsageError(`--${name} must be ${words.join(', ')}: "${given}"`);
    }
    return found;
}

/** @throws UsageError */
function rateOption({ parsed }: Invocation): number | undefined {
    const given = parsed.values.get('limit-rate');
    if (given === undefined) {
        return undefined;
    }
    if (!/^[1-9]\d{0,14}$/.test(given)) {
        throw new UsageError(`--limit-rate must be a number of bytes a second: "${given}"`);
    }
    return Number(given);
}

function thoroughnessOf({ parsed }: Invocation): Thoroughness {
    const [simple, deep] = [parsed.counts.has('simple'), parsed.counts.has('deep')];
    if (simple && deep) {
        throw new UsageError('--simple and --deep cannot be used together');
    }
    return simple ? 'simple' : deep ? 'deep' : 'normal';
}

/** Leaves out what is not known. */
function known<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
    return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
        [K in keyof T]?: Exclude<T[K], undefined>;
    };
}

/** Reads the command line. @throws UsageError */
export function checkOrder(invocation: Invocation): CheckOrder {
    const { parsed } = invocation;
    const { counts } = parsed;
    const days = countOption(parsed, 'max-age', MAX_DAYS);
    return {
        uuids: uuidArguments(parsed.positionals),
        state: wordOption(invocation, 'state', STATES) ?? 'all',
        dockerOnly: counts.has('docker-v2'),
        icons: counts.has('icons'),
        thoroughness: thoroughnessOf(invocation),
        force: counts.has('force'),
        usesCache: !counts.has('no-cache'),
        parallel: countOption(parsed, 'parallel', MAX_PARALLEL) ?? DEFAULT_PARALLEL,
        json: counts.has('json'),
        quiet: counts.has('quiet'),
        ...known({
            stor: wordOption(invocation, 'stor', VALID_STORAGES),
            channel: wantedChannel(invocation),
            maxAgeMs: days === undefined ? undefined : days * DAY_MS,
            rate: rateOption(invocation),
            access: serverInsteadOfData(invocation),
        }),
    };
}

/** Whether an image is to be checked, if it has something to check. */
export function isOrdered(order: CheckOrder, image: CheckedImage): boolean {
    const { uuids, state, channel, dockerOnly } = order;
    return (
        (uuids.length === 0 || uuids.includes(image.uuid)) &&
        (state === 'all' || state === image.state) &&
        (channel === undefined || image.channels.includes(channel)) &&
        (!dockerOnly || image.dockerId?.startsWith('sha256:') === true)
    );
}

/** The files of an image that are to be checked. */
export function orderedFiles({ stor, icons }: CheckOrder, { files }: CheckedImage): readonly CheckedFile[] {
    return files.filter((file) => (icons || file.name !== 'icon') && (stor ?? file.stor) === file.stor);
}
