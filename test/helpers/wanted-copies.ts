import type { Test } from 'tap';
import type { CopyMode } from '#lib/jobs/datacenter/copy-table.js';
import {
    importFromDatacenter,
    type CopyOutcome,
    type CopyWish,
} from '#lib/jobs/datacenter/import-from-datacenter.js';
import type { JsonObject } from '#lib/manifest/types.js';
import { makeCopyBench, type CopyBench } from './copy-bench.js';
import { USERS } from './images.js';

const { vader } = USERS;

export const IMAGE = 'aa000000-0000-4000-8000-000000000001';
export const ORIGIN = 'aa000000-0000-4000-8000-000000000002';
export const BASE = 'aa000000-0000-4000-8000-000000000003';
export const JOB = 'bb000000-0000-4000-8000-000000000001';
export const DEAD_JOB = 'bb000000-0000-4000-8000-000000000002';
export const SHA1 = 'ca11ab1e00000000000000000000000000000000';
/** Parameters of the job that copies the image for vader. */
export const COPY = { image_uuid: IMAGE, account: vader, datacenter: 'east', import_id: JOB };

/** The image as the other datacenter describes it. */
export function remote(changes: JsonObject = {}): JsonObject {
    const manifest = {
        v: 2,
        uuid: IMAGE,
        owner: vader,
        name: 'x-wing',
        version: '1.0.0',
        type: 'zone-dataset',
        os: 'smartos',
        state: 'active',
        disabled: false,
        public: false,
        published_at: '2024-01-01T00:00:00.000Z',
        files: [{ sha1: SHA1, size: 3, compression: 'gzip' }],
        ...changes,
    };
    return manifest;
}

/** The image as it is stored here. */
export function stored(changes: JsonObject = {}): Record<string, unknown> {
    const { files, ...fields } = remote();
    const own = { activated: true, acl: [], files: [{ ...(files as JsonObject[])[0], stor: 'local' }] };
    return { ...fields, ...own, ...changes };
}

/** A record that is not finished, made by an import or by somebody else. */
export function unfinished(
    state: string,
    importId?: string,
    changes: JsonObject = {},
): Record<string, unknown> {
    return stored({
        activated: false,
        state,
        files: [],
        ...(importId === undefined ? {} : { x_imgapi: { import_id: importId } }),
        ...changes,
    });
}

/** What the parameters of a request stand for. */
export const WISHES: Readonly<Record<CopyMode, CopyWish>> = {
    plain: { mode: 'plain', placeholder: false },
    sync: { mode: 'sync', placeholder: true },
    watch: { mode: 'watch', placeholder: true },
};

/** A request of vader to copy an image from datacenter east. */
export function copy(b: CopyBench, wish: CopyWish = WISHES.plain, uuid = IMAGE): Promise<CopyOutcome> {
    return importFromDatacenter(b.services, b.context(), uuid, { datacenter: 'east', wish: () => wish });
}

/** A datacenter whose neighbour has the image. */
export async function startCopyBench(t: Test): Promise<CopyBench> {
    const bench = await makeCopyBench(t);
    bench.source.images.set(IMAGE, remote());
    return bench;
}
