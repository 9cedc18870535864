// What AdminImportRemoteImage refuses before it starts a job (jobs-and-imports 3.4).
import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import type { Answer } from '../helpers/http-client.js';
import { createImage, USERS } from '../helpers/images.js';
import { Importer, offerChain, someBytes, startSource } from '../helpers/import-place.js';
import {
    expectError,
    type ExpectedError,
    invalidParameter,
    notBoolean,
    OPERATOR_ONLY,
    uuidExists,
    validationFailed,
} from '../helpers/rows.js';
import { freePort, LIMIT_MS } from '../helpers/server-process.js';

t.setTimeout(LIMIT_MS);

const source = await startSource(t);
const importer = await new Importer(t).start();
const { client } = importer;

function expectRefusal(t: Test, answer: Answer, expected: ExpectedError): void {
    expectError(t, answer, expected, expected.message);
}

await t.test('refusals, in their order', async (t) => {
    const uuid = randomUUID();
    const url = (query: string): string => `/images/${uuid}?action=import-remote${query}`;
    const missing = validationFailed('missing source parameter', ['source', 'MissingParameter']);
    expectRefusal(t, await client.post(url('&account=x')), missing);
    expectRefusal(t, await client.post(url('&source=')), missing);
    const account = `&account=${USERS.luke}`;
    expectRefusal(t, await client.post(url(`&source=ftp://x${account}`)), OPERATOR_ONLY);
    const bad = invalidParameter('invalid "source": "ftp://x/"', ['source', 'Invalid']);
    expectRefusal(t, await client.post(url('&source=ftp://joe:secret@x/&skip_owner_check=x')), bad);
    const port = await freePort();
    const down = `&source=http://127.0.0.1:${port}`;
    expectRefusal(
        t,
        await client.post(url(`${down}&skip_owner_check=maybe`)),
        notBoolean('skip_owner_check', 'maybe'),
    );
    const here = await createImage(client);
    expectRefusal(t, await client.post(`/images/${here}?action=import-remote${down}`), uuidExists(here));
    expectRefusal(t, await client.post(url(down)), {
        status: 503,
        code: 'RemoteSourceError',
        message: `Unable to get manifest for image ${uuid}. Error from remote: connect ECONNREFUSED 127.0.0.1:${port}`,
    });
    expectRefusal(t, await importer.import(uuid, source.address), {
        status: 503,
        code: 'RemoteSourceError',
        message: `Unable to get manifest for image ${uuid}. Error from remote: image ${uuid} not found`,
    });
    source.add({ public: false, uuid, state: 'unactivated' }, [someBytes(10)]);
    expectRefusal(
        t,
        await importer.import(uuid, source.address),
        validationFailed(`Cannot import image ${uuid} - image is not active.`, ['state', 'Invalid']),
    );
    t.same((await client.get(`/jobs?image_uuid=${uuid}`)).list, [], 'no job');
});

await t.test('refusals for the origins', async (t) => {
    const notActive = (origin: string) => ({
        status: 422,
        code: 'OriginIsNotActive',
        message: `origin image "${origin}" is not active`,
    });
    const [base, image] = offerChain(source, [someBytes(10), someBytes(10)]);
    source.add({ ...base!.manifest, uuid: base!.uuid, state: 'unactivated' });
    expectRefusal(t, await importer.import(image!.uuid, source.address), notActive(base!.uuid));
    const here = await createImage(client);
    const onHere = randomUUID();
    source.add({ public: false, uuid: onHere, origin: here }, [someBytes(10)]);
    expectRefusal(t, await importer.import(onHere, source.address), notActive(here));
    source.images.delete(base!.uuid);
    expectRefusal(t, await importer.import(image!.uuid, source.address), {
        status: 503,
        code: 'RemoteSourceError',
        message: `Unable to get manifest for origin image ${base!.uuid}. Error from remote: image ${base!.uuid} not found`,
    });
    source.add({ public: false, uuid: base!.uuid, origin: image!.uuid }, [someBytes(10)]);
    const tooLong = {
        status: 500,
        code: 'InternalError',
        message: 'Origin chain too long, exceeds 100 images',
    };
    expectRefusal(t, await importer.import(image!.uuid, source.address), tooLong);
    const long = offerChain(
        source,
        Array.from({ length: 102 }, () => someBytes(1)),
    );
    expectRefusal(t, await importer.import(long[101]!.uuid, source.address), tooLong);
    const odd = randomUUID();
    source.add({ public: false, uuid: odd, origin: '../../jobs' }, [someBytes(10)]);
    expectRefusal(
        t,
        await importer.import(odd, source.address),
        validationFailed('invalid image data: origin', ['origin', 'Invalid']),
    );
});
