// The jobs of a process that stops, or dies, are those of the reader that takes its place (jobs-and-imports 9.3,
// 9.4, 9.10; operations 1.4, 4.7).
import t from 'tap';
import { Gate } from '../doubles/gate.js';
import { HttpClient } from '../helpers/http-client.js';
import { Importer, offerChain, QUICK_JOBS, someBytes, startSource } from '../helpers/import-place.js';
import { eventually, LIMIT_MS, ServerProcess } from '../helpers/server-process.js';

const SIZE = 6_000_000;
const CUT = 5_000_000;

t.setTimeout(LIMIT_MS);

for (const [how, restarts] of [
    ['stops', 0],
    ['dies', 1],
] as const) {
    await t.test(`the process that runs a job ${how}`, async (t) => {
        const source = await startSource(t);
        const gate = new Gate();
        const [base, top] = offerChain(source, [
            someBytes(),
            { bytes: someBytes(SIZE), gate: { at: CUT, gate } },
        ]);
        const holder = await new Importer(t).start();
        const reader = await ServerProcess.start({
            baseDir: holder.baseDir,
            config: { authKeys: { operator: [holder.key.publicLine] }, jobs: QUICK_JOBS },
        });
        const client = new HttpClient(reader.port, holder.key);
        t.teardown(async () => {
            client.close();
            await reader.stop();
        });
        const uuid = await holder.begin(top!.uuid, source.address);
        await gate.arrived();
        await eventually('the part of the file', 10_000, async () => {
            const { progress } = await holder.job(uuid);
            return Number(progress['image_bytes_done']) >= CUT / 2;
        });
        t.match((await holder.client.get('/state?db=false')).document['jobs'], { running: 1, queued: 0 });
        t.equal((await holder.client.get('/ping?role=jobs')).status, 200);

        t.match((await client.get(`/jobs/${uuid}`)).document, { uuid, execution: 'running' });
        t.match((await client.get('/state?db=false')).document['jobs'], { running: 1 });
        t.equal((await client.get('/ping?role=jobs')).status, 503);
        const refused = await client.post(`/jobs/${uuid}/cancel`);
        t.match(
            [refused.status, refused.error.code, refused.header('retry-after')],
            [503, 'ServiceUnavailableError', '1'],
        );

        if (how === 'stops') {
            const begun = Date.now();
            await holder.server.stop();
            t.ok(Date.now() - begun < 15_000, `stopped within ${Date.now() - begun} ms`);
        } else {
            await holder.kill();
        }
        gate.resume();
        const job = await eventually('the end of the job', 30_000, async () => {
            const { document } = await client.get(`/jobs/${uuid}`);
            return document['execution'] !== 'running' && document['execution'] !== 'queued' && document;
        });
        t.match(job, { execution: 'succeeded', restarts, created_images: [base!.uuid, top!.uuid] });
        t.equal((await client.get('/ping?role=jobs')).status, 200);
        const sent = await client.get(`/images/${top!.uuid}/file`);
        t.ok(sent.body.equals(top!.files[0]!.bytes));
        const ranges = source.fileRequests(top!.uuid).map(({ range }) => range);
        t.equal(ranges.length, 2);
        t.match(ranges[1], /^bytes=[1-9]\d*-$/, 'from the byte it had');
        t.same(
            source.fileRequests(base!.uuid).length,
            1,
            'an origin that is here already is not fetched again',
        );
        t.match((await client.get('/health')).document, { checks: { jobs: { ok: true } } });
    });
}
