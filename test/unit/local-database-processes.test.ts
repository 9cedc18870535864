import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
    newBase,
    open,
    openWriter,
    openReader,
    fileOf,
    put,
    until,
    nameOf,
    allNames,
} from '../helpers/local-databases.js';
import { move } from '../contract/database-suite.js';
import { record } from '../helpers/records.js';

void t.test('a reader', async (t) => {
    const directories = newBase(t);
    const raw = record({ name: 'old' });
    put(directories, raw);
    const { database } = await openReader(t, directories);
    t.ok(database.isReader);
    const refused = { status: 503, message: 'this process is a reader', headers: { 'Retry-After': '1' } };
    await t.rejects(database.create(record()), refused);
    await t.rejects(
        database.update(raw.uuid, (old) => old),
        refused,
    );
    await t.rejects(move(database, raw.uuid, record()), refused);
    await t.rejects(database.del(raw.uuid), refused);
    await t.resolves(database.ping());

    const unseen = record({ name: 'unseen' });
    put(directories, unseen);
    t.equal(await nameOf(database, unseen.uuid), 'unseen', 'a miss looks at the disk at once');
    const bad = randomUUID();
    mkdirSync(fileOf(directories, bad));
    await t.rejects(database.get(bad), { code: 'ResourceNotFound' });
});

void t.test('a reader gets over a file it cannot read', async (t) => {
    const directories = newBase(t);
    const [raw, other] = [record({ name: 'old' }), record({ name: 'other' })];
    put(directories, raw);
    const { database, records } = await openReader(t, directories);
    const unreadable = randomUUID();
    for (const uuid of [raw.uuid, unreadable]) {
        const path = fileOf(directories, uuid);
        rmSync(path, { force: true });
        symlinkSync(path, path);
    }
    await until('noticed', () => records.some(({ level }) => level === 50));
    t.equal(await nameOf(database, raw.uuid), 'old', 'what was read last is kept');
    await t.rejects(database.get(unreadable), {
        code: 'ServiceUnavailableError',
        message: 'service unavailable',
    });
    put(directories, other);
    await until('others are followed', () => database.size === 2);
    await t.rejects(database.becomeWriter(), { code: 'ELOOP' });

    put(directories, { ...raw, name: 'new' });
    rmSync(fileOf(directories, unreadable));
    await database.becomeWriter();
    t.same(await allNames(database), ['new', 'other']);
});

for (const useNotices of [true, false]) {
    void t.test(`a reader follows the writer, ${useNotices ? 'by notices' : 'by time'}`, async (t) => {
        const directories = newBase(t);
        const first = record({ name: 'first' });
        put(directories, first);
        const writer = await openWriter(t, directories);
        const { database } = await openReader(t, directories, { useNotices });
        const before = await database.get(first.uuid);

        const second = await writer.database.create(record({ name: 'second' }));
        const lags = [await until('created', () => database.size === 2)];
        t.equal((await database.get(first.uuid)).token, before.token, 'what has not changed stays as it is');

        await writer.database.update(first.uuid, (old) => ({ ...old, name: 'changed' }));
        lags.push(await until('updated', async () => (await nameOf(database, first.uuid)) === 'changed'));
        t.same((await database.search({ anyOf: [{ name: 'first' }], order: 'asc' })).length, 0);

        const to = randomUUID();
        await move(writer.database, first.uuid, { ...first, uuid: to, name: 'moved' });
        lags.push(await until('moved', async () => (await allNames(database)).join() === 'moved,second'));

        await writer.database.del(second.raw.uuid);
        lags.push(await until('deleted', () => database.size === 1));

        writeFileSync(fileOf(directories, to), '{');
        if (useNotices) {
            await until('spoilt', () => database.size === 0);
            t.equal(database.skipped.length, 1);
        }
        t.ok(
            lags.every((lag) => lag <= 2000),
            `at most 2 s behind: ${lags.join()}`,
        );
    });
}

void t.test('changes while a reader is loading are not missed', async (t) => {
    const directories = newBase(t);
    const images = Array.from({ length: 300 }, (_, i) => record({ name: `old-${i}` }));
    images.forEach((raw) => put(directories, raw));
    const { database } = open(t, directories);
    const loading = database.setup();
    for (const raw of images) {
        put(directories, { ...raw, name: 'new' });
        await new Promise(setImmediate);
    }
    await loading;
    await until('all new', async () => (await allNames(database)).every((name) => name === 'new'));
    t.equal(database.size, 300);
});

void t.test('a reader takes over', async (t) => {
    const directories = newBase(t);
    const [kept, changed, removed] = [
        record({ name: 'kept' }),
        record({ name: 'changed' }),
        record({ name: 'removed' }),
    ];
    [kept, changed, removed].forEach((raw) => put(directories, raw));
    const { database } = await openReader(t, directories, { useNotices: false });
    // The last acts of a writer that is gone, none of which has been followed yet.
    put(directories, { ...changed, name: 'after' });
    rmSync(fileOf(directories, removed.uuid));
    put(directories, record({ name: 'added' }));
    const newUuid = randomUUID();
    put(directories, { ...kept, uuid: newUuid, name: 'moved' });
    writeFileSync(
        join(directories.run, `move-${kept.uuid}.json`),
        JSON.stringify({ from: kept.uuid, to: newUuid }),
    );

    await database.becomeWriter();
    t.notOk(database.isReader);
    t.same(await allNames(database), ['added', 'after', 'moved']);
    await database.update(newUuid, (old) => ({ ...old, name: 'ours' }));
    t.match(JSON.parse(readFileSync(fileOf(directories, newUuid), 'utf8')), { name: 'ours' });
});

/** Counts up in the name of an image and says so after each acknowledged step, until it is killed. */
const COUNTING_WRITER = `
    const [module, directories, uuid] = process.argv.slice(1);
    const { LocalDatabase } = await import(module);
    const log = { info() {}, warn() {}, error() {} };
    const config = { current: { mode: 'dc', channels: [] } };
    const database = new LocalDatabase({ directories: JSON.parse(directories), config, log });
    await database.becomeWriter();
    for (;;) {
        const { raw } = await database.update(uuid, (old) => ({
            ...old,
            name: 'n' + (Number(old.name.slice(1)) + 1),
        }));
        process.stdout.write(raw.name + ' ');
    }`;

void t.test('kill at any moment: what was acknowledged is there', async (t) => {
    const directories = newBase(t);
    const raw = record({ name: 'n0' });
    put(directories, raw);
    const module = import.meta.resolve('#lib/database/local/local-database.js');
    for (let round = 0; round < 3; round += 1) {
        const args = [
            '--input-type=module',
            '-e',
            COUNTING_WRITER,
            module,
            JSON.stringify(directories),
            raw.uuid,
        ];
        const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        let said = '';
        for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
            said += chunk.toString();
            if (said.length > 200 + round * 70) {
                child.kill('SIGKILL');
            }
        }
        const acknowledged = Number(/n(\d+) [^ ]*$/.exec(said)?.[1]);
        const { database } = await openWriter(t, directories);
        const found = Number((await nameOf(database, raw.uuid)).slice(1));
        t.ok(found >= acknowledged, `${found} stored, ${acknowledged} acknowledged`);
        t.same(readdirSync(directories.manifests), [`${raw.uuid}.raw`]);
        await database.close();
    }
});
