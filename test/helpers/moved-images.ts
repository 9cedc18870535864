import type { Test } from 'tap';
import type { StorageType } from '#lib/base/constants.js';
import { newUuid } from '#lib/base/uuid.js';
import type { StoredImage } from '#lib/database/database.js';
import { changeImageStorage } from '#lib/images/change-storage.js';
import type { RequestContext } from '#lib/images/context.js';
import { entryOf } from '#lib/images/image-files.js';
import type { RawImage } from '#lib/manifest/types.js';
import type { Storage } from '#lib/storage/storage.js';
import { withStep, type Instead, type Step } from './failing-steps.js';
import { type Bench, md5, sha1 } from './image-bench.js';
import { names } from './image-faults.js';
import { PNG, rawRecord, USERS } from './images.js';
import { PUBLISHED } from './planted-images.js';

/** A configuration with both storages. */
export const MANTA = { storageTypes: ['manta', 'local'] as const };

/** What an image can have at most. */
export const NAMES = ['file0', 'file1', 'icon'] as const;
export type Name = (typeof NAMES)[number];
export type Places = Readonly<Record<Name, StorageType>>;

/** Everything in one storage. */
export const ALL = (stor: StorageType): Places => ({ file0: stor, file1: stor, icon: stor });

/** From and to. */
export const DIRECTIONS = [
    ['local', 'manta'],
    ['manta', 'local'],
] as const;

/** Small enough to be hashed at once, large enough not to be, and an icon. */
const CONTENTS: Readonly<Record<Name, Buffer>> = {
    file0: Buffer.alloc(40_000, 'small'),
    file1: Buffer.alloc(400_000, 'large'),
    icon: PNG,
};

export function storageOf(bench: Bench, stor: string | undefined): Storage {
    return stor === 'manta' ? bench.manta : bench.local;
}

/** Puts an active image with two files and an icon in place, and gives its uuid. */
export async function plantContainer(bench: Bench, places: Places): Promise<string> {
    const uuid = newUuid();
    const entry = (name: Name) => {
        const bytes = CONTENTS[name];
        const kind = name === 'icon' ? { contentType: 'image/png' } : { compression: 'none' };
        const facts = { sha1: sha1(bytes), size: bytes.length, contentMD5: md5(bytes), mtime: PUBLISHED };
        return { ...facts, stor: places[name], ...kind };
    };
    for (const name of NAMES) {
        await bench.plantFile(uuid, name, CONTENTS[name], storageOf(bench, places[name]));
    }
    const files = [entry('file0'), entry('file1')];
    await bench.plant(
        rawRecord({
            uuid,
            name: 'container',
            owner: USERS.vader,
            activated: true,
            published_at: PUBLISHED,
            more: { type: 'lxd', files, icon: entry('icon') },
        }),
    );
    return uuid;
}

/** AdminChangeImageStor. */
export function move(
    bench: Bench,
    uuid: string,
    stor: string | undefined,
    context: Partial<RequestContext> = {},
): Promise<StoredImage> {
    return changeImageStorage(bench.services, bench.context(context), uuid, stor);
}

/** AdminChangeImageStor of all files and the icon. */
export function moveAll(
    bench: Bench,
    uuid: string,
    stor: string,
    context: Partial<RequestContext> = {},
): Promise<StoredImage> {
    return changeImageStorage(bench.services, bench.context(context), uuid, stor, { all: () => true });
}

/** Which storage a record names for each of its files. */
export function storagesOf(raw: RawImage): Readonly<Record<string, string | undefined>> {
    return Object.fromEntries(NAMES.map((name) => [name, entryOf(raw, name)?.stor]));
}

/** The bytes of everything an image can have, in one storage. */
export async function contentsOf(
    bench: Bench,
    uuid: string,
    storage: Storage,
): Promise<Readonly<Record<string, Buffer | undefined>>> {
    const all = NAMES.map(async (name) => [name, await bench.bytes(uuid, name, storage)] as const);
    return Object.fromEntries(await Promise.all(all));
}

/** The same server with some storages replaced; what cleans up behind it has the real ones. */
export function withStorages(bench: Bench, changes: Partial<Record<StorageType, Storage>>): Bench {
    const storages = new Map([
        ...bench.services.storages,
        ...(Object.entries(changes) as [StorageType, Storage][]),
    ]);
    return { ...bench, services: { ...bench.services, storages } };
}

/** What a record names is there and is what the record says; nothing else is there. */
export async function requireAllAgree(test: Test, bench: Bench, uuid: string, what = ''): Promise<void> {
    const raw = await bench.raw(uuid);
    const expected = NAMES.flatMap((name) => {
        const entry = entryOf(raw, name);
        return entry === undefined ? [] : [{ name, entry, stor: entry.stor ?? 'local' }];
    });
    for (const { name, entry, stor } of expected) {
        const bytes = await bench.bytes(uuid, name, storageOf(bench, stor));
        test.equal(bytes && sha1(bytes), entry.sha1, `${what}: ${name} is what its record says`);
    }
    for (const stor of ['local', 'manta']) {
        test.same(
            await names(bench, storageOf(bench, stor)),
            expected.filter((one) => one.stor === stor).map(({ name }) => name),
            `${what}: nothing else is in storage ${stor}`,
        );
    }
}

/** A bench whose moves go another way at one step. */
export function movingAt(bench: Bench, stor: string, step: Step, nth: number, instead: Instead): Bench {
    return withStorages(bench, { [stor]: withStep(storageOf(bench, stor), step, nth, instead) });
}
