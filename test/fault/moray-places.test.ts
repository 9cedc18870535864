// Two processes on one Moray that put bytes under the same uuid, or take them away there, at once
// (backends W5, W12).
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { MorayDouble } from '../doubles/moray/moray-double.js';
import type { Answer } from '../helpers/http-client.js';
import { createImage, gzipFile, manifest, sha1Hex, uploadFile } from '../helpers/images.js';
import { ClonePlace, type Peer } from '../helpers/moray-clones.js';

t.setTimeout(300_000);
/** How long a process may take to get where it must not get, milliseconds. */
const PATIENCE_MS = 300;
const moray = await MorayDouble.start();
t.teardown(() => moray.stop());
const place = await ClonePlace.make(t, moray);
const a = await place.start();
const b = await place.start();

async function unactivated({ client }: Peer, text: string): Promise<string> {
    const uuid = await createImage(client);
    await uploadFile(client, uuid, gzipFile(text));
    return uuid;
}

function move({ client }: Peer, from: string, to: string): Promise<Answer> {
    return client.post(`/images/${from}?action=update`, { uuid: to });
}

/** Record and bytes of an image are those of this text, for both processes. */
async function expectFile(test: Test, uuid: string, text: string, why: string): Promise<void> {
    const bytes = gzipFile(text);
    for (const { client } of [a, b]) {
        const { document } = await client.get(`/images/${uuid}`);
        const file = await client.get(`/images/${uuid}/file`);
        test.match(document['files'], [{ sha1: sha1Hex(bytes) }], `${why}: the record`);
        test.equal(sha1Hex(file.body), sha1Hex(bytes), `${why}: the bytes`);
    }
}

async function expectNothingElse(test: Test, files: readonly string[]): Promise<void> {
    const found = (await place.inventory()) as { readonly files: readonly string[] };
    test.strictSame(
        { ...found, records: undefined },
        {
            records: undefined,
            files: files.map((uuid) => `${uuid.slice(0, 3)}/${uuid}/file0`).sort(),
            intents: [],
            deletes: [],
        },
    );
    test.strictSame(place.names('run/uploads'), []);
}

await t.test('an image gets another uuid', async (test) => {
    const uuid = await unactivated(a, 'moved');
    const to = randomUUID();
    moray.resetRpcCounts();
    test.equal((await move(a, uuid, to)).status, 200);
    test.strictSame(
        moray.rpcCounts,
        { getObject: 4, batch: 1, total: 5 },
        'both images, one write, and both once more before bytes go',
    );
    await expectFile(test, to, 'moved', 'moved');
    test.equal((await b.client.get(`/images/${uuid}`)).status, 404);
    await expectNothingElse(test, [to]);
    await place.remove(b.client, [to]);
});

await t.test('two images get one uuid at once', async (test) => {
    for (let round = 0; round < 5; round += 1) {
        const texts = ['first', 'second'];
        const first = await unactivated(a, 'first');
        const second = await unactivated(b, 'second');
        const to = randomUUID();
        const batches = moray.pauseMethod('batch');
        const moving = move(a, first, to);
        await batches.arrived();
        const movingToo = move(b, second, to);
        await Promise.race([batches.arrived(2), pause(PATIENCE_MS)]);
        batches.resume();
        const answers = await Promise.all([moving, movingToo]);
        test.strictSame(answers.map(({ status }) => status).sort(), [200, 409]);
        const won = answers[0]?.status === 200 ? 0 : 1;
        await expectFile(test, to, texts[won] ?? '', `round ${round}, won by ${won}`);
        const stays = won === 0 ? second : first;
        await expectFile(test, stays, texts[1 - won] ?? '', `round ${round}, the other one`);
        await expectNothingElse(test, [to, stays]);
        await place.remove(a.client, [to, stays]);
    }
});

await t.test('one image gets two uuids at once', async (test) => {
    for (let round = 0; round < 10; round += 1) {
        const uuid = await unactivated(a, 'moved');
        const targets = [randomUUID(), randomUUID()];
        const answers = await Promise.all([move(a, uuid, targets[0] ?? ''), move(b, uuid, targets[1] ?? '')]);
        test.strictSame(answers.map(({ status }) => status).sort(), [200, 404]);
        const to = String(answers.find(({ status }) => status === 200)?.document['uuid']);
        await expectFile(test, to, 'moved', `round ${round}`);
        await expectNothingElse(test, [to]);
        await place.remove(b.client, [to]);
    }
});

await t.test('an image that is imported again and filled while it is deleted', async (test) => {
    const uuid = await unactivated(a, 'old');
    let searches = moray.pauseMethod('nothing');
    // Behind the deletion of the record, before that of the bytes.
    const deleted = new Promise<void>((resolve) => {
        moray.atCall(4, () => {
            searches = moray.pauseMethod('findObjects');
            resolve();
        });
    });
    const deleting = a.client.delete(`/images/${uuid}`);
    await deleted;
    const again = await b.client.post(`/images/${uuid}?action=import`, manifest({ uuid }));
    test.equal(again.status, 200);
    const puts = moray.pauseMethod('putObject');
    const filling = b.client.put(`/images/${uuid}/file?compression=gzip`, gzipFile('new'));
    await Promise.race([puts.arrived(), pause(PATIENCE_MS)]);
    searches.resume();
    test.equal((await deleting).status, 204);
    puts.resume();
    test.equal((await filling).status, 200);
    await expectFile(test, uuid, 'new', 'its bytes are not taken for the old ones');
    await expectNothingElse(test, [uuid]);
    await place.remove(b.client, [uuid]);
});
