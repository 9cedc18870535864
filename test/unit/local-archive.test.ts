import { randomUUID } from 'node:crypto';
import {
    existsSync,
    mkdirSync,
    readdirSync,
    readFileSync,
    statSync,
    utimesSync,
    writeFileSync,
} from 'node:fs';
import { rmdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { LocalArchive } from '#lib/archive/local-archive.js';
import { baseDirectories } from '#lib/base/directories.js';
import type { ServerMode } from '#lib/base/constants.js';
import { toApiManifest } from '#lib/manifest/serialize.js';
import { record, tagged } from '../helpers/records.js';
import { recordingLog } from '../helpers/recording-log.js';

const DAY = 86_400_000;

function setUp(t: Test, mode: ServerMode = 'private') {
    const directories = baseDirectories(t.testdir());
    const archive = new LocalArchive({ directories, mode, log: recordingLog().log });
    const pathOf = (uuid: string) => join(directories.archive, uuid.slice(0, 3), `${uuid}.json`);
    return { directories, archive, pathOf };
}

void t.test('writes the API form without administrative fields', async (t) => {
    for (const mode of ['public', 'private'] as const) {
        const { archive, pathOf } = setUp(t, mode);
        const raw = record({ billing_tags: ['b'], traits: { ssd: true }, ...tagged({ role: 'db' }) });
        await archive.write(raw);
        const text = readFileSync(pathOf(raw.uuid), 'utf8');
        const manifest = toApiManifest(raw, { mode, version2: true, inclAdminFields: false });
        t.equal(text, JSON.stringify(manifest, null, 2));
        const parsed = JSON.parse(text) as Record<string, unknown>;
        t.same(parsed.channels, ['dev'], 'version 2 form');
        t.equal('billing_tags' in parsed, mode === 'private');
        t.notMatch(text, /"stor"|contentMD5|activated/);
        t.equal(statSync(pathOf(raw.uuid)).mode & 0o777, 0o640);
    }
});

void t.test('replaces as one step and leaves no temporary file', async (t) => {
    const { archive, pathOf } = setUp(t);
    const raw = record();
    await archive.write(raw);
    await Promise.all(
        Array.from({ length: 20 }, (_none, index) =>
            archive.write({ ...raw, description: `change ${index}` }),
        ),
    );
    t.match(JSON.parse(readFileSync(pathOf(raw.uuid), 'utf8')), { description: /^change \d+$/ });
    t.same(readdirSync(dirname(pathOf(raw.uuid))), [`${raw.uuid}.json`]);
});

void t.test('emptied directories may be removed while others write', async (t) => {
    const { archive, pathOf } = setUp(t);
    const raw = record();
    const removeEmptied = async (): Promise<void> => {
        await unlink(pathOf(raw.uuid)).catch(() => undefined);
        await rmdir(dirname(pathOf(raw.uuid))).catch(() => undefined);
    };
    for (let index = 0; index < 50; index += 1) {
        await Promise.all([archive.write(raw), removeEmptied(), removeEmptied(), removeEmptied()]);
    }
    t.pass('no write failed');
});

void t.test('a failure is answered without a path', async (t) => {
    const { archive, directories } = setUp(t);
    const raw = record();
    writeFileSync(directories.archive, 'in the way');
    await t.rejects(archive.write(raw), {
        code: 'InternalError',
        status: 500,
        message: `error saving image ${raw.uuid}`,
    });
});

void t.test('count', async (t) => {
    const { archive, pathOf } = setUp(t);
    t.equal(await archive.count(), 0);
    const uuids = Array.from({ length: 5 }, () => randomUUID());
    for (const uuid of uuids) {
        await archive.write(record({ uuid }));
    }
    writeFileSync(join(dirname(pathOf(uuids[0]!)), 'readme.json'), '{}');
    writeFileSync(`${pathOf(uuids[0]!)}.0011223344556677.tmp`, '{');
    t.equal(await archive.count(), 5);
});

void t.test('retention', async (t) => {
    const { archive, pathOf } = setUp(t);
    const now = Date.now();
    const plant = (days: number) => {
        const uuid = randomUUID();
        mkdirSync(dirname(pathOf(uuid)), { recursive: true });
        writeFileSync(pathOf(uuid), '{}');
        utimesSync(pathOf(uuid), (now - days * DAY) / 1000, (now - days * DAY) / 1000);
        return uuid;
    };
    const [gone, recent, living, young] = [plant(31), plant(29), plant(400), plant(3)];
    const asked: string[] = [];
    const options = {
        now,
        retentionDays: 30,
        mayExist: async (uuid: string) => {
            asked.push(uuid);
            return uuid === living;
        },
        signal: new AbortController().signal,
    };
    t.equal(await archive.removeOld(options), 1);
    t.notOk(existsSync(pathOf(gone)), 'too old, and its image is gone');
    t.ok(existsSync(pathOf(recent)) && existsSync(pathOf(young)));
    t.ok(existsSync(pathOf(living)), 'the image exists');
    t.notOk(asked.includes(young));
    t.ok(Math.abs(statSync(pathOf(living)).mtimeMs - now) < 2000, 'and its manifest starts to age again');
    t.equal(await archive.removeOld({ ...options, mayExist: async () => false }), 0);
    t.ok(existsSync(pathOf(living)), 'so it outlives its image');
    t.equal(await archive.removeOld({ ...options, now: now + 31 * DAY, mayExist: async () => false }), 3);
    plant(100);
    await t.rejects(archive.removeOld({ ...options, signal: AbortSignal.abort() }));
});
