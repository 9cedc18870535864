import type { JsonObject } from '../manifest/types.js';

/** Whether a job does what another is wished for: the same source, or datacenter, and account (jobs-and-imports 9.6). */
export function doesTheSame(job: JsonObject, wish: JsonObject): boolean {
    const isSame = (key: string): boolean => job[key] === wish[key];
    return (
        isSame('account') && ((wish['datacenter'] !== undefined && isSame('datacenter')) || isSame('source'))
    );
}
