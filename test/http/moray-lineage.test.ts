// Where images come from and who shares with whom, asked of two processes on one Moray
// (jobs-and-imports 8.1 #2, 8.6-8.8): what one says the other says at once, with few calls of Moray.
import { randomUUID } from 'node:crypto';
import t from 'tap';
import { MorayDouble } from '../doubles/moray/moray-double.js';
import { VmapiDouble } from '../doubles/vmapi/vmapi-double.js';
import type { Answer, Document } from '../helpers/http-client.js';
import { USERS } from '../helpers/images.js';
import { ClonePlace } from '../helpers/moray-clones.js';
import { expectError } from '../helpers/rows.js';
import { LIMIT_MS } from '../helpers/server-process.js';

t.setTimeout(LIMIT_MS);
const { vader, luke, emperor } = USERS;
const moray = await MorayDouble.start();
t.teardown(() => moray.stop());
const vmapi = await new VmapiDouble().start();
t.teardown(() => vmapi.stop());
const place = await ClonePlace.make(t, moray);
const config = { vmapi: { url: vmapi.url } };
const { client: a } = await place.start(config);
const { client: b } = await place.start(config);
const both = [a, b] as const;

async function counted(request: Promise<Answer>): Promise<object> {
    moray.resetRpcCounts();
    const { status, text } = await request;
    if (status !== 200) throw new Error(text);
    return moray.rpcCounts;
}

await t.test('calls of Moray', async (t) => {
    const { base, uuids, top } = await place.plantChain(3);
    const rows: readonly (readonly [path: string, counts: object])[] = [
        [`/images/${top}/ancestors`, { getObject: 4, total: 4 }],
        [`/images/${top}/ancestors?depth=1`, { getObject: 2, total: 2 }],
        [`/images/${base}/dependents`, { getObject: 1, findObjects: 2, total: 3 }],
        [`/images/${base}/dependents?depth=3`, { getObject: 1, findObjects: 6, total: 7 }],
        [`/images/${base}/usage`, { getObject: 1, findObjects: 2, total: 3 }],
        [`/images/${base}/clones`, { getObject: 1, findObjects: 2, total: 3 }],
        [`/images/${top}?account=${luke}&inclShareInfo=true`, { getObject: 2, total: 2 }],
        [`/images/${top}?account=${vader}&inclShareInfo=true`, { getObject: 1, total: 1 }],
        [`/images/${top}?account=${luke}&inclProvenance=true`, { getObject: 1, total: 1 }],
        // The image, the one it is seen through, and the one between them.
        [`/images/${uuids[0] ?? ''}?account=${luke}&via=${top}`, { getObject: 3, total: 3 }],
        [`/images/${top}?account=${luke}&via=${top}`, { getObject: 1, total: 1 }],
    ];
    for (const [path, counts] of rows) t.strictSame(await counted(a.get(path)), counts, path);
    await place.remove(a, [...[...uuids].reverse(), base]);
});

await t.test('a clone made by one process, asked of the other', async (t) => {
    const { base, uuids, top } = await place.plantChain(2);
    const [first = ''] = uuids;
    const made = (await a.post(`/images/${top}/clone?account=${luke}`)).document;
    const clone = String(made['uuid']);
    const origin = String(made['origin']);
    const list = async (path: string): Promise<unknown[]> =>
        (await b.get(`/images/${path}`)).list.map(({ uuid }) => uuid);
    t.strictSame(await list(`${top}/clones`), [clone]);
    const unseen = await b.get(`/images/${first}/clones?account=${luke}&via=${top}`);
    t.equal(unseen.status, 404, 'via is for images and files');
    t.strictSame(await list(`${clone}/ancestors`), [origin, base]);
    t.strictSame(new Set(await list(`${base}/dependents`)), new Set([first, origin]));
    t.strictSame(
        new Set(await list(`${base}/dependents?account=${luke}&depth=2`)),
        new Set([origin, clone, top]),
    );
    const provenance = async (account: string): Promise<Document> =>
        (await b.get(`/images/${clone}?account=${account}&inclProvenance=true`)).document;
    t.match((await provenance(luke))['provenance'], {
        kind: 'clone',
        source_image: top,
        source_owner: vader,
    });
    const bySource = `/images?source_image=${top}&state=all`;
    t.strictSame((await b.get(bySource)).uuids, [clone]);
    t.strictSame((await b.get(`${bySource}&account=${vader}`)).uuids, [], 'not for the owner of the source');
    const usage = (await b.get(`/images/${base}/usage?account=${luke}`)).document;
    t.equal(usage['dependent_count'], 1);
    expectError(
        t,
        await b.delete(`/images/${origin}?account=${luke}`),
        {
            status: 422,
            code: 'ImageHasDependentImages',
            message: `image "${origin}" has 1 dependent incremental image(s): ${clone}`,
        },
        'an image others are made on',
    );
    await place.remove(b, [clone, origin]);
    t.strictSame((await a.get(`/images/${top}/clones`)).list, [], 'deleted by the other');
    t.match((await a.get(`/images/${clone}/ancestors`)).status, 404);
    await place.remove(a, [top, first, base]);
});

await t.test('via follows origins that other processes change', async (t) => {
    const { base, uuids, top } = await place.plantChain(2);
    const [hidden = ''] = uuids;
    const seen = async (): Promise<number[]> =>
        Promise.all(
            ['', '/file'].map(
                async (what) => (await b.get(`/images/${hidden}${what}?account=${luke}&via=${top}`)).status,
            ),
        );
    t.strictSame(await seen(), [200, 200]);
    await a.post(`/images/${top}/acl?action=remove`, [luke]);
    t.strictSame(await seen(), [404, 404], 'no longer shared');
    await a.post(`/images/${top}/acl`, [luke]);
    t.strictSame(await seen(), [200, 200], 'shared again');
    await place.remove(a, [top]);
    t.strictSame(await seen(), [404, 404], 'the image it is seen through is gone');
    await place.remove(a, [hidden, base]);
});

const sharing = (account: string): string => `/accounts/${account}/image-sharing`;
const put = (client: typeof a, account: string, trusted: readonly string[]): Promise<Answer> =>
    client.put(sharing(account), undefined, { json: { trusted_accounts: trusted } });

await t.test('whom an account trusts is known to both at once', async (t) => {
    const { base, top } = await place.plantChain(1);
    const document = `/images/${top}?account=${luke}&inclShareInfo=true`;
    for (let round = 0; round < 10; round += 1) {
        const [writer, reader] = round % 2 === 0 ? [a, b] : [b, a];
        const trusted: readonly string[] = round % 3 === 0 ? [vader] : round % 3 === 1 ? [emperor] : [];
        const answer = await put(writer, luke, trusted);
        t.strictSame([answer.status, answer.json], [200, { account: luke, trusted_accounts: trusted }]);
        const share = { shared: true, owner: vader, trusted: trusted.includes(vader) };
        const [list, image, images] = await Promise.all([
            reader.get(sharing(luke)),
            reader.get(document),
            reader.get(`/images?account=${luke}&inclShareInfo=true`),
        ]);
        t.strictSame(list.json, answer.json, `round ${round}`);
        t.strictSame(image.document['share'], share, `round ${round}`);
        t.strictSame(images.list.find(({ uuid }) => uuid === top)?.['share'], share, `round ${round}`);
    }
    t.strictSame(await counted(a.get(sharing(luke))), { getObject: 1, total: 1 });
    t.strictSame(await counted(put(a, luke, [vader])), { getObject: 1, putObject: 1, total: 2 });
    await place.remove(a, [top, base]);
});

await t.test('two lists at once: one of them, whole', async (t) => {
    const lists = [0, 1].map(() => Array.from({ length: 50 }, () => randomUUID()));
    for (let round = 0; round < 20; round += 1) {
        const account = randomUUID();
        // In some rounds one takes the list away again.
        const wanted = round % 4 === 3 ? [lists[0] ?? [], []] : lists;
        const answers = await Promise.all(
            both.map((client, index) => put(client, account, wanted[index] ?? [])),
        );
        t.strictSame(
            answers.map(({ document }) => document['trusted_accounts']),
            wanted,
        );
        const found = await Promise.all(both.map((client) => client.get(sharing(account))));
        const [one, same] = found.map(({ document }) => JSON.stringify(document['trusted_accounts']));
        t.equal(one, same, 'both say the same');
        t.ok(wanted.map((list) => JSON.stringify(list)).includes(one ?? ''), `round ${round}: no mixture`);
    }
});

await t.test('Moray fails: only 503', async (t) => {
    const { base, top } = await place.plantChain(1);
    const paths = [
        `/images/${top}/ancestors`,
        `/images/${base}/dependents?depth=2`,
        `/images/${base}/usage`,
        `/images/${top}/clones`,
        `/images/${top}?account=${luke}&inclShareInfo=true`,
        `/images/${base}?account=${luke}&via=${top}`,
        sharing(luke),
    ];
    const expected = { status: 503, code: 'ServiceUnavailableError', message: 'service unavailable' };
    for (const path of paths) {
        // At the first call, and at the last.
        for (const call of [1, ((await counted(a.get(path))) as { readonly total: number }).total]) {
            moray.atCall(call, () => moray.refuse('NoDatabasePeersError', 1));
            expectError(t, await a.get(path), expected, `${path}, call ${call}`);
        }
    }
    moray.atCall(2, () => moray.refuse('NoDatabasePeersError', 1));
    expectError(t, await put(a, luke, [emperor]), expected, 'a list that cannot be stored');
    t.strictSame((await b.get(sharing(luke))).document['trusted_accounts'], [vader], 'the old one stays');
    await place.remove(a, [top, base]);
});
