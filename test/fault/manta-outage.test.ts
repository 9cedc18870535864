// Manta goes away and comes back under load, in every way it can: local images do not notice, and nothing acknowledged is lost.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { MantaProcess } from '../doubles/manta/manta-process.js';
import { DOWN } from '../helpers/image-faults.js';
import { createImage, gzipFile, sha1Hex, UNKNOWN, uploadFile } from '../helpers/images.js';
import { startMantaProcess } from '../helpers/manta-place.js';
import { expectError } from '../helpers/rows.js';
import { eventually, temporaryDirectory } from '../helpers/server-process.js';
import { expectCleanEnd } from '../helpers/start-server.js';
import { connectTo, MantaLoad, startBoth } from './manta-load.js';
import { ANSWER_LIMIT_MS } from './under-load.js';

t.setTimeout(1_200_000);
const TEST_LIMIT_MS = 900_000;
/** How long an outage lasts, milliseconds. */
const OUTAGE_MS = Number(process.env['MANTA_OUTAGE_SECONDS'] ?? 2) * 1000;
/** Good answers that are waited for before, during and after an outage. */
const ANSWERS = 20;
/** Connections are cut after so many bytes of a body, and all of them every so many milliseconds. */
const CUT_AFTER = 1_000_000;
const CUT_EVERY_MS = 250;
/** Bodies that break off in an outage. */
const CUTS = 3;

const REFUSED = 'refused';
const SILENT = 'silent';

/** Whatever does not wait for Manta, which takes 15 s where it is silent, is done by then, milliseconds. */
const SOON_MS = 10_000;
const DRAIN_SECONDS = 2;
const FILE = gzipFile('a file that is kept somewhere');

type More = Parameters<Parameters<MantaLoad['run']>[0]>[0];

/** Leaves the intent of an upload to Manta that an outage has cut off. */
function leaveUpload(baseDir: string): void {
    const directory = join(baseDir, 'run', 'uploads');
    mkdirSync(directory, { recursive: true });
    const next = { sha1: sha1Hex(FILE), size: FILE.length, stor: 'manta', compression: 'gzip' };
    const place = { uuid: UNKNOWN, name: 'file0', stor: 'manta' };
    const intent = { ...place, temporaryName: `file0.${UNKNOWN}`, next };
    writeFileSync(join(directory, `${UNKNOWN}.0123456789abcdef.json`), JSON.stringify(intent));
}

/** A way to be away. */
interface Outage {
    readonly name: string;
    /** What its clients see as long as it lasts; absent: nothing, for they wait. */
    readonly sees?: 'unavailable' | 'cut';
    /** Goes away; what is returned comes back. The double may be another one then. */
    readonly begin: (double: MantaProcess) => Promise<() => Promise<MantaProcess | undefined>>;
}

function outagesOf(again: () => Promise<MantaProcess>): readonly Outage[] {
    return [
        {
            name: REFUSED,
            sees: 'unavailable',
            begin: async (double) => {
                await double.stopListening();
                return () => double.restart().then(() => undefined);
            },
        },
        {
            name: '503',
            sees: 'unavailable',
            begin: async (double) => {
                const end = await double.inject({ refuse: 503 });
                return () => end().then(() => undefined);
            },
        },
        {
            name: 'cut',
            sees: 'cut',
            begin: async (double) => {
                const end = await double.inject({ cutAfter: CUT_AFTER }, { kind: ['put', 'get'] });
                let isOver = false;
                const cutting = (async () => {
                    // A test that fails ends the double meanwhile.
                    while (!isOver) {
                        await double.cutConnections().catch(() => (isOver = true));
                        await pause(CUT_EVERY_MS);
                    }
                })();
                return async () => {
                    isOver = true;
                    await cutting;
                    await end();
                    return undefined;
                };
            },
        },
        {
            name: 'killed',
            sees: 'unavailable',
            begin: async (double) => {
                await double.kill();
                return again;
            },
        },
        {
            name: 'silent, then reset',
            begin: async (double) => {
                const end = await double.inject({ hang: true });
                return async () => {
                    await end();
                    await double.cutConnections();
                    return undefined;
                };
            },
        },
    ];
}

/** Waits until reads and writes of images in Manta succeed again, and tells how long that took. */
async function expectRecovery(test: Test, load: MantaLoad, more: More, name: string): Promise<void> {
    load.figures.begin(`after ${name}`);
    await more('local', ANSWERS);
    await more('manta', ANSWERS);
    for (const isWrite of [false, true]) {
        const what = `first ${isWrite ? 'write' : 'read'} after ${name}`;
        const took = await eventually(what, ANSWER_LIMIT_MS, () => load.figures.firstGood('manta', isWrite));
        test.comment(`${what}: ${took.toFixed(0)} ms`);
    }
}

await t.test('Manta goes away under load, and comes back', async (test) => {
    test.setTimeout(TEST_LIMIT_MS);
    const load = await MantaLoad.start(test, { clients: 8, maxSockets: 20 });
    await load.run(async (more) => {
        await more('local', ANSWERS);
        await more('manta', ANSWERS);
    });
    const before = await load.descriptors();
    await load.run(async (more) => {
        await more('local', ANSWERS);
        await more('manta', ANSWERS);
        for (const { name, sees, begin } of outagesOf(load.again)) {
            const end = await begin(load.double);
            load.figures.begin(name);
            await Promise.all([
                pause(OUTAGE_MS),
                more('local', 2 * ANSWERS),
                ...(sees === undefined ? [] : [more(sees, sees === 'cut' ? CUTS : ANSWERS)]),
                ...(name === REFUSED ? [load.expectDegraded(test)] : []),
            ]);
            load.double = (await end()) ?? load.double;
            await expectRecovery(test, load, more, name);
        }
    });
    load.expectAnswers(test);
    await load.expectDescriptors(test, before);
    await load.expectHealthy();
    await load.expectAcknowledged(test);
});

await t.test('Manta is silent, and never answers what it took; connections are few', async (test) => {
    test.setTimeout(TEST_LIMIT_MS);
    const load = await MantaLoad.start(test, { clients: 20, maxSockets: 4 });
    await load.run(async (more) => {
        await more('local', ANSWERS);
        await more('manta', ANSWERS);
        const end = await load.double.inject({ hang: true });
        load.figures.begin(SILENT);
        await Promise.all([pause(OUTAGE_MS), more('local', 2 * ANSWERS), load.expectDegraded(test)]);
        await end();
        await expectRecovery(test, load, more, SILENT);
    });
    load.expectAnswers(test);
    await load.expectAcknowledged(test);
});

await t.test('a server starts, serves and stops while Manta is away', async (test) => {
    const baseDir = temporaryDirectory();
    test.teardown(() => rmSync(baseDir, { recursive: true, force: true }));
    const { double, config } = await startMantaProcess(test);
    leaveUpload(baseDir);
    for (const isSilent of [false, true]) {
        const what = isSilent ? 'silent' : 'away';
        const end = isSilent ? await double.inject({ hang: true }) : () => double.restart();
        if (!isSilent) await double.stopListening();
        const began = performance.now();
        const server = await startBoth(config, baseDir, { shutdownTimeoutSec: DRAIN_SECONDS });
        test.teardown(() => server.kill());
        const took = performance.now() - began;
        test.ok(took < SOON_MS, `it starts while Manta is ${what}: ${took.toFixed(0)} ms`);
        const client = connectTo(server);
        const local = await createImage(client);
        await uploadFile(client, local, FILE, '&storage=local');
        test.ok((await client.get(`/images/${local}/file`)).body.equals(FILE), `local files: Manta ${what}`);
        const distant = await createImage(client);
        const upload = client.put(`/images/${distant}/file?compression=gzip&storage=manta`, FILE);
        if (isSilent) {
            await double.waitFor({ path: new RegExp(distant) });
            const asked = performance.now();
            const [exit, answer] = await Promise.all([server.stop(), upload.catch(() => undefined)]);
            const stopped = performance.now() - asked;
            test.same([exit.code, exit.signal], [0, null], 'it ends cleanly');
            test.ok(stopped < DRAIN_SECONDS * 1000 + SOON_MS, `it ends in time: ${stopped.toFixed(0)} ms`);
            test.not(answer?.status, 200, 'what waited for Manta is not acknowledged');
            await end();
            continue;
        }
        expectError(test, await upload, DOWN, 'an upload to Manta');
        await end();
        await eventually('an upload to Manta', ANSWER_LIMIT_MS, async () => {
            const again = await client.put(`/images/${distant}/file?compression=gzip&storage=manta`, FILE);
            return again.status === 200;
        });
        test.ok((await client.get(`/images/${distant}/file`)).body.equals(FILE), 'Manta is back');
        await expectCleanEnd(server);
    }
});
