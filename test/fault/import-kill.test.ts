// The server killed with SIGKILL while its job imports a chain of images, and started again: the job goes on
// from the byte it had, ends, and leaves nothing behind but what it was to bring (jobs-and-imports 9.3, 9.4,
// 9.7, 9.8). KILL_CYCLES sets the number of kills at random moments, KILL_POINTS=all kills at every rename of
// an import, KILL_SEED repeats a run.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Gate } from '../doubles/gate.js';
import type { ServedFile } from '../doubles/image-server/served-image.js';
import {
    expectImage,
    Importer,
    offerChain,
    someBytes,
    startSource,
    type Job,
    type OfferedChain,
} from '../helpers/import-place.js';
import { InjectedFault, noInjection } from '../helpers/injected-faults.js';
import { eventually } from '../helpers/server-process.js';

const CYCLES = Number(process.env['KILL_CYCLES'] ?? 2);
const ALL_POINTS = process.env['KILL_POINTS'] === 'all';
const SEED = Number(process.env['KILL_SEED'] ?? Date.now());

t.setTimeout(120_000 + CYCLES * 20_000 + (ALL_POINTS ? 900_000 : 0));

/** Longest time an import of {@link offer} takes on an idle machine, about, milliseconds. */
const IMPORT_MS = 1500;
/** Calls that an import of two images makes, about. */
const CALLS = { rename: 36, unlink: 8 } as const;

/** Numbers in [0, 1) that a seed repeats (mulberry32). */
function randomOf(seed: number): () => number {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
}

/** Two images whose bytes take a while. */
function offer(
    source: Awaited<ReturnType<typeof startSource>>,
    throttle: number | undefined,
): OfferedChain['images'] {
    const file = (): ServedFile => ({
        bytes: someBytes(1_500_000),
        ...(throttle === undefined ? {} : { throttle }),
    });
    return offerChain(source, [file(), file()]);
}

/** Fails the test unless a job that is over has brought its images, or has left nothing of them. */
async function expectTidy(
    t: Test,
    importer: Importer,
    job: Job,
    images: OfferedChain['images'],
): Promise<void> {
    if (job.execution === 'succeeded') {
        for (const image of images) await expectImage(t, importer, image);
    } else {
        t.equal(job.execution, 'failed');
        t.not(job.onerror_results.length, 0, 'cleaned up');
        for (const { uuid } of images) {
            t.equal((await importer.client.get(`/images/${uuid}`)).status, 404, 'no stray record');
        }
    }
    await eventually('nothing left behind', 15_000, () => importer.leftovers().length === 0).catch(() =>
        t.same(importer.leftovers(), []),
    );
    const { records, files } = await importer.images();
    t.same(records, files, 'a record for every file, a file for every record');
}

/** Kills the server in the middle of an import, and starts it again. */
async function cycle(
    t: Test,
    importer: Importer,
    source: Awaited<ReturnType<typeof startSource>>,
    kill: (begin: () => Promise<string>) => Promise<void>,
    throttle?: number,
): Promise<Job | undefined> {
    const images = offer(source, throttle);
    const top = images[1]!;
    let accepted: string | undefined;
    await kill(async () => {
        accepted = await importer.begin(top.uuid, source.address);
        return accepted;
    });
    await importer.start({ environment: { UV_THREADPOOL_SIZE: '1' } });
    // A job that was never answered may have been accepted all the same.
    const [known] = (await importer.client.get(`/jobs?image_uuid=${top.uuid}`)).list;
    const uuid = accepted ?? known?.['uuid'];
    if (typeof uuid !== 'string') {
        t.same(importer.leftovers(), []);
        return undefined;
    }
    const job = await importer.ended(uuid);
    await expectTidy(t, importer, job, images);
    return job;
}

await t.test(`killed at ${CYCLES} random moments (seed ${SEED})`, async (t) => {
    const random = randomOf(SEED);
    const source = await startSource(t);
    const importer = await new Importer(t).start();
    let restarted = 0;
    for (let round = 0; round < CYCLES; round += 1) {
        const job = await cycle(
            t,
            importer,
            source,
            async (begin) => {
                await begin();
                await new Promise((resolve) => setTimeout(resolve, random() * IMPORT_MS));
                await importer.kill();
            },
            3_000_000,
        );
        restarted += job?.restarts ?? 0;
        t.not(job, undefined, 'what was accepted is not forgotten');
    }
    t.comment(`${restarted} of ${CYCLES} jobs were interrupted`);
});

const points = ALL_POINTS
    ? (['rename', 'unlink'] as const).flatMap((call) =>
          Array.from({ length: CALLS[call] }, (_none, index) => ({ call, nth: index + 1 })),
      )
    : ([
          { call: 'rename', nth: 13 },
          { call: 'rename', nth: 27 },
      ] as const);

await t.test('killed at exact steps', { skip: noInjection() }, async (t) => {
    const source = await startSource(t);
    const importer = new Importer(t);
    await importer.start({ environment: { UV_THREADPOOL_SIZE: '1' } });
    for (const { call, nth } of points) {
        const job = await cycle(t, importer, source, async (begin) => {
            const fault = await InjectedFault.into(importer.server.pid, {
                call: 'rename',
                with: 'kill',
                nth,
            });
            const job = await begin().catch(() => undefined);
            const isOver = async (): Promise<boolean> => {
                if (!importer.server.alive) return true;
                const over = job !== undefined && (await importer.job(job).catch(() => undefined));
                return over !== undefined && over !== false && over.execution === 'succeeded';
            };
            await eventually('its end', 20_000, isOver);
            t.comment(`${call} ${nth}: ${importer.server.alive ? 'the import was over before' : 'killed'}`);
            await importer.kill();
            await fault.end();
        });
        t.not(job?.execution, 'failed', `${call} ${nth}: goes on`);
    }
});

await t.test('the copy goes on from the byte it had', async (t) => {
    const source = await startSource(t);
    const importer = await new Importer(t).start();
    const bytes = someBytes(6_000_000);
    const gate = new Gate();
    const [image] = offerChain(source, [{ bytes, gate: { at: 5_000_000, gate } }]);
    const job = await importer.begin(image!.uuid, source.address);
    const part = join(importer.baseDir, 'staging', job, `${image!.uuid}.file0.part`);
    await gate.arrived();
    await eventually('bytes on disk', 5000, () => statSync(part).size >= 2_000_000);
    await importer.kill();
    const kept = statSync(part).size;
    gate.resume();
    await importer.start();
    const ended = await importer.ended(job);
    t.match(ended, { execution: 'succeeded', restarts: 1, progress: { resumed_from: kept, attempt: 1 } });
    t.same(source.fileRequests(image!.uuid), [
        { range: undefined, ifRange: undefined },
        {
            range: `bytes=${kept}-`,
            ifRange: `"${String((image!.manifest['files'] as { sha1: string }[])[0]?.sha1)}"`,
        },
    ]);
    await expectTidy(t, importer, ended, [image!]);
});

await t.test('a server that stops in good order goes on, too, and its restarts do not count', async (t) => {
    const source = await startSource(t);
    const importer = await new Importer(t).start();
    const gates = [new Gate(), new Gate()];
    const files = gates.map((gate) => ({ bytes: someBytes(6_000_000), gate: { at: 5_000_000, gate } }));
    const images = offerChain(source, files);
    const job = await importer.begin(images[1]!.uuid, source.address);
    for (const gate of gates) {
        await gate.arrived();
        t.equal((await importer.server.stop()).code, 0);
        gate.resume();
        await importer.start();
    }
    const ended = await importer.ended(job);
    t.match(ended, { execution: 'succeeded', restarts: 0 });
    await expectTidy(t, importer, ended, images);
});

await t.test('a server that dies again and again gives up, and cleans up', async (t) => {
    const source = await startSource(t);
    const importer = await new Importer(t, { jobs: { maxRestarts: 1 } }).start();
    const gate = new Gate();
    const images = offerChain(source, [someBytes(), { bytes: someBytes(), gate: { at: 1000, gate } }]);
    const job = await importer.begin(images[1]!.uuid, source.address);
    for (let arrived = 1; arrived <= 2; arrived += 1) {
        await eventually('a request for the file', 10_000, () => gate.waiting === arrived);
        await importer.kill();
        await importer.start();
    }
    const ended = await importer.ended(job);
    t.match(ended.chain_results.at(-1), {
        error: { code: 'JobInterrupted', message: 'job was interrupted by a server restart' },
    });
    await expectTidy(t, importer, ended, images);
    gate.resume();
});
