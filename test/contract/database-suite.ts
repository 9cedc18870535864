import { randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import type { Database, StoredImage } from '#lib/database/database.js';
import type { Filter, Query } from '#lib/database/query.js';
import type { RawImage } from '#lib/manifest/types.js';
import { OWNER, record, tagged } from '../helpers/records.js';

/** A database under test, set up to read and write. */
export interface DatabaseUnderTest {
    readonly database: Database;
    /** Makes the next such operation fail as on a full disk, or as {@link refusal} says. */
    readonly failNext: (operation: 'create' | 'update' | 'move' | 'del') => void;
    /** What `failNext` lets an operation answer. */
    readonly refusal?: { readonly code: string; readonly status: number };
    /** Whether searches lose the spaces at the ends of entries (backends 5). */
    readonly trimsEntries?: boolean;
}

/** Opens a database that holds `records`; closed and cleaned up when the test ends. */
export type OpenDatabase = (t: Test, records?: readonly RawImage[]) => Promise<DatabaseUnderTest>;

/** What `t.rejects` compares a refusal with. */
function isApiError(
    code: string,
    status: number,
    message?: string,
): { code: string; status: number; message?: string } {
    return { code, status, ...(message === undefined ? {} : { message }) };
}

const ALL: Query = { anyOf: [{}], order: 'asc' };

async function names(database: Database, filter: Filter): Promise<string[]> {
    const found = await database.search({ anyOf: [filter], order: 'asc' });
    return found.map(({ raw }) => raw.name).sort();
}

async function uuids(database: Database, query: Query): Promise<string[]> {
    return (await database.search(query)).map(({ raw }) => raw.uuid);
}

function withAcl(raw: RawImage, account: string): RawImage {
    return { ...raw, acl: [...raw.acl, account] };
}

/** Moves a record as {@link Database.move} does, to one that is known already. */
export async function move(database: Database, oldUuid: string, raw: RawImage): Promise<StoredImage> {
    return database.move(oldUuid, raw.uuid, () => raw);
}

/** What every database must do, whatever it stores records in (backends 2, 15, 17). */
export function databaseSuite(t: Test, open: OpenDatabase): void {
    void t.test('create, get, delete', async (t) => {
        const { database } = await open(t);
        const raw = record({ name: 'one' });
        const created = await database.create(raw);
        t.same(created.raw, raw);
        const got = await database.get(raw.uuid);
        t.equal(got.raw, created.raw, 'the same object while the record stays');
        t.equal(got.token, created.token);
        await t.rejects(
            database.create(raw),
            isApiError('ImageUuidAlreadyExists', 409, `image uuid "${raw.uuid}" already exists`),
        );
        await database.del(raw.uuid);
        const gone = isApiError('ResourceNotFound', 404, `image ${raw.uuid} not found`);
        await t.rejects(database.get(raw.uuid), gone);
        await t.rejects(database.del(raw.uuid), gone);
        await t.rejects(
            database.update(raw.uuid, (old) => old),
            gone,
        );
        await t.rejects(move(database, raw.uuid, record()), gone);
        t.same(await uuids(database, ALL), []);
        await t.resolves(database.ping());
    });

    void t.test('what is not a uuid is not found', async (t) => {
        const { database } = await open(t);
        await t.rejects(database.get('../x'), isApiError('ResourceNotFound', 404, 'image ../x not found'));
    });

    void t.test('records are frozen and independent of what was passed in', async (t) => {
        const { database } = await open(t);
        const raw = record({
            ...tagged({ a: 'b' }),
            requirements: { networks: [{ name: 'net0', description: 'd' }] },
        });
        const { raw: stored } = await database.create(raw);
        (raw as { name: string }).name = 'changed by the caller';
        const [found] = await database.search(ALL);
        for (const held of [stored, (await database.get(raw.uuid)).raw, found?.raw]) {
            t.equal(held?.name, 'base');
            t.ok(Object.isFrozen(held));
            t.ok(Object.isFrozen(held?.acl));
            t.ok(Object.isFrozen(held?.files?.[0]));
            t.ok(Object.isFrozen(held?.tagsObj));
            t.ok(Object.isFrozen((held?.requirements as { networks: unknown[] }).networks[0]));
        }
        const { raw: updated } = await database.update(raw.uuid, (old) => {
            t.ok(Object.isFrozen(old));
            return { ...old, acl: [OWNER] };
        });
        t.ok(Object.isFrozen(updated.acl));
    });

    void t.test('two creates of one uuid: one wins', async (t) => {
        const { database } = await open(t);
        const raw = record();
        const results = await Promise.allSettled([database.create(raw), database.create(raw)]);
        t.same(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    });

    void t.test('update', async (t) => {
        const { database } = await open(t);
        const raw = record();
        const created = await database.create(raw);

        const unchanged = await database.update(raw.uuid, () => undefined);
        t.equal(unchanged.token, created.token, 'no change keeps the version');
        t.equal(unchanged.raw, created.raw);

        const updated = await database.update(raw.uuid, async (old) =>
            Promise.resolve({ ...old, name: 'two' }),
        );
        t.not(updated.token, created.token);
        t.equal((await database.get(raw.uuid)).raw, updated.raw);
        t.same(await names(database, { name: 'base' }), []);
        t.same(await names(database, { name: 'two' }), ['two']);

        const refusal = new Error('refused');
        await t.rejects(
            database.update(raw.uuid, () => {
                throw refusal;
            }),
            refusal,
        );
        await t.rejects(
            database.update(raw.uuid, (old) => ({ ...old, uuid: randomUUID() })),
            isApiError('InternalError', 500, `error modifying image ${raw.uuid}`),
        );
        t.equal((await database.get(raw.uuid)).raw, updated.raw);
    });

    void t.test('concurrent updates lose nothing', async (t) => {
        const { database } = await open(t);
        const images = [record(), record()];
        const accounts = Array.from({ length: 100 }, () => randomUUID());
        for (const raw of images) {
            await database.create(raw);
        }
        await Promise.all(
            images.flatMap(({ uuid }) =>
                accounts.map((account, i) =>
                    database.update(uuid, async (old) => {
                        if (i % 7 === 0) {
                            await new Promise(setImmediate);
                        }
                        return withAcl(old, account);
                    }),
                ),
            ),
        );
        for (const { uuid } of images) {
            t.same((await database.get(uuid)).raw.acl, accounts, 'all there, in the order they came');
        }
        t.equal((await database.search({ anyOf: [{ acl: [accounts[99]!] }], order: 'asc' })).length, 2);
    });

    void t.test('move', async (t) => {
        const [one, two] = [record({ name: 'one' }), record({ name: 'two' })];
        const { database } = await open(t, [one, two]);
        const conflict = isApiError('ImageUuidAlreadyExists', 409, `image uuid "${two.uuid}" already exists`);
        await t.rejects(move(database, one.uuid, { ...one, uuid: two.uuid }), conflict);
        const to = randomUUID();
        const moved = await move(database, one.uuid, { ...one, uuid: to, name: 'moved' });
        t.equal((await database.get(to)).raw, moved.raw);
        await t.rejects(database.get(one.uuid), { code: 'ResourceNotFound' });
        t.same(await names(database, {}), ['moved', 'two']);

        const crossed = await Promise.allSettled([
            move(database, to, { ...moved.raw, uuid: two.uuid }),
            move(database, two.uuid, { ...two, uuid: to }),
        ]);
        t.same(
            crossed.map(({ status }) => status),
            ['rejected', 'rejected'],
            'crossing moves end',
        );
    });

    void t.test('delete of a version', async (t) => {
        const { database } = await open(t);
        const first = await database.create(record());
        const { uuid } = first.raw;
        const second = await database.update(uuid, (old) => withAcl(old, OWNER));
        const kept = new Error('kept');
        const seen: string[] = [];
        const keep = ({ token }: StoredImage): never => {
            seen.push(token);
            throw kept;
        };
        await t.rejects(database.del(uuid, { check: keep, seen: second }), kept);
        t.equal((await database.get(uuid)).token, second.token);
        await database.del(uuid, {
            check: ({ raw, token }) => {
                seen.push(token);
                return raw.acl.length === 0 ? Promise.reject(kept) : undefined;
            },
            seen: second,
        });
        t.same(seen, [second.token, second.token]);
        await t.rejects(database.get(uuid), { code: 'ResourceNotFound' });
    });

    void t.test('what a caller saw before is only where a change may start', async (t) => {
        const { database } = await open(t, [record()]);
        const { raw } = (await database.search(ALL))[0]!;
        const seen = await database.get(raw.uuid);
        const [one, two] = [randomUUID(), randomUUID()];
        await database.update(raw.uuid, (old) => withAcl(old, one), seen);
        await database.update(raw.uuid, (old) => withAcl(old, two), seen);
        const to = randomUUID();
        const change = (old: RawImage): RawImage => ({ ...old, uuid: to });
        await database.move(raw.uuid, to, change, seen);
        t.same((await database.get(to)).raw.acl, [one, two]);
        await t.rejects(
            database.update(raw.uuid, (old) => withAcl(old, OWNER), seen),
            isApiError('ResourceNotFound', 404),
        );
        await t.rejects(database.del(raw.uuid, { seen }), isApiError('ResourceNotFound', 404));
    });

    void t.test('a failed write leaves what was', async (t) => {
        const raw = record({ name: 'old' });
        const { database, failNext, refusal } = await open(t, [raw]);
        const before = await database.get(raw.uuid);
        const full = refusal ?? isApiError('StorageIsDown', 503);
        const other = record();

        failNext('create');
        await t.rejects(database.create(other), full);
        failNext('update');
        await t.rejects(
            database.update(raw.uuid, (old) => ({ ...old, name: 'new' })),
            full,
        );
        failNext('move');
        await t.rejects(move(database, raw.uuid, { ...raw, uuid: other.uuid }), full);
        failNext('del');
        await t.rejects(database.del(raw.uuid), full);

        t.equal((await database.get(raw.uuid)).raw, before.raw);
        t.equal((await database.get(raw.uuid)).token, before.token);
        await t.rejects(database.get(other.uuid), { code: 'ResourceNotFound' });
        t.same(await names(database, {}), ['old']);

        await database.create(other);
        await database.update(raw.uuid, (old) => ({ ...old, name: 'new' }));
        t.same(await names(database, {}), ['base', 'new'], 'the next write works');
    });
}
