import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { LiveConfig } from '#lib/app/live-config.js';
import { serveDatabase } from '#lib/app/served-database.js';
import { systemClock } from '#lib/base/clock.js';
import { loadConfig } from '#lib/base/config.js';
import { baseDirectories } from '#lib/base/directories.js';
import { isGarbage, type FileFinding } from '#lib/maintenance/files/finding.js';
import { GarbageCollector } from '#lib/maintenance/files/garbage-collector.js';
import { LocalFileArea } from '#lib/maintenance/files/local-file-area.js';
import { ServiceUser } from '#lib/maintenance/files/service-user.js';
import { surveyFiles } from '#lib/maintenance/files/survey.js';
import { surveyRecords } from '#lib/maintenance/files/survey-records.js';
import { FileUploadJournal } from '#lib/storage/file-upload-journal.js';
import { ImageServerDouble } from '../doubles/image-server/image-server-double.js';
import { runTool } from '../helpers/admin-tool.js';
import { DamagedTree, kindsOf, parseFindings } from '../helpers/damaged-tree.js';
import { HttpClient } from '../helpers/http-client.js';
import { createImage, gzipFile, PNG, publishImage } from '../helpers/images.js';
import { mantaClient, startManta } from '../helpers/manta-place.js';
import { recordingLog } from '../helpers/recording-log.js';
import { eventually, LIMIT_MS, ServerProcess } from '../helpers/server-process.js';
import { expectCleanEnd } from '../helpers/start-server.js';
import { storedFiles } from '../helpers/stored-files.js';

t.setTimeout(180_000);

const FILE = gzipFile('the file of an image');
const OPEN = { authType: 'none' } as const;

/** A tree with a server at work on it, which lets everybody in. */
async function served(
    t: Test,
    config: Readonly<Record<string, unknown>> = {},
): Promise<{ readonly tree: DamagedTree; readonly server: ServerProcess; readonly client: HttpClient }> {
    const tree = new DamagedTree(t);
    tree.many(4);
    const server = await ServerProcess.start({ baseDir: tree.base, config: { ...OPEN, ...config } });
    t.teardown(() => (server.alive ? expectCleanEnd(server) : undefined));
    // An upload waits while other programs run.
    const client = new HttpClient(server.port, undefined, LIMIT_MS);
    t.teardown(() => client.close());
    return { tree, server, client };
}

void t.test('beside a server with uploads under way', async (t) => {
    const { tree, server, client } = await served(t);
    const tool = (...args: string[]) => runTool(['gc', '-y', '-j', ...args], tree.environment);
    const uuid = await createImage(client);
    const body = new PassThrough();
    const upload = client.put(`/images/${uuid}/file?compression=gzip`, body);
    body.write(FILE.subarray(0, 10));
    const { storedNames } = storedFiles(tree.base);
    const [temporary = ''] = await eventually('the upload', 10_000, () => {
        const names = storedNames(uuid);
        return names.length > 0 && names;
    });
    const orphan = tree.put(tree.path(newUuid(), 'file0'), FILE, 1);
    // A server that knows nothing of this directory: its answer is not taken for one.
    const other = await ServerProcess.start({ config: OPEN });
    const misled = await tool('--min-age', '0', '-c', server.configPath, '--url', other.url);
    await other.stop();
    t.equal(misled.code, 0, misled.stderr);
    t.match(misled.stderr, /another process than the one that holds run\/imgapi.lock has answered/);
    t.ok(existsSync(join(tree.base, orphan)), 'too young for a guess');

    const run = await tool('--min-age', '0', '-c', server.configPath);
    t.equal(run.code, 0, run.stderr);
    const { findings, summary } = parseFindings(run.stdout);
    t.same(kindsOf(tree.base, findings), [`orphan ${orphan}`]);
    t.match(summary, { kept: { 'it is being uploaded': 1 } });
    t.same(storedNames(uuid), [temporary], 'the upload is left alone');
    body.end(FILE.subarray(10));
    t.equal((await upload).status, 200);
    t.equal((await client.post(`/images/${uuid}?action=activate`)).status, 200);
    t.same((await client.get(`/images/${uuid}/file`)).body, FILE);

    const source = await new ImageServerDouble().start();
    t.teardown(() => source.stop());
    const absent = newUuid();
    source.add({ uuid: absent, public: false }, [FILE]);
    const args = ['repair', '-y', '-j', '-c', server.configPath, '--source', source.url, absent];
    const repair = await runTool(args, tree.environment);
    t.equal(repair.code, 0, repair.stderr);
    t.match((await client.get(`/images/${absent}`)).document, { state: 'active' }, 'imported by the server');
});

/** Bytes of a client that takes its time, so that there are temporary files to be seen. */
async function* slowly(file: Buffer): AsyncGenerator<Buffer> {
    yield file.subarray(0, 10);
    await delay(50);
    yield file.subarray(10);
}

/** Publishes images, replaces and deletes files, until told to stop. Refusals are no matter, lost files are. */
async function work(
    client: HttpClient,
    signal: AbortSignal,
    acknowledged: Map<string, Buffer>,
): Promise<void> {
    while (!signal.aborted) {
        const uuid = await createImage(client);
        const [first, second] = [gzipFile(newUuid()), gzipFile(newUuid())];
        for (const file of [first, second]) {
            const sent = Readable.from(slowly(file));
            const { status } = await client.put(`/images/${uuid}/file?compression=gzip`, sent);
            if (status === 200) acknowledged.set(uuid, file);
        }
        await client.put(`/images/${uuid}/icon`, PNG, { headers: { 'content-type': 'image/png' } });
        if (acknowledged.size % 3 === 0) {
            acknowledged.delete(uuid);
            await client.delete(`/images/${uuid}`);
        }
    }
}

/** How long a race may take to get going. */
const PATIENCE_MS = 30_000;

/** Takes away whatever looks like garbage at a moment, however young, and whatever the server says of it. */
async function collectAlways(
    tree: DamagedTree,
    configPath: string,
    signal: AbortSignal,
    onMoved: (count: number) => void,
): Promise<void> {
    const directories = baseDirectories(tree.base);
    const { log } = recordingLog();
    const config = new LiveConfig({ ...loadConfig(configPath), dataDir: tree.base });
    const database = await serveDatabase({ directories, config, clock: systemClock, log });
    await database.database.setup();
    const areas = [new LocalFileArea(directories, await ServiceUser.of(tree.base))];
    const records = surveyRecords(database);
    const uploads = new FileUploadJournal({
        directories,
        log,
        clock: systemClock,
        writers: 'all',
        claimant: 'tool',
        waitMs: 100,
    });
    const never = new AbortController().signal;
    const collector = new GarbageCollector({
        areas,
        records,
        uploads,
        directories,
        clock: systemClock,
        minAgeMs: () => -Infinity,
        isUploading: () => false,
        stamp: '20200101T000000Z',
        signal: never,
    });
    while (!signal.aborted) {
        const found: FileFinding[] = [];
        const visitor = {
            begun: () => undefined,
            done: () => undefined,
            found: (one: FileFinding) => found.push(one),
        };
        await surveyFiles({ areas, records, depth: 'needed', signal: never }, visitor);
        for (const finding of found.filter(isGarbage)) {
            const results = await collector.collect([finding]);
            onMoved(results.filter(({ result }) => result === 'moved').length);
        }
    }
    await database.close();
}

void t.test('no acknowledged file goes to the trash, even if everything young is taken', async (t) => {
    const { tree, server, client } = await served(t);
    const stop = new AbortController();
    const acknowledged = new Map<string, Buffer>();
    let moved = 0;
    const count = (more: number): void => void (moved += more);
    const all = Promise.all([
        collectAlways(tree, server.configPath, stop.signal, count),
        ...Array.from({ length: 4 }, () => work(client, stop.signal, acknowledged)),
    ]);
    const end = Date.now() + Number(process.env['GC_RACE_SECONDS'] ?? '2') * 1000;
    const patience = end + PATIENCE_MS;
    // On a busy machine one of the two may hardly get a turn: what there is by then has to do.
    const isEnough = (): boolean =>
        (moved >= 3 && acknowledged.size >= 10 && Date.now() > end) || Date.now() > patience;
    await Promise.race([all, eventually('both at work', LIMIT_MS, isEnough)]).finally(() => stop.abort());
    await all;
    t.comment(`${acknowledged.size} images acknowledged, ${moved} files taken away`);
    const lost: string[] = [];
    for (const [uuid, file] of acknowledged) {
        const answer = await client.get(`/images/${uuid}/file`);
        if (answer.status !== 200 || !answer.body.equals(file)) lost.push(`${uuid} ${answer.status}`);
    }
    t.same(lost, []);
    t.ok(acknowledged.size > 0);
});

void t.test('Manta: the same rows, and the places of older servers', async (t) => {
    const { double, root, config: manta } = await startManta(t);
    const { tree, server, client } = await served(t, { storageTypes: ['local', 'manta'], manta });
    const area = `${root}/imgapi`;
    const store = mantaClient(t, manta);
    const put = async (path: string, bytes: Buffer): Promise<string> => {
        const full = `${area}/${path}`;
        await store.call('mkdirp', full.slice(0, full.lastIndexOf('/')));
        await store.put(full, bytes);
        return path;
    };
    const uuids = await Promise.all(Array.from({ length: 6 }, () => publishImage(client, {}, FILE)));
    const [duplicate = '', leftover = '', misplaced = '', row6 = '', row8 = '', recoverable = ''] = uuids;
    const inManta = (uuid: string, name = 'file0'): string => `images/${uuid.slice(0, 3)}/${uuid}/${name}`;
    // All are in Manta, by the choice of the server.
    const other = tree.put(tree.path(duplicate, 'file0'), FILE);
    const orphan = newUuid();
    const garbage = [
        await put(inManta(orphan), FILE),
        await put(inManta(leftover, `file0.${newUuid()}`), FILE),
        await put(inManta(leftover, 'icon'), PNG),
    ];
    const shift = async (uuid: string, to: string): Promise<void> => {
        await put(to, FILE);
        await store.call('unlink', `${area}/${inManta(uuid)}`);
    };
    await shift(misplaced, inManta(misplaced, 'gone'));
    await store.call('unlink', `${area}/${inManta(misplaced, 'gone')}`);
    tree.put(tree.path(misplaced, 'file0'), FILE);
    await shift(row6, `${row6}/file0`);
    await shift(row8, `images/${row8}/file0`);
    await shift(recoverable, inManta(recoverable, `file0.${newUuid()}`));
    const used = new Set([...uuids, orphan].map((uuid) => uuid.slice(0, 3)));
    const unused = ['eee', 'eef', 'ef0', 'ef1', 'ef2', 'ef3', 'ef4', 'ef5'].find(
        (prefix) => !used.has(prefix),
    );
    await store.call('mkdirp', `${area}/images/${unused ?? ''}`);
    const before = new Set(double.objects(area));
    const access = ['-c', server.configPath];
    const run = await runTool(['gc', '-y', '-j', '--min-age', '0', ...access], tree.environment);
    t.equal(run.code, 0, run.stderr);
    const found = parseFindings(run.stdout).findings;
    t.same(
        // Where a file was moved away above, its directory is left.
        found
            .filter(({ uuid }) => ![misplaced, row6, row8].includes(String(uuid)))
            .map(({ kind, path }) => `${String(kind)} ${String(path)}`)
            .sort(),
        [
            `duplicate ${join(tree.base, other)}`,
            `empty ${area}/images/${unused ?? ''}`,
            `leftover ${area}/${garbage[1] ?? ''}`,
            `orphan ${area}/${garbage[0] ?? ''}`,
            `orphan-file ${area}/${garbage[2] ?? ''}`,
        ],
        run.stdout.join('\n'),
    );
    const stamp =
        /trash\/(\w+)\//.exec(String(found.find(({ kind }) => kind === 'orphan')?.['to']))?.[1] ?? '';
    const after = double.objects(area);
    t.same(
        after.filter((path) => !before.has(path)).sort(),
        garbage.map((path) => `${area}/trash/${stamp}/${path}`).sort(),
    );
    t.same(
        [...before].filter((path) => !after.includes(path)).sort(),
        garbage.map((path) => `${area}/${path}`).sort(),
    );
    t.ok(existsSync(join(tree.base, `trash/${stamp}`, other)));

    const repair = await runTool(['repair', '-y', '-j', ...access], tree.environment);
    t.equal(repair.code, 252, 'a server holds the lock');
    t.match(repair.stderr, /records cannot be changed: a server holds run\/imgapi.lock/);
    for (const uuid of [row6, row8, recoverable]) {
        t.same((await client.get(`/images/${uuid}/file`)).body, FILE);
    }
    await expectCleanEnd(server);
    const rest = await runTool(['repair', '-y', '-j', ...access], tree.environment);
    t.equal(rest.code, 0, rest.stderr);
    t.match(tree.json(`manifests/${misplaced}.raw`), { files: [{ stor: 'local' }] });
    t.same(
        double.objects(`${area}/images`),
        [duplicate, leftover, row6, row8, recoverable].map((uuid) => `${area}/${inManta(uuid)}`).sort(),
    );
});
