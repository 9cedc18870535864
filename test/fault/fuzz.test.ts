import * as fc from 'fast-check';
import t from 'tap';
import { MorayDouble } from '../doubles/moray/moray-double.js';
import { VmapiDouble } from '../doubles/vmapi/vmapi-double.js';
import { startDatacenter } from '../helpers/datacenter.js';
import { HttpClient } from '../helpers/http-client.js';
import { gzipFile, NOBODY, publishImage, USERS } from '../helpers/images.js';
import { eventually, ServerProcess } from '../helpers/server-process.js';
import { createKey } from '../helpers/signing.js';
import { datacenterSeeds, oddRequests } from './fuzz-datacenter.js';
import { fuzzedRequests, seeds } from './fuzz-requests.js';
import { fuzz, type FuzzedRequest } from './fuzz-run.js';

const REQUESTS = Number(process.env['FUZZ_REQUESTS'] ?? 6000);
const DATACENTER_REQUESTS = Number(process.env['FUZZ_REQUESTS'] ?? 3000);
const SEED = Number(process.env['FUZZ_SEED'] ?? 20240501);
const BUCKET_LIMIT_MS = 10_000;
const LIMIT_MS = 7_200_000;

t.setTimeout(LIMIT_MS);

const mutated = (requests: fc.Arbitrary<Buffer>): fc.Arbitrary<FuzzedRequest> =>
    requests.map((bytes) => ({ bytes, isComplete: false }));

await t.test(`${REQUESTS} fuzzed requests (seed ${SEED}) leave the server well`, async (t) => {
    t.setTimeout(LIMIT_MS);
    const key = createKey('fuzzer');
    const server = await ServerProcess.start({
        config: {
            mode: 'public',
            authType: 'signature',
            authKeys: { fuzzer: [key.publicLine] },
            logLevel: 'info',
        },
    });
    t.teardown(() => server.kill());
    const client = new HttpClient(server.port, key);
    const created = await client.post('/images', {
        owner: NOBODY,
        name: 'f',
        version: '1',
        type: 'other',
        os: 'other',
        public: true,
    });
    t.equal(created.status, 200);
    const uuid = String(created.document['uuid']);
    await client.put(`/images/${uuid}/file?compression=gzip`, gzipFile('x'));
    const requests = fc.sample(mutated(fuzzedRequests(seeds(uuid), key)), { numRuns: REQUESTS, seed: SEED });
    await fuzz(t, server, requests);
});

/** What a change that came too late, a read in vain or a second `urn` is answered with. */
const EXPECTED_REFUSALS = ['EtagConflictError', 'ObjectNotFoundError', 'UniqueAttributeError'];

await t.test(`${DATACENTER_REQUESTS} requests to a datacenter (seed ${SEED})`, async (t) => {
    const moray = await MorayDouble.start();
    t.teardown(() => moray.stop());
    const vmapi = await new VmapiDouble().start();
    t.teardown(() => vmapi.stop());
    const { server, client } = await startDatacenter(t, {
        images: [],
        config: { vmapi: { url: vmapi.url } },
        moray: {
            host: '127.0.0.1',
            port: moray.port,
            put: () => Promise.resolve(),
            read: () => Promise.resolve(undefined),
        },
    });
    t.setTimeout(LIMIT_MS);
    await eventually('the bucket', BUCKET_LIMIT_MS, async () => (await client.get('/images')).status === 200);
    const uuid = await publishImage(client, { acl: [USERS.luke] });
    // So that its bucket is there, too.
    const sharing = { json: { trusted_accounts: [USERS.vader] } };
    t.equal((await client.put(`/accounts/${USERS.luke}/image-sharing`, undefined, sharing)).status, 200);
    const before = moray.refusals.length;
    const requests = fc.sample(
        fc.oneof(
            { weight: 1, arbitrary: mutated(fuzzedRequests(seeds(uuid))) },
            { weight: 2, arbitrary: mutated(fuzzedRequests(datacenterSeeds(uuid))) },
            { weight: 3, arbitrary: oddRequests(uuid).map((bytes) => ({ bytes, isComplete: true })) },
        ),
        { numRuns: DATACENTER_REQUESTS, seed: SEED },
    );
    const counts = await fuzz(t, server, requests);
    t.comment(`answers: ${JSON.stringify(counts)}`);
    const refused = moray.refusals.slice(before).filter(({ name }) => !EXPECTED_REFUSALS.includes(name));
    t.same(refused.slice(0, 5), [], 'Moray was asked nothing that it cannot do');
});
