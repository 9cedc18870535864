// One of two processes that share a Moray is killed in the middle of writes, again and again, while
// the other goes on (backends 14, 15, 17).
import { rmSync } from 'node:fs';
import t from 'tap';
import { MorayDouble } from '../doubles/moray/moray-double.js';
import { UfdsDouble } from '../doubles/ufds/ufds-double.js';
import { datacenterConfig } from '../helpers/datacenter.js';
import { HttpClient } from '../helpers/http-client.js';
import { gzipFile, publishImage, sha1Hex } from '../helpers/images.js';
import { eventually, freePort, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { ClonesUnderCrashes } from './crash-clones.js';
import { ImageUnderCrashes } from './crash-model.js';
import { runKillCycles } from './kill-cycles.js';

const CYCLES = Number(process.env['KILL_CYCLES'] ?? 5);
const WRITERS = 8;
const FILE = gzipFile('the origin of some of the images');
const BUCKET_LIMIT_MS = 10_000;

t.setTimeout(7_200_000);
const baseDir = temporaryDirectory();
t.teardown(() => rmSync(baseDir, { recursive: true, force: true }));
const moray = await MorayDouble.start();
t.teardown(() => moray.stop());
const ufds = await UfdsDouble.start();
t.teardown(() => ufds.stop());

async function start(): Promise<ServerProcess> {
    const place = {
        host: '127.0.0.1',
        port: moray.port,
        put: () => Promise.resolve(),
        read: () => Promise.resolve(undefined),
    };
    const config = {
        ...datacenterConfig(ufds.config, { moray: place }),
        metrics: { port: await freePort() },
    };
    return ServerProcess.start({ baseDir, config });
}

/** Makes the image that some of the others have as their origin. */
async function publishBase(): Promise<string> {
    const server = await start();
    const client = new HttpClient(server.port);
    await eventually('the bucket', BUCKET_LIMIT_MS, async () => (await client.get('/images')).status === 200);
    const uuid = await publishImage(client, { type: 'other', os: 'other' }, FILE);
    await server.stop();
    return uuid;
}

void t.test(
    `two processes on one Moray lose nothing over ${CYCLES} kills of one of them`,
    { timeout: 7_200_000 },
    async (t) => {
        const base = { uuid: await publishBase(), file: sha1Hex(FILE) };
        const images = Array.from({ length: WRITERS }, () => {
            const clones = new ClonesUnderCrashes(base);
            ufds.users.set(clones.account, { uuid: clones.account, login: clones.account });
            return new ImageUnderCrashes({ isPublic: false, settlesAtStart: false, clones });
        });
        const report = await runKillCycles({
            baseDir,
            cycles: CYCLES,
            servers: 2,
            start,
            images,
            otherFiles: [[base.uuid, 'file0']],
            restEvery: 5,
            progress: (done) => {
                if (done % 50 === 0) t.comment(`${done} kills`);
            },
        });
        t.comment(
            `${report.acknowledged} acknowledged writes and ${report.cut} cut off over ${report.cycles} kills`,
        );
        t.same(report.problems, []);
        t.ok(report.acknowledged > CYCLES, 'writes were going on');
        t.ok(report.cut > 0, 'writes were cut off');
    },
);
