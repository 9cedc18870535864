import type { AddressSupplier } from '../../base/http-supplier.js';
import { internalError } from '../../base/errors.js';
import { isUuid } from '../../base/uuid.js';
import { importIdOf } from '../../manifest/import-id.js';
import { provenanceOf } from '../../manifest/provenance.js';
import { isActivated } from '../../manifest/state.js';
import { isObject } from '../../manifest/coerce.js';
import type { RawImage } from '../../manifest/types.js';
import type { SourceAddress } from '../../remotes/image-source.js';
import { parseSourceAddress } from '../../remotes/source-address.js';
import type { JobRun } from '../job-kind.js';

const SUPPLIERS: readonly AddressSupplier[] = ['config', 'operator', 'account'];

/** Seconds a transfer may take for each MiB, and at least (jobs-and-imports 9.6). */
const SECONDS_PER_MIB = 1;
const LEAST_SECONDS = 3600;
const MIB = 1_048_576;

/** The parameters of a job that imports an image (jobs-and-imports 3.4). */
export interface ImportParams {
    readonly uuid: string;
    /** Base first. */
    readonly origins: readonly string[];
    readonly address: SourceAddress;
    readonly skipOwnerCheck: boolean;
    readonly importId: string;
    readonly requestId: string;
    readonly channel?: string;
    readonly datacenter?: string;
    readonly hasPlaceholder: boolean;
}

/** What of a job is needed to know what it is about. */
type JobFacts = Pick<JobRun, 'params' | 'hidden'>;

function textOf({ params }: JobFacts, name: string): string | undefined {
    const value = params[name];
    return typeof value === 'string' ? value : undefined;
}

function required(run: JobFacts, name: string): string {
    const value = textOf(run, name);
    if (value === undefined) {
        throw internalError(`the job has no ${name}`);
    }
    return value;
}

function addressOf(run: JobFacts): SourceAddress {
    const supplier = SUPPLIERS.find((one) => one === run.hidden['supplier']) ?? 'account';
    const address = parseSourceAddress(required(run, 'source'), supplier);
    if (address === undefined) {
        throw internalError('the source of the job is no URL');
    }
    return address;
}

/** The origins a job imports, base first. */
export function originsOf({ params: { origins } }: Pick<JobRun, 'params'>): readonly string[] {
    return Array.isArray(origins) ? origins.filter((one) => isUuid(one)) : [];
}

/** Reads the parameters of a job. @throws 500 when it has not all of them */
export function importParams(run: JobFacts): ImportParams {
    const channel = textOf(run, 'channel');
    const datacenter = textOf(run, 'datacenter');
    return {
        uuid: required(run, 'image_uuid'),
        origins: originsOf(run),
        address: addressOf(run),
        skipOwnerCheck: run.params['skip_owner_check'] === true,
        importId: required(run, 'import_id'),
        requestId: required(run, 'req_id'),
        ...(channel === undefined ? {} : { channel }),
        ...(datacenter === undefined ? {} : { datacenter }),
        hasPlaceholder: run.params['placeholder'] === true,
    };
}

/** Bytes to transfer for these images; -1: not known of all. */
export function transferBytes(
    { hidden: { sizes } }: Pick<JobRun, 'hidden'>,
    uuids: readonly string[],
): number {
    const known = isObject(sizes) ? sizes : {};
    const each = uuids.map((uuid) => known[uuid]);
    return each.every((size) => typeof size === 'number') ? each.reduce((sum, size) => sum + size, 0) : -1;
}

/** Seconds the transfer of these images may take (jobs-and-imports 9.6). */
export function transferLimit(run: Pick<JobRun, 'hidden'>, uuids: readonly string[]): number {
    return Math.max(LEAST_SECONDS, Math.ceil((transferBytes(run, uuids) / MIB) * SECONDS_PER_MIB));
}

/** What a job remembers of an image it is about to activate: that ends the mark in the record. */
export function activationMark(raw: RawImage): Readonly<Record<string, string>> {
    return { [`activated ${raw.uuid}`]: provenanceOf(raw)?.at ?? '' };
}

/** Whether a record is one this job has made: it has the mark, or has lost it by our activation. */
export function isOurs(run: Pick<JobRun, 'memory'>, { importId }: ImportParams, raw: RawImage): boolean {
    if (!isActivated(raw)) {
        return importIdOf(raw) === importId;
    }
    return Object.entries(activationMark(raw)).every(([key, value]) => run.memory[key] === value);
}
