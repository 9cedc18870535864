import { ApiError } from '../../base/errors.js';
import { OutgoingError } from '../../base/http-errors.js';
import { Places } from '../../base/places.js';
import { failsAsRemote } from '../../images/remote-failure.js';
import { isObject } from '../../manifest/coerce.js';
import type { AcceptedCopy, CopyToMake, TargetCall } from '../../remotes/copy-target.js';
import type { SourceAddress } from '../../remotes/image-source.js';
import type { JobServices } from '../services.js';

/** A datacenter that is to get a copy. */
export interface Destination {
    readonly datacenter: string;
    readonly address: SourceAddress;
}

/** Why a datacenter makes no copy (jobs-and-imports 8.5). */
export interface CopyRefusal {
    readonly code: string;
    readonly message: string;
    readonly statusCode: number;
}

/** What came of asking one datacenter. */
export type CopyAttempt = Destination &
    ({ readonly accepted: AcceptedCopy } | { readonly accepted?: undefined; readonly refusal: CopyRefusal });

/** Datacenters that are asked at the same time (jobs-and-imports 8.5). */
const AT_A_TIME = 4;

/** Its own words where it has said any, else that it could not be asked. */
function refusalOf(error: unknown, { datacenter }: Destination, uuid: string): CopyRefusal {
    if (error instanceof OutgoingError && error.status !== undefined && isObject(error.body)) {
        const { code, message } = error.body;
        if (typeof code === 'string' && typeof message === 'string') {
            return { code, message, statusCode: error.status };
        }
    }
    try {
        return failsAsRemote(`Unable to copy image ${uuid} to datacenter ${datacenter}`)(error);
    } catch (named) {
        if (named instanceof ApiError) {
            return { code: named.code, message: named.message, statusCode: named.status };
        }
        throw named;
    }
}

/**
 * Asks datacenters to make copies, four at a time.
 *
 * @returns what becomes of each, in their order; none of them rejects
 */
export function askDestinations(
    { targets }: JobServices,
    destinations: readonly Destination[],
    copy: CopyToMake,
    call: TargetCall,
): readonly Promise<CopyAttempt>[] {
    const ask = async (destination: Destination): Promise<CopyAttempt> => {
        try {
            return { ...destination, accepted: await targets.at(destination.address).request(copy, call) };
        } catch (error) {
            return { ...destination, refusal: refusalOf(error, destination, copy.uuid) };
        }
    };
    const places = new Places(AT_A_TIME);
    return destinations.map((destination) => places.run(() => ask(destination)));
}
