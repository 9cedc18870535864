import { randomUUID } from 'node:crypto';
import {
    existsSync,
    mkdirSync,
    readFileSync,
    readdirSync,
    rmSync,
    symlinkSync,
    writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import type { Config } from '#lib/base/config-types.js';
import { baseDirectories } from '#lib/base/directories.js';
import { currentFiles } from '#lib/images/current-files.js';
import { findRecord } from '#lib/maintenance/record-exists.js';
import type { RawImage } from '#lib/manifest/types.js';
import {
    newBase,
    open,
    openWriter,
    openReader,
    fileOf,
    textOf,
    put,
    nameOf,
    allNames,
} from '../helpers/local-databases.js';
import { move } from '../contract/database-suite.js';
import { OWNER, configSource, record, tagged, unpublished } from '../helpers/records.js';

void t.test('what is in the manifests directory beside records', async (t) => {
    const directories = newBase(t);
    const good = [record({ name: 'good' }), unpublished({ name: 'new' })];
    good.forEach((raw) => put(directories, raw));
    const [bad, other, invalid, empty, nothing, list, directory] = Array.from({ length: 7 }, () =>
        randomUUID(),
    );
    const content: Record<string, string> = {
        [`${bad}.raw`]: '{"uuid": ',
        [`${other}.raw`]: textOf(record()),
        [`${invalid}.raw`]: textOf(record({ uuid: invalid, owner: 'nobody' })),
        [`${empty}.raw`]: '',
        [`${nothing}.raw`]: 'null',
        [`${list}.raw`]: '[]',
        [`x${good[0]!.uuid}.raw`]: textOf(good[0]),
        [`${good[0]!.uuid.toUpperCase()}.raw`]: textOf(good[0]),
        README: 'stray',
    };
    for (const [name, text] of Object.entries(content)) {
        writeFileSync(join(directories.manifests, name), text);
    }
    mkdirSync(join(directories.manifests, `${directory}.raw`));
    writeFileSync(`${fileOf(directories, good[0]!.uuid)}.1234.tmp`, '{');

    const { database, records } = await openReader(t, directories);
    t.same(await allNames(database), ['good', 'new']);
    t.equal(database.size, 2);
    const reasons = Object.fromEntries(database.skipped.map(({ file, reason }) => [file, reason]));
    t.same(Object.keys(reasons).sort(), [...Object.keys(content), `${directory}.raw`].sort());
    t.match(reasons, {
        [`${bad}.raw`]: /^bad JSON/,
        [`${other}.raw`]: /uuid/,
        [`${invalid}.raw`]: 'invalid image data: owner',
        [`${nothing}.raw`]: 'not a JSON object',
        [`${list}.raw`]: 'not a JSON object',
        [`${directory}.raw`]: /not a file/,
        README: 'file name is not <uuid>.raw',
    });
    t.equal(records.filter(({ level }) => level === 40).length, 10, 'a warning for each');
    t.match(
        records.find(({ msg }) => msg === 'loaded local database'),
        { loaded: 2, skipped: 10 },
    );
    await t.rejects(database.get(invalid!), { status: 404, message: 'not found' });
    t.equal(await findRecord(database, invalid!), 'unknown', 'an unusable record is not taken for none');
    await t.rejects(currentFiles(database, invalid!), { message: 'not found' });
    for (const [name, text] of Object.entries(content)) {
        t.equal(readFileSync(join(directories.manifests, name), 'utf8'), text, `${name} is untouched`);
    }
});

void t.test('a directory that cannot be read stops the start', async (t) => {
    const directories = newBase(t);
    rmSync(directories.manifests, { recursive: true });
    writeFileSync(directories.manifests, 'a file in its place');
    await t.rejects(open(t, directories).database.setup(), /EEXIST|ENOTDIR/);
});

void t.test('a file that cannot be read stops the start', async (t) => {
    const directories = newBase(t);
    Array.from({ length: 200 }, () => record()).forEach((raw) => put(directories, raw));
    const loop = fileOf(directories, randomUUID());
    symlinkSync(loop, loop);
    const { database } = open(t, directories);
    await t.rejects(database.setup(), { code: 'ELOOP' });
    t.equal(database.size, 0);
});

void t.test('a missing directory is made', async (t) => {
    const directories = baseDirectories(join(t.testdir(), 'new', 'base'));
    const { database } = await openWriter(t, directories);
    await database.create(record());
    t.equal(readdirSync(directories.manifests).length, 1);
});

void t.test('records of old servers load', async (t) => {
    const directories = newBase(t);
    const file = { sha1: '97f20b32c2016782257176fb58a35e5044f05840', size: 3 };
    const [plain, sniffed, oldPlace] = [record(), record(), record()];
    const old: RawImage[] = [
        record({
            name: 'texts',
            disabled: 'false',
            activated: 'true',
            public: 'false',
            generate_passwords: 'true',
        }),
        record({ name: 5, version: 7, v: '2' }),
        record({ name: 'requirements', requirements: [] }),
        record({ name: 'extra', objectclass: 'sdcimage', dn: 'uuid=x', controls: [] }),
        unpublished({
            name: 'expired',
            type: 'null',
            os: 'null',
            state: 'creating',
            expires_at: '2013-01-01T00:00:00.000Z',
        }),
        record({ name: 'lists', acl: OWNER, billing_tags: 'gold', tags: ['a=b'] }),
        record({ name: 'tag', tag: ['a=b'], billingtag: ['silver'] }),
        record({ name: 'no-acl', acl: undefined }),
        { ...plain, name: 'guessed', files: [file] } as unknown as RawImage,
        { ...sniffed, name: 'sniffed', files: [file] } as unknown as RawImage,
        { ...oldPlace, name: 'old-place', files: [file] } as unknown as RawImage,
    ];
    old.forEach((raw) => put(directories, raw));
    const place = join(directories.images, sniffed.uuid.slice(0, 3), sniffed.uuid);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, 'file0'), gzipSync('content'));
    mkdirSync(join(directories.images, oldPlace.uuid));
    writeFileSync(join(directories.images, oldPlace.uuid, 'file0'), Buffer.from('fd377a585a000001', 'hex'));

    const { database } = await openWriter(t, directories);
    t.same(database.skipped, []);
    t.equal(database.size, old.length);
    const raws = Object.fromEntries([...database.snapshot()].map(({ raw }) => [raw.name, raw]));
    t.match(raws, {
        5: { version: '7' },
        extra: { objectclass: 'sdcimage' },
        lists: { acl: [OWNER], billing_tags: ['gold'], tagsObj: { a: 'b' } },
        tag: { billing_tags: ['silver'], tagsObj: { a: 'b' } },
        'no-acl': { acl: [] },
        guessed: { files: [{ compression: 'bzip2' }] },
        sniffed: { files: [{ compression: 'gzip' }] },
        'old-place': { files: [{ compression: 'xz' }] },
    });
    const active = await database.search({
        anyOf: [{ activated: true, disabled: false, public: false }],
        order: 'asc',
    });
    t.ok(
        active.some(({ raw }) => raw.name === 'texts'),
        'booleans in words are found',
    );

    const before = readFileSync(fileOf(directories, sniffed.uuid), 'utf8');
    t.notMatch(before, /compression/, 'reading writes nothing');
    await database.update(sniffed.uuid, (raw) => ({ ...raw, acl: [OWNER] }));
    t.match(JSON.parse(readFileSync(fileOf(directories, sniffed.uuid), 'utf8')), {
        files: [{ compression: 'gzip' }],
    });
});

void t.test('the text of a record', async (t) => {
    const directories = newBase(t);
    const { database } = await openWriter(t, directories);
    const raw = record({ unknown: { key: [1] }, ...tagged({ a: 'b' }), x_imgapi: { import_id: OWNER } });
    await database.create(raw);
    t.equal(
        readFileSync(fileOf(directories, raw.uuid), 'utf8'),
        textOf(raw),
        'two spaces, keys in order, no newline',
    );
    const { raw: updated } = await database.update(raw.uuid, (old) => ({ ...old, description: 'd' }));
    t.equal(readFileSync(fileOf(directories, raw.uuid), 'utf8'), textOf({ ...raw, description: 'd' }));
    await database.close();
    const again = await openReader(t, directories);
    t.same((await again.database.get(raw.uuid)).raw, updated, 'what was stored is what is read');
    t.same(readdirSync(directories.manifests), [`${raw.uuid}.raw`], 'nothing else is left');
});

void t.test('a record that could not be read again is not written', async (t) => {
    const directories = newBase(t);
    const raw = record();
    put(directories, raw);
    const { database } = await openWriter(t, directories);
    const failure = { status: 500, message: `error modifying image ${raw.uuid}` };
    await t.rejects(
        database.update(raw.uuid, (old) => ({ ...old, owner: 'nobody' })),
        failure,
    );
    await t.rejects(move(database, raw.uuid, record({ uuid: '../../x' })), failure);
    const invalid = record({ files: undefined });
    await t.rejects(database.create(invalid), { status: 500, message: `error saving image ${invalid.uuid}` });
    t.equal((await database.get(raw.uuid)).raw.owner, OWNER);
    t.same(readdirSync(directories.manifests), [`${raw.uuid}.raw`]);
});

void t.test('an unusable file is kept before it is overwritten', async (t) => {
    const directories = newBase(t);
    const [created, moved, late] = [record({ name: 'c' }), record({ name: 'm' }), record({ name: 'l' })];
    for (const { uuid } of [created, moved]) {
        writeFileSync(fileOf(directories, uuid), `{"bad": "${uuid}`);
    }
    const source = record({ name: 'source' });
    put(directories, source);
    const clock = { now: () => Date.UTC(2024, 1, 3, 4, 5, 6, 789) };
    const { database } = await openWriter(t, directories, { clock });
    t.equal(database.skipped.length, 2);

    await database.create(created);
    await move(database, source.uuid, { ...moved, uuid: moved.uuid });
    writeFileSync(fileOf(directories, late.uuid), 'came while running');
    await database.create(late);
    t.same(database.skipped, []);
    t.same(await allNames(database), ['c', 'l', 'm']);
    for (const [uuid, text] of [
        [created.uuid, `{"bad": "${created.uuid}`],
        [moved.uuid, `{"bad": "${moved.uuid}`],
        [late.uuid, 'came while running'],
    ] as const) {
        t.equal(readFileSync(join(directories.quarantine, `${uuid}.raw.20240203T040506Z`), 'utf8'), text);
    }

    await database.del(created.uuid);
    writeFileSync(fileOf(directories, created.uuid), 'bad again');
    await database.create(created);
    const second = join(directories.quarantine, `${created.uuid}.raw.20240203T040507Z`);
    t.equal(readFileSync(second, 'utf8'), 'bad again', 'an earlier copy is not overwritten');

    const known = record({ name: 'known' });
    put(directories, known);
    await t.rejects(
        database.create(known),
        { code: 'ImageUuidAlreadyExists' },
        'a good record nobody told us about',
    );
    t.equal(await nameOf(database, known.uuid), 'known');
});

void t.test('temporary files are removed by the writer only', async (t) => {
    const directories = newBase(t);
    const raw = record();
    put(directories, raw);
    const temporary = `${raw.uuid}.raw.0123456789abcdef.tmp`;
    const stray = `${raw.uuid}.tmp`;
    for (const name of [temporary, stray]) {
        writeFileSync(join(directories.manifests, name), '{');
    }
    const { database } = await openReader(t, directories);
    t.ok(existsSync(join(directories.manifests, temporary)));
    await database.becomeWriter();
    t.same(readdirSync(directories.manifests).sort(), [`${raw.uuid}.raw`, stray].sort());
});

void t.test('an unfinished change of uuid', async (t) => {
    const directories = newBase(t);
    const [oldDone, newDone] = [record({ name: 'old done' }), record({ name: 'done' })];
    const [oldEarly, newEarly] = [record({ name: 'early' }), record()];
    const broken = record({ name: 'broken' });
    [oldDone, newDone, oldEarly, broken].forEach((raw) => put(directories, raw));
    const intent = (uuid: string): string => join(directories.run, `move-${uuid}.json`);
    writeFileSync(intent(oldDone.uuid), JSON.stringify({ from: oldDone.uuid, to: newDone.uuid }));
    writeFileSync(intent(oldEarly.uuid), JSON.stringify({ from: oldEarly.uuid, to: newEarly.uuid }));
    writeFileSync(intent(broken.uuid), '{"from"');
    writeFileSync(join(directories.run, 'check-files.json'), '{}');

    const reader = await openReader(t, directories);
    t.equal(reader.database.size, 4, 'a reader settles nothing');
    const { database } = await openWriter(t, directories);
    t.same(await allNames(database), ['broken', 'done', 'early']);
    t.same(readdirSync(directories.run), ['check-files.json']);
    t.notOk(existsSync(fileOf(directories, oldDone.uuid)));
});

void t.test('new rules', async (t) => {
    const directories = newBase(t);
    const [publicImage, privateImage] = [
        record({ name: 'public', public: true }),
        record({ name: 'private' }),
    ];
    const plain = record({ name: 'plain', channels: undefined });
    [publicImage, privateImage, plain].forEach((raw) => put(directories, raw));
    const config = configSource();
    const withMode = (mode: Config['mode']): Config => ({ ...config.current, mode });
    const { database } = await openWriter(t, directories, { config });
    t.same(await allNames(database), ['private', 'public']);
    t.same(
        database.skipped.map(({ file }) => file),
        [`${plain.uuid}.raw`],
    );

    config.current = withMode('private');
    await database.revalidate();
    t.same(await allNames(database), ['private']);
    await t.rejects(database.get(publicImage.uuid), { code: 'ResourceNotFound' });

    config.current = withMode('public');
    await database.revalidate();
    t.same(await allNames(database), ['public']);

    const { channels, ...withoutChannels } = config.current;
    t.ok(channels);
    config.current = { ...withoutChannels, mode: 'dc' };
    await database.revalidate();
    t.same(await allNames(database), ['plain']);
    t.equal(database.skipped.length, 2);
    t.equal(readdirSync(directories.manifests).length, 3, 'files stay');
});

void t.test('after close nothing is written', async (t) => {
    const directories = newBase(t);
    const { database } = await openWriter(t, directories);
    const writes = Promise.all(Array.from({ length: 20 }, () => database.create(record())));
    await database.close();
    t.equal(readdirSync(directories.manifests).length, 20, 'what was asked for is done');
    await writes;
    await t.rejects(database.create(record()), { code: 'ServiceUnavailableError' });
});
