import { readdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { baseDirectories } from '#lib/base/directories.js';
import { systemClock } from '#lib/base/clock.js';
import { newUuid } from '#lib/base/uuid.js';
import type { ImageServices, RequestContext } from '#lib/images/context.js';
import type { ExportArea } from '#lib/images/export-area.js';
import { exportImage } from '#lib/images/export-image.js';
import { findExportPaths, requireExportPrefix } from '#lib/images/export-paths.js';
import { settleAbandonedExports } from '#lib/images/recover-exports.js';
import { settleExport } from '#lib/images/settle-export.js';
import { processState } from '#lib/lock/process-identity.js';
import type { ImageFile, RawImage } from '#lib/manifest/types.js';
import type { ObjectStore } from '#lib/remotes/object-store.js';
import { createExportJournal, type ExportIntent } from '#lib/storage/export-journal.js';
import { MantaStorage } from '#lib/storage/manta/manta-storage.js';
import {
    type Bench,
    CHANNELS,
    makeBench,
    md5,
    refusal,
    refused,
    type BenchOptions,
} from '../helpers/image-bench.js';
import { gzipFile, rawRecord, USERS } from '../helpers/images.js';
import { type ObjectsBench, objectsBench } from '../helpers/manta-objects.js';
import { addFile, plantImage } from '../helpers/planted-images.js';
import { recordingLog } from '../helpers/recording-log.js';

const PATH = '/admin/stor/exported';
const MANIFEST = `${PATH}.imgmanifest`;
const IMAGE = `${PATH}.zfs.gz`;
const JSON_TYPE = { contentType: 'application/json' };
const BYTES = gzipFile('exported');

/** A bench with a Manta, and how to export there. */
interface ExportBench {
    readonly bench: Bench;
    readonly manta: ObjectsBench;
    readonly area: ExportArea;
    readonly services: ImageServices;
    readonly run: (uuid: string, context?: Partial<RequestContext>) => Promise<unknown>;
    /** Paths of what is exported. */
    readonly exported: () => readonly string[];
    /** What is noted of exports. */
    readonly intents: () => readonly string[];
}

async function exportBench(
    t: Test,
    config: BenchOptions['config'] = {},
    wrap: (objects: ObjectStore) => ObjectStore = (objects) => objects,
): Promise<ExportBench> {
    const bench = await makeBench(t, {
        backend: 'local',
        config: { storageTypes: ['local', 'manta'], ...config },
    });
    const manta = await objectsBench(t);
    const { log } = recordingLog();
    const directories = baseDirectories(bench.base);
    const storage = new MantaStorage({
        objects: manta.objects,
        rootDir: `${manta.root}/imgapi`,
        log,
        clock: systemClock,
        noteTemporary: (uuid, name, at) => bench.services.journal.note(uuid, [{ stor: 'manta', name }], at),
    });
    const area: ExportArea = {
        objects: wrap(manta.objects),
        journal: createExportJournal({ directories, log, clock: systemClock }),
        pathOf: (uuid, name) => storage.pathOf(uuid, name),
    };
    const storages = new Map([...bench.services.storages, ['manta', storage] as const]);
    const services = { ...bench.services, storages, exports: area };
    return {
        bench: { ...bench, services },
        manta,
        area,
        services,
        run: (uuid, context = {}) => exportImage(services, bench.context(context), uuid, PATH),
        exported: () => manta.double.objects('/admin/stor').filter((path) => path.startsWith(PATH)),
        intents: () => readdirSync(directories.exports),
    };
}

/** Plants an image with a file in Manta. */
async function stored(setup: ExportBench, more = {}, bytes = BYTES): Promise<string> {
    const uuid = await plantImage(setup.bench, { more });
    await addFile(setup.bench, uuid, bytes, { storage: 'manta' });
    return uuid;
}

function without(intent: ExportIntent, key: keyof ExportIntent): ExportIntent {
    const entries = Object.entries(intent).filter(([name]) => name !== key);
    return Object.fromEntries(entries) as unknown as ExportIntent;
}

void t.test('paths', async (t) => {
    for (const [given, path, login] of [
        ['/vader', '/vader', 'vader'],
        ['//vader//stor///x/', '/vader/stor/x', 'vader'],
        ['/vader/stor/./a/../b', '/vader/stor/b', 'vader'],
        ['/vader/../luke/stor', '/luke/stor', 'luke'],
        ['/../../luke', '/luke', 'luke'],
        ['/vader/stor/ü %2e%2e\\?#', '/vader/stor/ü %2e%2e\\?#', 'vader'],
    ] as const) {
        const { depth, ...prefix } = requireExportPrefix(given);
        t.same(prefix, { path, login });
        t.equal(depth, path.split('/').length - 1);
    }
    const bad = refused(422, 'InvalidParameter', 'invalid manta_path prefix, not a valid manta path', [
        'manta_path',
        'Invalid',
    ]);
    for (const given of [
        '',
        '/',
        '/.',
        '/a/..',
        'a/stor',
        '~~/stor',
        '/a/\n',
        '/a/\u0085',
        `/${'a'.repeat(1024)}`,
    ]) {
        t.same(await refusal(async () => requireExportPrefix(given)), bad, JSON.stringify(given));
    }

    const asked: string[] = [];
    const objects = {
        stat: async (path: string) => {
            asked.push(path);
            return path === '/a/stor/dir' ? { isDirectory: true, size: 0 } : undefined;
        },
    } as unknown as ObjectStore;
    const paths = (path: string, facts: object, compression = 'xz') =>
        findExportPaths(
            objects,
            requireExportPrefix(path),
            rawRecord({ uuid: newUuid(), name: 'n', ...facts }) as unknown as RawImage,
            { compression } as ImageFile,
        );
    const odd = await paths('/a/stor/dir', { name: '../\ud800\u0000/\u007f', version: '..' });
    t.same(odd, {
        manifest: '/a/stor/dir/.._\ufffd___-...imgmanifest',
        image: '/a/stor/dir/.._\ufffd___-...zfs.xz',
    });
    const prefixed = await paths('/a/stor/x', {}, 'lz4');
    t.same(prefixed, { manifest: '/a/stor/x.imgmanifest', image: '/a/stor/x.zfs' }, 'an unknown compression');
    t.same(asked, ['/a/stor/dir', '/a/stor/x']);
    const top = await paths('/a', {});
    t.equal(top.manifest, '/a/n-1.0.0.imgmanifest', 'nothing goes beside an account');
});

void t.test('what is exported depends on the version of the caller', async (t) => {
    const setup = await exportBench(t, { channels: CHANNELS });
    const uuid = await stored(setup, { channels: ['dev'], x_imgapi: { import_id: newUuid() } });
    for (const version2 of [false, true]) {
        await setup.run(uuid, { version2, channel: 'dev' });
        const { bytes } = (await setup.manta.objects.read(MANIFEST, 10_000)) ?? {};
        const text = String(bytes);
        const manifest = JSON.parse(text) as Record<string, unknown>;
        t.equal(text, JSON.stringify(manifest, null, 4));
        t.same(manifest['channels'], version2 ? ['dev'] : undefined);
        t.same(Object.keys((manifest['files'] as object[])[0] ?? {}), ['sha1', 'size', 'compression']);
        t.notOk('x_imgapi' in manifest);
    }
    t.same(setup.intents(), []);
});

void t.test('without accounts nobody is known to own a path; without Manta there is none', async (t) => {
    const setup = await exportBench(t);
    const uuid = await stored(setup);
    const { vader } = USERS;
    const unknown = refused(422, 'AccountDoesNotExist', `account "${vader}" does not exist`);
    t.same(await refusal(setup.run(uuid, { account: vader })), unknown);
    const plain = await makeBench(t);
    const planted = await plantImage(plain, { active: true });
    const unsupported = refused(503, 'StorageUnsupported', 'storage type is unsupported');
    t.same(await refusal(exportImage(plain.services, plain.context(), planted, PATH)), unsupported);
    t.same(setup.exported(), []);
});

void t.test('a file that is not what its record says', async (t) => {
    const setup = await exportBench(t);
    const uuid = await stored(setup);
    await setup.manta.objects.put(setup.area.pathOf(uuid, 'file0'), Buffer.from('short'), JSON_TYPE);
    const wrong = `error exporting image file: stored size is 5, expected ${BYTES.length}`;
    t.same(await refusal(setup.run(uuid)), refused(500, 'InternalError', wrong));
    t.same(setup.exported(), []);
});

void t.test('what happens between manifest and file', async (t) => {
    let meanwhile = async (): Promise<unknown> => undefined;
    const setup = await exportBench(t, {}, (objects) =>
        Object.assign(Object.create(objects) as ObjectStore, {
            url: objects.url,
            user: objects.user,
            put: objects.put.bind(objects),
            stat: objects.stat.bind(objects),
            read: objects.read.bind(objects),
            remove: objects.remove.bind(objects),
            copy: async (...parameters: Parameters<ObjectStore['copy']>) => {
                await meanwhile();
                await objects.copy(...parameters);
            },
        }),
    );
    const uuid = await stored(setup);

    meanwhile = () => addFile(setup.bench, uuid, gzipFile('replaced'), { storage: 'manta' });
    const replaced = 'error exporting image file: the file was replaced meanwhile';
    t.same(await refusal(setup.run(uuid)), refused(500, 'InternalError', replaced));
    t.same(setup.exported(), []);

    meanwhile = async () => {
        await setup.bench.database.del(uuid);
        await setup.services.storages.get('manta')?.remove(uuid, 'file0');
    };
    t.same(await refusal(setup.run(uuid)), refused(404, 'ResourceNotFound', `image ${uuid} not found`));
    t.same(setup.exported(), [], 'deleted');
    t.same(setup.intents(), []);

    const last = await stored(setup);
    const gone = new AbortController();
    gone.abort(new Error('the client has gone'));
    await t.rejects(setup.run(last, { signal: gone.signal }), { message: 'the client has gone' });
    t.same(setup.exported(), [], 'too late to begin');
    t.same(setup.intents(), []);
});

void t.test('an export that cannot be noted is not begun', async (t) => {
    const setup = await exportBench(t);
    const uuid = await stored(setup);
    writeFileSync(join(setup.bench.base, 'run', 'exports'), 'not a directory');
    const { message, status } = (await refusal(setup.run(uuid))) as { message: string; status: number };
    t.equal(status, 500);
    t.match(message, /^error exporting image manifest: E/);
    t.same(setup.exported(), []);
});

void t.test('settling', async (t) => {
    const { area, manta, exported, services } = await exportBench(t);
    const { objects, journal } = area;
    const text = Buffer.from('{}');
    const log = recordingLog();
    const settleAll = () => settleAbandonedExports(area, log.log, new AbortController().signal);
    const begun = async (changes: Partial<ExportIntent> = {}): Promise<ExportIntent> => {
        const { etag = '' } = await objects.put(MANIFEST, text, JSON_TYPE);
        return {
            id: newUuid(),
            uuid: newUuid(),
            manifestPath: MANIFEST,
            manifestMd5: md5(text),
            manifestEtag: etag,
            imagePath: IMAGE,
            size: BYTES.length,
            md5: md5(BYTES),
            ...changes,
        };
    };
    t.ok(services.exports);

    t.equal(await settleExport(area, await begun()), 'manifest removed');
    t.equal(await settleExport(area, await begun({ manifestEtag: 'another' })), 'nothing to do');
    const unanswered = without(await begun(), 'manifestEtag');
    t.equal(await settleExport(area, unanswered), 'manifest removed');
    t.equal(await settleExport(area, unanswered), 'nothing to do', 'it never came');
    const other = without(await begun({ manifestMd5: md5(BYTES) }), 'manifestEtag');
    t.equal(await settleExport(area, other), 'nothing to do', 'an earlier one');
    t.same(exported(), [MANIFEST]);

    const before = Buffer.from('before');
    const replacing = await begun({ previous: before.toString('base64') });
    t.equal(await settleExport(area, replacing), 'previous manifest put back');
    t.equal(String((await objects.read(MANIFEST, 100))?.bytes), 'before');
    const raced = await begun({ previous: before.toString('base64') });
    const end = manta.double.inject(
        { refuse: { status: 412, code: 'PreconditionFailed', message: 'replaced' } },
        { kind: 'put' },
    );
    t.equal(await settleExport(area, raced), 'previous manifest put back', 'by somebody else');
    end();

    await objects.put(IMAGE, gzipFile('another'), JSON_TYPE);
    t.equal(await settleExport(area, await begun()), 'manifest removed', 'another file');
    await objects.put(IMAGE, BYTES, JSON_TYPE);
    t.equal(await settleExport(area, await begun()), 'complete');
    t.equal(await settleExport(area, without(await begun(), 'md5')), 'complete', 'as far as is known');
    await objects.remove(IMAGE);

    const running = await journal.note(without(await begun(), 'manifestEtag'));
    t.same(await journal.abandoned(), [], 'this process works on it');
    t.same((await journal.active()).length, 1);
    const same = without(await begun(), 'manifestEtag');
    await t.rejects(settleExport(area, same), /another export to the same place is under way/);
    t.equal(await settleExport(area, running.intent), 'manifest removed', 'its own');
    const left = await journal.note(same);
    await left.release();
    await begun();
    await settleAll();
    t.same(exported(), [MANIFEST], 'not now');
    t.equal((await journal.abandoned()).length, 1);
    await running.drop();
    await settleAll();
    t.same(exported(), []);
    t.same(await journal.abandoned(), []);

    const away = await journal.note(await begun());
    await away.release();
    await manta.double.stop();
    await settleAll();
    t.equal((await journal.abandoned()).length, 1, 'tried again later');
    await manta.double.restart();
    await settleAll();
    t.same(exported(), []);
    t.ok(log.records.some(({ msg }) => msg === 'interrupted export could not be settled'));
});

void t.test('what lies in the journal', async (t) => {
    const base = t.testdir({ run: { exports: {} } });
    const { log, records } = recordingLog();
    const journal = createExportJournal({ directories: baseDirectories(base), log, clock: systemClock });
    const intent = {
        id: newUuid(),
        uuid: newUuid(),
        manifestPath: MANIFEST,
        manifestMd5: md5(BYTES),
        imagePath: IMAGE,
        size: 1,
        host: 'another-machine',
        pid: 1,
        at: Date.now(),
    };
    const write = (name: string, value: unknown) =>
        writeFileSync(join(base, 'run', 'exports', `${name}.json`), JSON.stringify(value));
    write('young', intent);
    t.same(
        (await journal.active()).map(({ id }) => id),
        [intent.id],
        'of another machine',
    );
    write('old', { ...intent, id: newUuid(), at: Date.now() - 86_400_001 });
    t.equal((await journal.abandoned()).length, 1);
    const { startTime } = (await processState(process.ppid)) ?? {};
    const local = { ...intent, id: newUuid(), host: hostname(), pid: process.ppid, startTime };
    write('running', local);
    t.equal((await journal.abandoned()).length, 1, 'its process lives');
    write('running', { ...local, startTime: (startTime ?? 0) + 1 });
    t.equal((await journal.abandoned()).length, 2, 'another process has its number');
    write('running', { ...local, released: true });
    t.equal((await journal.abandoned()).length, 2, 'it was given up');
    for (const [key, value] of [
        ['id', 'x'],
        ['uuid', 1],
        ['manifestPath', undefined],
        ['imagePath', 1],
        ['size', '1'],
        ['previous', {}],
        ['host', undefined],
        ['pid', 'x'],
    ] as const) {
        write(`bad-${key}`, { ...intent, [key]: value });
    }
    write('bad-null', null);
    records.length = 0;
    t.equal((await journal.abandoned()).length, 2);
    t.equal(records.filter(({ msg }) => /export intent cannot be read/.test(msg)).length, 9);
});
