// The client library of the field, and the way command line tools wait, on copies between real servers: they
// start a job, ask for it where the answer says, and then for the image (jobs-and-imports 2.5, 3.4, 3.5).
import t from 'tap';
import { ADMIN } from '../helpers/datacenter.js';
import type { Document } from '../helpers/http-client.js';
import { gzipFile, UNKNOWN, USERS, type Fixture } from '../helpers/images.js';
import { call, connect, expectFailure, outcome } from '../helpers/library-client.js';
import { eventually } from '../helpers/server-process.js';
import { startSites } from '../helpers/sites.js';

const { vader } = USERS;

function image(number: number, changes: Partial<Fixture> = {}): Fixture {
    return {
        uuid: `de000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
        name: `image-${number}`,
        owner: vader,
        activated: true,
        published_at: '2024-05-06T07:08:09.000Z',
        file: gzipFile(`file of image ${number}`),
        ...changes,
    };
}

const ORIGIN = image(1, { disabled: true });
const COPIED = image(2, { more: { origin: ORIGIN.uuid } });
const IMPORTED = image(3, { owner: ADMIN, public: true });
const WATCHED = image(4);
const UNWANTED = image(5, { owner: UNKNOWN });

const { east, west } = await startSites(t, {
    east: { images: [ORIGIN, COPIED, IMPORTED, WATCHED, UNWANTED] },
    west: {},
});
const client = connect(t, west.server, undefined);
const from = { datacenter: 'east' };

await t.test('methods that wait', async (t) => {
    // Each looks every five seconds, so they wait together.
    const [copied, imported, inVain] = await Promise.all([
        call(client, 'importImageFromDatacenterAndWait', COPIED.uuid, vader, from),
        call(client, 'adminImportRemoteImageAndWait', IMPORTED.uuid, east.url, { skipOwnerCheck: true }),
        outcome(client, 'adminImportRemoteImageAndWait', UNWANTED.uuid, east.url, {}),
    ]);
    t.match(copied, { uuid: COPIED.uuid, owner: vader, state: 'active', origin: ORIGIN.uuid });
    const origin = await call(client, 'getImage', ORIGIN.uuid);
    t.match(origin, { state: 'disabled', owner: vader });
    const taken = { statusCode: 409, code: 'ImageUuidAlreadyExists' };
    await expectFailure(t, taken, client, 'importImageFromDatacenter', COPIED.uuid, vader, from);

    t.match(imported, { uuid: IMPORTED.uuid, owner: ADMIN, state: 'active', public: true });

    t.match(inVain.error?.message, `owner "${UNKNOWN}" does not exist`);
    const gone = { statusCode: 404, code: 'ResourceNotFound' };
    await expectFailure(t, gone, client, 'getImage', UNWANTED.uuid);
});

await t.test('a tool that polls the job, then waits for the image', async (t) => {
    const job = await call(client, 'importImageFromDatacenter', WATCHED.uuid, vader, from);
    t.strictSame(Object.keys(job), ['image_uuid', 'job_uuid']);
    // Without credentials, and with a version that is not ours.
    const headers = { 'accept-version': '~0.1' };
    const path = `/jobs/${String(job['job_uuid'])}`;
    const ended = await eventually('the job', 20_000, async () => {
        const { document } = await west.client.get(path, { headers });
        return document['execution'] === 'succeeded' ? document : undefined;
    });
    const last = (ended['chain_results'] as readonly Document[]).at(-1);
    t.match(last, { result: `Image ${WATCHED.uuid} activated`, error: '' });
    t.equal((await call(client, 'getImage', WATCHED.uuid, vader))['state'], 'active');
});

await t.test('clones of a copy', async (t) => {
    await call(client, 'addImageAcl', COPIED.uuid, [USERS.luke], vader);
    const clone = await call(client, 'cloneImage', COPIED.uuid, USERS.luke);
    t.match(clone, { owner: USERS.luke, state: 'active' });
    t.not(clone['origin'], ORIGIN.uuid, 'the origin is cloned, too');
});
