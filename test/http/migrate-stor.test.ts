import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { MantaDouble } from '../doubles/manta/manta-double.js';
import { AdminTool, parseReport, runTool } from '../helpers/admin-tool.js';
import { DC_IMAGES, startDatacenter } from '../helpers/datacenter.js';
import { HttpClient } from '../helpers/http-client.js';
import { imageDirectory, UNKNOWN, writeFixtures } from '../helpers/images.js';
import { makeMantaKey } from '../helpers/manta-keys.js';
import { startManta } from '../helpers/manta-place.js';
import {
    imagesToMigrate,
    wrongImages,
    writeSecondFiles,
    type MigratedImage,
} from '../helpers/migration-images.js';
import { eventually, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { createKey } from '../helpers/signing.js';
import { expectCleanEnd } from '../helpers/start-server.js';

t.setTimeout(300_000);

/** A server of mode private with both storages, which wants signatures, and who may use it. */
interface Place {
    readonly images: readonly MigratedImage[];
    readonly server: ServerProcess;
    readonly client: HttpClient;
    readonly double: MantaDouble;
    /** Where the server keeps its images in Manta. */
    readonly area: string;
    /** Options of the tool that let it in. */
    readonly access: readonly string[];
    /** Starts the server again, on its port and with its data. */
    readonly again: () => Promise<ServerProcess>;
    /** What has files or an icon. */
    readonly movable: number;
}

async function start(
    t: Test,
    options: {
        readonly count?: number;
        readonly config?: object;
        readonly channels?: readonly string[];
    } = {},
): Promise<Place> {
    const { count = 30, channels = [] } = options;
    const { double, root, config: manta } = await startManta(t);
    const baseDir = temporaryDirectory();
    const key = makeMantaKey(baseDir, 'ecdsa');
    const own = createKey('operator');
    const images = imagesToMigrate(count, (index) =>
        channels.length === 0 ? {} : { channels: [channels[index % channels.length]] },
    );
    writeFixtures(
        baseDir,
        images.map(({ fixture }) => fixture),
    );
    writeSecondFiles(baseDir, images);
    const config = {
        storageTypes: ['local', 'manta'],
        manta,
        authType: 'signature',
        authKeys: { operator: [key.publicLine, own.publicLine] },
        ...options.config,
    };
    const server = await ServerProcess.start({ baseDir, config });
    let current = server;
    t.teardown(async () => {
        await expectCleanEnd(current).finally(() => rmSync(baseDir, { recursive: true, force: true }));
    });
    return {
        images,
        server,
        client: new HttpClient(server.port, own),
        double,
        area: `${root}/imgapi/images`,
        access: ['-c', server.configPath, '-u', 'operator', '-i', key.file],
        again: async () => {
            current = await ServerProcess.start({ baseDir, config: { ...config, port: server.port } });
            return current;
        },
        movable: images.filter(({ files, icon }) => files.length > 0 || icon !== undefined).length,
    };
}

/** Bytes of images on their way to Manta. */
const UPLOADS = { kind: 'put', path: /\/imgapi\/images\// } as const;

const EVERYTHING = '/images?state=all&channel=*&inclAdminFields=true';

const migrate = (place: Place, to: string, ...args: string[]): string[] => [
    'migrate-stor',
    '--to',
    to,
    ...place.access,
    ...args,
];

/** Where all bytes of all images must be, and nowhere else. */
async function expectAllIn(t: Test, place: Place, stor: 'local' | 'manta', message: string): Promise<void> {
    const { images, client, server, double, area } = place;
    t.same(await wrongImages(client, images, stor), [], `${message}: records and bytes`);
    const names = images.flatMap(({ files, icon }) => [
        ...files,
        ...(icon === undefined ? [] : [icon]),
    ]).length;
    const inManta = (): readonly string[] => double.objects(area);
    const onDisk = (): readonly string[] =>
        images
            .map(({ fixture }) => imageDirectory(server.baseDir, fixture.uuid))
            .flatMap((directory) => (existsSync(directory) ? readdirSync(directory) : []));
    const [here, there] = stor === 'manta' ? [inManta, onDisk] : [onDisk, inManta];
    await eventually(`${message}: nothing but the files`, 20_000, () => here().length === names);
    await eventually(`${message}: nothing elsewhere`, 20_000, () => there().length === 0);
}

void t.test('there and back', async (t) => {
    const place = await start(t);
    const { images, double } = place;
    const records = async (): Promise<string> => (await place.client.get(EVERYTHING)).text;
    const before = await records();

    const shown = await runTool(migrate(place, 'manta', '-n', '-j'));
    t.equal(shown.code, 0, shown.stderr);
    const rehearsal = parseReport(shown.stdout);
    t.match(rehearsal.summary, {
        to: 'manta',
        dryRun: true,
        complete: true,
        images: 30,
        failed: 0,
        wouldMove: images.filter(({ files }) => files.length > 0).length,
        wouldCheckIcon: 4,
        bytes: images.flatMap(({ files }) => files).reduce((sum, file) => sum + file.length, 0),
    });
    t.equal(await records(), before, 'a dry run changes nothing');
    t.same(
        double.requests({ kind: ['put', 'link', 'delete'], path: UPLOADS.path }),
        [],
        'not even for a moment',
    );

    const some = images.filter((_, index) => index % 10 === 4).map(({ fixture }) => fixture.uuid);
    const named = await runTool(migrate(place, 'manta', '-y', ...some, ...some));
    t.equal(named.code, 0, named.stderr);
    t.equal(named.stdout.length, some.length + 1, 'each once, and the summary');
    for (const uuid of some)
        t.ok(
            named.stdout.some((line) => line.startsWith(uuid)),
            uuid,
        );
    t.match(named.stdout.at(-1), /^moved 3 images \(\d+ B\) to manta in \d+s$/);

    const there = await runTool(migrate(place, 'manta', '-y', '-j', '-v'));
    t.equal(there.code, 0, there.stderr);
    const report = parseReport(there.stdout);
    t.equal(report.images.size, 30, 'all images are told of');
    for (const { fixture, files, icon } of images) {
        const inPlace = some.includes(fixture.uuid) || files.length === 0;
        const quiet = files.length === 0 ? 'no-files' : 'already-there';
        t.match(report.images.get(fixture.uuid), {
            name: fixture.name,
            version: '1.0.0',
            result: !inPlace ? 'moved' : icon === undefined ? quiet : 'icon-checked',
            bytes: inPlace ? 0 : files.reduce((sum, file) => sum + file.length, 0),
        });
    }
    await expectAllIn(t, place, 'manta', 'in Manta');

    double.clearRequests();
    const nothing = parseReport((await runTool(migrate(place, 'manta', '-y', '-j'))).stdout);
    t.match(nothing.summary, { moved: 0, bytes: 0, failed: 0, complete: true });
    t.same(
        double.requests({ kind: ['put', 'link', 'delete'], path: UPLOADS.path }),
        [],
        'what is there is left alone',
    );

    const back = await runTool(migrate(place, 'local', '--yes', '--parallel=64'));
    t.equal(back.code, 0, back.stderr);
    t.match(back.stdout.at(-1), new RegExp(`^moved \\d+ images .*, 4 already there, icon made sure of`));
    await expectAllIn(t, place, 'local', 'back');
});

void t.test('so many at the same time', async (t) => {
    const place = await start(t);
    const { double, server } = place;
    const held = double.hold(UPLOADS);
    const tool = new AdminTool(migrate(place, 'manta', '-y', '-p', '3'));
    await held.arrived(3);
    t.equal(held.waiting, 3);
    held.resume();
    const { code } = await tool.exited;
    t.equal(code, 0);
    const moves = server.log.filter(({ action }) => action === 'change-stor');
    t.equal(moves.length, place.movable, 'one request an image');
    await expectAllIn(t, place, 'manta', 'in Manta');
});

void t.test('a tool that is killed', async (t) => {
    const place = await start(t);
    const held = place.double.hold({ ...UPLOADS, skip: 8 });
    const tool = new AdminTool(migrate(place, 'manta', '-y'));
    await held.arrived(4);
    tool.signal('SIGKILL');
    t.match(await tool.exited, { signal: 'SIGKILL' });
    held.resume();
    const again = await runTool(migrate(place, 'manta', '-y', '-j'));
    t.equal(again.code, 0, again.stderr);
    const { summary } = parseReport(again.stdout);
    t.ok(Number(summary['alreadyThere']) > 0, 'what was moved before is not moved again');
    await expectAllIn(t, place, 'manta', 'in the end');
});

void t.test('Ctrl-C', async (t) => {
    const place = await start(t);
    const held = place.double.hold({ ...UPLOADS, skip: 8 });
    const tool = new AdminTool(migrate(place, 'manta', '-y', '-j', '-p', '2'));
    await held.arrived(2);
    tool.signal('SIGINT');
    await tool.said('stopping when what is being moved is moved');
    held.resume();
    const { code, stdout } = await tool.exited;
    t.equal(code, 130);
    const { images, summary } = parseReport(stdout);
    const begun = place.server.log.filter(({ action }) => action === 'change-stor');
    const moved = [...images.values()].filter(({ result }) => result !== 'no-files');
    t.equal(begun.length, moved.length, 'what was being moved is moved, nothing else is begun');
    t.ok(images.size < 30, 'not all');
    t.match(summary, { interrupted: true, complete: false, failed: 0, images: images.size });

    const heldAgain = place.double.hold({ ...UPLOADS, skip: 4 });
    const second = new AdminTool(migrate(place, 'manta', '-y', '-p', '2'));
    await heldAgain.arrived(2);
    second.signal('SIGINT');
    await second.said('once more: at once');
    second.signal('SIGINT');
    const ended = await second.exited;
    t.equal(ended.code, 130, 'the second one does not wait');
    t.match(ended.stdout.at(-1), /^moved \d+ images? .*; interrupted$/);
    heldAgain.resume();

    const last = await runTool(migrate(place, 'manta', '-y'));
    t.equal(last.code, 0, last.stderr);
    await expectAllIn(t, place, 'manta', 'in the end');
});

void t.test('a server that is killed and comes back', async (t) => {
    const place = await start(t);
    const held = place.double.hold({ ...UPLOADS, skip: 8 });
    const tool = new AdminTool(migrate(place, 'manta', '-y', '-v'));
    await held.arrived(4);
    await place.server.kill();
    await tool.said('again in 1 s');
    held.drop();
    place.double.clearFaults();
    await place.again();
    const { code, stderr, stdout } = await tool.exited;
    t.equal(code, 0, stderr);
    t.equal(stdout.length, 31);
    await expectAllIn(t, place, 'manta', 'one run is enough');
});

void t.test('what cannot be moved does not keep the rest', async (t) => {
    const place = await start(t, { count: 12 });
    const { images, server, double } = place;
    const [bad, , gone] = images;
    const path = join(imageDirectory(server.baseDir, bad!.fixture.uuid), 'file0');
    writeFileSync(path, Buffer.alloc(bad!.files[0]!.length));
    const { code, stdout } = await runTool(migrate(place, 'manta', '-y', '-j'));
    t.equal(code, 1);
    const { images: lines, summary } = parseReport(stdout);
    t.match(summary, { failed: 1, images: 12, complete: true });
    t.match(lines.get(bad!.fixture.uuid), {
        result: 'failed',
        bytes: 0,
        error: { code: 'InternalError', message: /^error moving image file/ },
    });
    t.equal(lines.get(gone!.fixture.uuid)?.['result'], 'moved');

    writeFileSync(path, bad!.files[0]!);
    const named = await runTool(migrate(place, 'manta', '-y', UNKNOWN, bad!.fixture.uuid));
    t.equal(named.code, 1);
    t.equal(named.stdout[0], `${UNKNOWN}: failed: no such image`);
    t.match(named.stdout[1], new RegExp(`^${bad!.fixture.uuid} image-0@1\\.0\\.0: moved, \\d+ bytes$`));
    t.match(named.stdout[2], /^moved 1 image \(\d+ B\) to manta in \d+s, 1 failed$/);
    await expectAllIn(t, place, 'manta', 'in the end');

    const recover = double.inject({ refuse: 503 });
    const patient = new AdminTool(migrate(place, 'local', '-y', '-v'));
    await patient.said('(StorageIsDown); again in 1 s');
    recover();
    const { code: patientCode, stderr } = await patient.exited;
    t.equal(patientCode, 0, stderr);
    await expectAllIn(t, place, 'local', 'after an outage');
});

void t.test('channels, and who is let in', async (t) => {
    const channels = [
        { name: 'dev', description: 'd', default: true },
        { name: 'release', description: 'r' },
    ];
    const place = await start(t, { count: 14, config: { channels }, channels: ['dev', 'release'] });
    const { images, server } = place;
    const signed = migrate(place, 'manta', '-y', '-j');
    const url = ['migrate-stor', '--to', 'manta', '-y', '--url', server.url];
    const stranger = makeMantaKey(server.baseDir, 'rsa');
    for (const args of [url, [...url, '-u', 'operator', '-i', stranger.file]]) {
        const refused = await runTool(args);
        t.equal(refused.code, 252);
        t.match(refused.stderr, /error: Unauthorized \(UnauthorizedError\)/);
    }
    const unknown = await runTool([...signed, '-C', 'beta']);
    t.equal(unknown.code, 252);
    t.match(unknown.stderr, /the server has no channel "beta"; it has: dev, release/);

    const one = await runTool([...signed, '-C', 'release']);
    t.equal(one.code, 0, one.stderr);
    t.same(
        [...parseReport(one.stdout).images.keys()].sort(),
        images
            .filter((_, index) => index % 2 === 1)
            .map(({ fixture }) => fixture.uuid)
            .sort(),
        'images of the channel only',
    );
    const all = await runTool(['migrate-stor', '--to', 'manta', '-y', '-j'], {
        IMGAPI_CLI_URL: server.url,
        IMGAPI_CLI_AUTH: 'signature',
        IMGAPI_CLI_USER: 'operator',
        IMGAPI_CLI_IDENTITY: place.access.at(-1) ?? '',
    });
    t.equal(all.code, 0, all.stderr);
    t.equal(parseReport(all.stdout).images.size, 14, 'of every channel');
    await expectAllIn(t, place, 'manta', 'in Manta');
});

void t.test('servers that do not ask who one is', async (t) => {
    const { server } = await startDatacenter(t);
    const to = (stor: string, url: string): string[] => ['migrate-stor', '--to', stor, '-y', '--url', url];
    const elsewhere = await runTool(to('manta', server.url));
    t.equal(elsewhere.code, 252);
    t.match(elsewhere.stderr, /error: the server has no storage "manta"; it has: local/);
    const { code, stdout } = await runTool(to('local', server.url));
    t.equal(code, 0);
    t.equal(stdout.length, DC_IMAGES.length + 1);
    t.match(stdout.at(-1), /^moved 0 images \(0 B\) to local in 0s, \d already there/);

    const open = await ServerProcess.start({ config: { authType: 'none' } });
    t.teardown(() => expectCleanEnd(open));
    const closed = await runTool(to('local', open.url));
    t.equal(closed.code, 252);
    t.match(closed.stderr, /auth required to use "inclAdminFields" parameter.*only in mode "dc"/);
});
