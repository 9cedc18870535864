// Moray goes away and comes back under load, in every way it can: nothing acknowledged is lost.
import { existsSync, readdirSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { MorayDouble } from '../doubles/moray/moray-double.js';
import { MorayProcess } from '../doubles/moray/moray-process.js';
import { UfdsDouble } from '../doubles/ufds/ufds-double.js';
import { datacenterConfig } from '../helpers/datacenter.js';
import { HttpClient } from '../helpers/http-client.js';
import { PostgresCluster, postgresMissing } from '../helpers/postgres.js';
import { eventually, freePort, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { OutageClient, Sightings } from './outage-client.js';
import { ANSWER_LIMIT_MS, underLoad } from './under-load.js';

t.setTimeout(1_200_000);
const TEST_LIMIT_MS = 600_000;
const SLOWEST_MS = 20_000;
const CLIENTS = 8;
/** Times that Moray is killed. */
const CYCLES = Number(process.env['OUTAGE_CYCLES'] ?? 2);
/** How long an outage lasts, and service before and after: a number of answers, not a time. */
const ANSWERS = 60;

const LONG_AGO = new Date(Date.now() - 24 * 3_600_000);

/** Clients at work. */
interface Load {
    /** Waits for more acknowledged writes. */
    acknowledged(): Promise<void>;
    /** Waits until more requests were answered with 503. */
    unavailable(): Promise<void>;
}

function filesBelow(directory: string): string[] {
    if (!existsSync(directory)) return [];
    return readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name));
}

/** Starts two servers on one base directory; ends those that still run, and must have ended cleanly. */
async function startServers(test: Test, port: number, baseDir: string): Promise<readonly ServerProcess[]> {
    const ufds = await UfdsDouble.start();
    const moray = {
        host: '127.0.0.1',
        port,
        put: () => Promise.resolve(),
        read: () => Promise.resolve(undefined),
    };
    const servers: ServerProcess[] = [];
    test.teardown(async () => {
        const ends = await Promise.all(servers.map((server) => server.stop()));
        await ufds.stop();
        rmSync(baseDir, { recursive: true, force: true });
        const codes = ends.map(({ code }) => code);
        if (codes.some((code) => code !== 0)) throw new Error(`the servers ended with ${codes.join(', ')}`);
    });
    for (let index = 0; index < 2; index += 1) {
        const metrics = { port: await freePort() };
        const config = { ...datacenterConfig(ufds.config, { moray }), metrics };
        servers.push(await ServerProcess.start({ baseDir, config }));
    }
    return servers;
}

/**
 * Runs clients against two servers on a Moray at this port while `disturb` plays with it; in the end
 * everything must be as acknowledged, on both servers and on the disk.
 */
async function onServers(test: Test, port: number, disturb: (load: Load) => Promise<void>): Promise<void> {
    test.setTimeout(TEST_LIMIT_MS);
    const baseDir = temporaryDirectory();
    const servers = await startServers(test, port, baseDir);
    const sightings = new Sightings();
    const clients = Array.from({ length: CLIENTS }, (_, index) => {
        const connections = servers.map((server) => new HttpClient(server.port));
        return new OutageClient(`client-${index}`, connections, sightings);
    });
    await underLoad<'acknowledged' | 'unavailable'>(clients, sightings, async (more) => {
        const load: Load = {
            acknowledged: () => more('acknowledged', ANSWERS),
            unavailable: () => more('unavailable', ANSWERS),
        };
        await load.acknowledged();
        await disturb(load);
        await load.acknowledged();
    });
    for (const client of clients) {
        await eventually('the last state', ANSWER_LIMIT_MS, () => client.resolve());
        test.ok(await client.resolve(), 'Moray can be reached');
    }
    test.same(sightings.problems, []);
    test.ok(sightings.slowest < SLOWEST_MS, `the slowest answer took ${Math.round(sightings.slowest)} ms`);
    test.ok(
        servers.every(({ alive }) => alive),
        'no server ended',
    );
    test.comment(
        `${sightings.acknowledged} acknowledged, ${sightings.unavailable} times unavailable, ` +
            `slowest ${Math.round(sightings.slowest)} ms`,
    );
    await expectFiles(test, servers, baseDir, clients);
}

/**
 * After a pass of the journal the disk has the files that records name, and no others. Whoever takes
 * the lock over makes one.
 */
async function expectFiles(
    test: Test,
    servers: readonly ServerProcess[],
    baseDir: string,
    clients: readonly OutageClient[],
): Promise<void> {
    const images = join(baseDir, 'images');
    const expected = clients
        .flatMap(({ uuid, files }) => files.map((name) => join(images, uuid.slice(0, 3), uuid, name)))
        .sort();
    const deletes = join(baseDir, 'run', 'deletes');
    // Entries whose files a record names are kept for some minutes, in case somebody is still at work.
    filesBelow(deletes).forEach((path) => utimesSync(path, LONG_AGO, LONG_AGO));
    await servers[0]?.stop();
    await servers[1]?.waitForLog(({ msg }) => msg.startsWith('lock taken over'));
    await eventually('the pass of the journal', ANSWER_LIMIT_MS, () => filesBelow(deletes).length === 0);
    test.strictSame(filesBelow(images).sort(), expected, 'files on disk');
}

/** A Moray in this process, for faults that only it can make. */
function onDouble(
    name: string,
    disturb: (double: MorayDouble, load: Load) => Promise<void>,
): Promise<unknown> {
    return t.test(name, async (test) => {
        const double = await MorayDouble.start();
        test.teardown(() => double.stop());
        await onServers(test, double.port, (load) => disturb(double, load));
    });
}

await onDouble('Moray stops and starts again', async (double, load) => {
    for (let cycle = 0; cycle < 3; cycle += 1) {
        await double.stop();
        await load.unavailable();
        await double.restart();
        await load.acknowledged();
    }
});

await onDouble('Moray loses its database', async (double, load) => {
    for (let cycle = 0; cycle < 3; cycle += 1) {
        double.loseDatabase();
        await load.unavailable();
        double.restoreDatabase();
        await load.acknowledged();
    }
});

await onDouble('connections break off before and after a change is made', async (double, load) => {
    for (let cycle = 0; cycle < 3; cycle += 1) {
        for (const method of ['putObject', 'delObject', 'getObject', 'findObjects']) {
            for (const when of ['before', 'after'] as const) double.breakOff(method, 2, when);
        }
        await load.acknowledged();
    }
});

await onDouble('Moray answers no more', async (double, load) => {
    double.hang(undefined, 1_000_000);
    await load.unavailable();
    double.clearFaults();
});

await t.test('Moray is killed, its database lives on', { skip: postgresMissing() }, async (test) => {
    const cluster = await PostgresCluster.start();
    test.teardown(() => cluster.stop());
    const postgres = await cluster.createDatabase();
    let moray = await MorayProcess.start({ postgres });
    const { port } = moray;
    test.teardown(() => moray.stop());
    await onServers(test, port, async (load) => {
        for (let cycle = 0; cycle < CYCLES; cycle += 1) {
            await moray.kill();
            await load.unavailable();
            moray = await MorayProcess.start({ postgres, port });
            await load.acknowledged();
        }
        await cluster.crash();
        await load.unavailable();
        await cluster.up();
        await load.acknowledged();
    });
});
