// An image sent to other datacenters by the one that has it, with real servers (jobs-and-imports 8.5).
import t from 'tap';
import type { Document } from '../helpers/http-client.js';
import { gzipFile, UNKNOWN, USERS, type Fixture } from '../helpers/images.js';
import { eventually } from '../helpers/server-process.js';
import { startSites, type Site } from '../helpers/sites.js';

const { vader, luke } = USERS;

function image(number: number, changes: Partial<Fixture> = {}): Fixture {
    return {
        uuid: `dd000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
        name: `image-${number}`,
        owner: vader,
        activated: true,
        published_at: '2024-05-06T07:08:09.000Z',
        file: gzipFile(`file of image ${number}`),
        ...changes,
    };
}

const PLAIN = image(1);
const STREAMED = image(2, { more: { origin: image(3).uuid } });
const DISABLED = image(4, { disabled: true });
const LAST = image(5);

const { east, west, south } = await startSites(t, {
    east: { images: [PLAIN, STREAMED, image(3), DISABLED, LAST] },
    west: {},
    south: {},
});

function path({ uuid }: { readonly uuid: string }, more: string, account: string = vader): string {
    return `/images/${uuid}?action=copy-to-datacenters&account=${account}${more}`;
}

function isActive(site: Site, { uuid }: Fixture): Promise<boolean> {
    return eventually(`image ${uuid} in ${site.name}`, 20_000, async () => {
        return (await site.client.get(`/images/${uuid}?account=${vader}`)).document['state'] === 'active';
    });
}

await t.test('what is refused', async (t) => {
    const refused = async (target: string): Promise<unknown[]> => {
        const { status, error } = await east.client.post(target);
        return [status, error.code, error.message, error.errors];
    };
    const uuid = PLAIN.uuid;
    t.strictSame((await refused(path({ uuid: UNKNOWN }, '&datacenters=all')))[0], 404);
    t.strictSame((await refused(path(PLAIN, '&datacenters=all', luke)))[0], 404, 'hidden');
    const noAccount = 'invalid image "account" (not a UUID): undefined';
    t.strictSame(await refused(`/images/${uuid}?action=copy-to-datacenters&datacenters=all`), [
        422,
        'ValidationFailed',
        noAccount,
        [{ field: 'account', code: 'Invalid' }],
    ]);
    t.strictSame(await refused(path(DISABLED, '&datacenters=all')), [
        422,
        'ValidationFailed',
        `Cannot import image ${DISABLED.uuid} - image is not active.`,
        [{ field: 'state', code: 'Invalid' }],
    ]);
    t.strictSame(await refused(path(PLAIN, '')), [
        422,
        'ValidationFailed',
        'missing datacenters parameter',
        [{ field: 'datacenters', code: 'MissingParameter' }],
    ]);
    const valid = 'valid datacenters names are: west, south';
    t.strictSame(
        (await refused(path(PLAIN, '&datacenters=west,north')))[2],
        `datacenter "north" is not supported, ${valid}`,
    );
    t.strictSame(
        (await refused(path(PLAIN, '&datacenters=east')))[2],
        `cannot import into the same datacenter, ${valid}`,
    );
    t.strictSame((await refused(path(PLAIN, '&datacenters=all&progress=x')))[2], 'invalid progress: "x"');
    t.strictSame((await refused(path(PLAIN, '&datacenters=all&sync=x')))[1], 'InvalidParameter');
    t.equal((await west.client.get(`/images/${uuid}`)).status, 404, 'nothing was sent anywhere');
});

await t.test('to all', async (t) => {
    const answer = await east.client.post(path(PLAIN, '&datacenters=all'));
    t.equal(answer.status, 200, answer.text);
    const { image_uuid: uuid, results } = answer.document as {
        image_uuid: string;
        results: readonly Document[];
    };
    t.equal(uuid, PLAIN.uuid);
    for (const [index, site] of [west, south].entries()) {
        const result = results[index] ?? {};
        t.strictSame(Object.keys(result), ['datacenter', 'result', 'job_uuid', 'workflow_api']);
        t.match(result, { datacenter: site.name, result: 'started', workflow_api: site.server.url });
        const job = await site.client.get(`/jobs/${String(result['job_uuid'])}`);
        t.match(job.document['params'], { account: vader, datacenter: 'east', image_uuid: uuid });
        t.ok(await isActive(site, PLAIN));
    }
    const again = await east.client.post(path(PLAIN, '&datacenters=west'));
    t.equal(again.status, 503);
    t.match(again.json, {
        code: 'RemoteSourceError',
        results: [
            {
                datacenter: 'west',
                result: 'failed',
                error: {
                    code: 'ImageUuidAlreadyExists',
                    message: `image uuid "${uuid}" already exists`,
                    statusCode: 409,
                },
            },
        ],
    });
    await east.client.post(`/images/${uuid}?action=update`, { description: 'new' });
    const synced = await east.client.post(path(PLAIN, '&datacenters=west&sync=true'));
    t.match(synced.document['results'], [
        { datacenter: 'west', result: 'updated', changed: ['description'] },
    ]);
});

await t.test('with progress', async (t) => {
    const reader = await east.stream(path(STREAMED, '&datacenters=south,west&progress=stream'));
    t.equal(reader.status, 200);
    t.equal(reader.header('content-type'), 'application/x-json-stream');
    const lines = await reader.rest();
    t.strictSame(new Set(lines.map((line) => line['datacenter'])), new Set(['south', 'west']));
    for (const site of [south, west]) {
        const ofSite = lines.filter((line) => line['datacenter'] === site.name);
        t.match(ofSite[0], { type: 'job', result: 'started', image_uuid: STREAMED.uuid, time: String });
        t.match(
            ofSite.filter(({ type }) => type === 'image').map((line) => line['image_uuid']),
            [image(3).uuid, STREAMED.uuid],
        );
        t.match(ofSite.at(-1), {
            type: 'done',
            execution: 'succeeded',
            result: 'started',
            image: { uuid: STREAMED.uuid, state: 'active' },
        });
    }
});

await t.test('a datacenter that is out of reach', async (t) => {
    await south.relay.stop();
    const answer = await east.client.post(path(LAST, '&datacenters=all&sync=true'));
    t.equal(answer.status, 200);
    t.match(answer.document['results'], [
        { datacenter: 'west', result: 'started' },
        { datacenter: 'south', result: 'failed', error: { code: 'RemoteSourceError', statusCode: 503 } },
    ]);
    t.ok(await isActive(west, LAST));

    const reader = await east.stream(path(LAST, '&datacenters=all&progress=stream'));
    const lines = await reader.rest();
    t.match(
        lines.filter((line) => line['datacenter'] === 'south'),
        [{ type: 'error', error: { code: 'RemoteSourceError' } }],
    );
    t.match(lines.filter((line) => line['datacenter'] === 'west').at(-1), {
        type: 'done',
        result: 'unchanged',
    });
    const none = await east.client.post(path(LAST, '&datacenters=south&progress=stream'));
    t.equal(none.status, 503);
    t.match(none.json, { code: 'RemoteSourceError', results: [{ datacenter: 'south', result: 'failed' }] });
});
