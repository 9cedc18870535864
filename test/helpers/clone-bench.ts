import { existsSync, readdirSync } from 'node:fs';
import type { Test } from 'tap';
import { baseDirectories } from '#lib/base/directories.js';
import { newUuid } from '#lib/base/uuid.js';
import { cloneImage } from '#lib/images/clone-image.js';
import type { RequestContext } from '#lib/images/context.js';
import type { RawImage } from '#lib/manifest/types.js';
import { type Bench, type BenchOptions, makeBench } from './image-bench.js';
import { rawRecord, USERS } from './images.js';
import { fileEntry, FIRST, PUBLISHED } from './planted-images.js';

const { vader, luke, emperor } = USERS;
/** Owner of the images everybody has. */
export const ADMIN = USERS.sdc;
/** Somebody who is neither the owner nor the caller. */
export const THIRD = emperor;
/** What the clock of a bench says. */
export const NOW = '2026-01-02T03:04:05.006Z';

/** Services of a server in mode `dc`. */
export function dcBench(t: Test, options: BenchOptions = {}): Promise<Bench> {
    return makeBench(t, { ...options, config: { mode: 'dc', adminUuid: ADMIN, ...options.config } });
}

/** Puts an active image with a file in place; `more` wins. */
export async function plant(
    bench: Bench,
    more: Readonly<Record<string, unknown>> = {},
    bytes: Buffer = FIRST,
): Promise<string> {
    const uuid = typeof more['uuid'] === 'string' ? more['uuid'] : newUuid();
    await bench.plantFile(uuid, 'file0', bytes);
    const record = rawRecord({
        uuid,
        name: 'planted',
        owner: vader,
        activated: true,
        published_at: PUBLISHED,
    });
    await bench.plant({ ...record, files: [fileEntry(bytes)], ...more });
    return uuid;
}

/** An image shared with luke. */
export function plantShared(bench: Bench, more: Readonly<Record<string, unknown>> = {}): Promise<string> {
    return plant(bench, { acl: [THIRD, luke], ...more });
}

/** Images each of which is an increment of the one before; the last is shared with luke. */
export async function plantChain(bench: Bench, length: number, origin?: string): Promise<readonly string[]> {
    const uuids: string[] = [];
    for (let index = 0; index < length; index += 1) {
        const previous = uuids.at(-1) ?? origin;
        const more = previous === undefined ? {} : { origin: previous };
        const isLast = index === length - 1;
        uuids.push(await (isLast ? plantShared(bench, more) : plant(bench, more)));
    }
    return uuids;
}

/** CloneImage. */
export function clone(
    bench: Bench,
    uuid: string,
    context: Partial<RequestContext> = { account: luke },
    unshare = false,
): Promise<RawImage> {
    return cloneImage(bench.services, bench.context(context), uuid, { unshare }).then(({ raw }) => raw);
}

/** Every record. */
export async function all(bench: Bench): Promise<readonly RawImage[]> {
    return (await bench.database.search({ anyOf: [{}], order: 'asc' })).map(({ raw }) => raw);
}

/** Names of the noted clones. */
export function intents(bench: Bench): readonly string[] {
    const { clones } = baseDirectories(bench.base);
    return existsSync(clones) ? readdirSync(clones) : [];
}

/** Everything there is: records, files, and what is noted for later. */
export async function inventory(bench: Bench): Promise<object> {
    const files = (await bench.files()).map(({ uuid, name }) => `${uuid} ${name}`).sort();
    return {
        records: await all(bench),
        files,
        intents: intents(bench),
        deletes: await bench.pendingDeletes(),
    };
}

/** No record names an origin that is gone, or a file that is not there. */
export async function requireWhole(t: Test, bench: Bench, why: string): Promise<void> {
    const records = await all(bench);
    const uuids = new Set(records.map(({ uuid }) => uuid));
    const files = new Set((await bench.files()).map(({ uuid }) => uuid));
    t.ok(
        records.every(({ uuid, origin }) => files.has(uuid) && (origin === undefined || uuids.has(origin))),
        why,
    );
    t.ok(
        [...files].every((uuid) => uuids.has(uuid)),
        `${why}: no bytes without a record`,
    );
}

/** Makes the n-th call of a method from now fail; the calls before and after it are real. */
export function failNth<T extends object>(
    target: T,
    method: keyof T & string,
    nth: number,
    error: Error,
): void {
    const real = target[method] as (...parameters: unknown[]) => Promise<unknown>;
    let calls = 0;
    Object.assign(target, {
        [method]: async (...parameters: unknown[]) => {
            calls += 1;
            if (calls === nth) throw error;
            return real.apply(target, parameters);
        },
    });
}

/** What a call rejects with; `undefined`: it did not. */
export async function failureOf(call: Promise<unknown>): Promise<unknown> {
    return call.then(
        () => undefined,
        (error: unknown) => error,
    );
}
