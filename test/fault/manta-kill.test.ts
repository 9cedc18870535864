// The server killed at each call to Manta, and at local steps between them, of an upload and of a deletion:
// record and bytes agree, the image is as before or as after, and the next start leaves nothing else
// (backends 8, 15, crash points, W5).
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { createImage, PNG } from '../helpers/images.js';
import { noInjection } from '../helpers/injected-faults.js';
import {
    AT_ALL_POINTS,
    killAtEachCall,
    killAtLocalCalls,
    killInBody,
    type Cut,
    type LocalPoint,
} from '../helpers/killed-storages.js';
import { TwoStorages } from '../helpers/two-storages.js';

t.setTimeout(900_000);

const OLD = { file0: randomBytes(300_000), icon: PNG };
const NEW = { file0: randomBytes(300_000), icon: Buffer.concat([PNG, Buffer.from('new')]) };

/** Everything that puts bytes into Manta or takes them away there. */
function cutsOf(place: TwoStorages): Readonly<Record<string, Cut>> {
    const filled = () => place.image('manta', OLD);
    return {
        'a first upload': {
            prepare: () => createImage(place.client),
            run: (uuid) => place.upload(uuid, 'file0', NEW.file0, 'manta'),
            outcomes: [{}, { file0: NEW.file0 }],
        },
        'a second upload': {
            prepare: filled,
            run: (uuid) => place.upload(uuid, 'file0', NEW.file0, 'manta'),
            outcomes: [OLD, { ...OLD, file0: NEW.file0 }],
        },
        'a second icon': {
            prepare: filled,
            run: (uuid) => place.upload(uuid, 'icon', NEW.icon, 'manta'),
            outcomes: [OLD, { ...OLD, icon: NEW.icon }],
        },
        'an upload over a local file': {
            prepare: () => place.image('local', OLD),
            run: (uuid) => place.upload(uuid, 'file0', NEW.file0, 'manta'),
            outcomes: [OLD, { ...OLD, file0: NEW.file0 }],
        },
        'a deletion': {
            prepare: filled,
            run: (uuid) => place.client.delete(`/images/${uuid}`),
            outcomes: [OLD, undefined],
        },
        'a deletion of the icon': {
            prepare: filled,
            run: (uuid) => place.client.delete(`/images/${uuid}/icon`),
            outcomes: [OLD, { file0: OLD.file0 }],
        },
    };
}

for (const snaplinks of [true, false]) {
    await t.test(`with links ${snaplinks ? 'allowed' : 'refused'}`, async (test) => {
        const place = await TwoStorages.start(test, { snaplinks });
        for (const [what, cut] of Object.entries(cutsOf(place))) {
            // Only uploads link, and where that is refused they all go one way.
            const isWanted = AT_ALL_POINTS ? what.includes('upload') : what === 'a second upload';
            if (!snaplinks && !isWanted) continue;
            // A server remembers that there are no links.
            const fresh: Cut = { ...cut, prepare: () => place.restart().then(() => cut.prepare()) };
            await test.test(what, async (inner) => {
                await killAtEachCall(inner, place, snaplinks ? cut : fresh);
                if (what.includes('upload')) await killInBody(inner, place, cut, 'put');
            });
        }
    });
}

const RECORD = /\/manifests\//;
const POINTS: Readonly<Record<string, readonly LocalPoint[]>> = {
    'a first upload': [
        { call: 'open', about: /\/deletes\//, first: true, why: 'nothing is done' },
        { call: 'rename', about: RECORD, why: 'the bytes are visible' },
        { call: 'unlink', about: /\/uploads\//, why: 'all but the intent is done' },
    ],
    'a second upload': [
        { call: 'rename', about: RECORD, first: true, why: 'the intent is noted' },
        { call: 'unlink', about: /\/deletes\//, first: true, why: 'the temporary object is gone' },
        { call: 'rename', about: RECORD, why: 'the bytes are visible' },
    ],
    'an upload over a local file': [
        { call: 'rename', about: RECORD, why: 'the bytes are visible' },
        { call: 'unlink', about: /\/file0"/, first: true, why: 'the record names them' },
    ],
    'a deletion': [
        { call: 'unlink', about: RECORD, why: 'the journal is a plan only' },
        { call: 'unlink', about: /\/deletes\//, why: 'only the journal is left' },
    ],
    'a deletion of the icon': [{ call: 'rename', about: RECORD, why: 'the journal is a plan only' }],
};

await t.test('at calls of the file system', { skip: noInjection() }, async (test) => {
    const place = await TwoStorages.start(test, { environment: { UV_THREADPOOL_SIZE: '1' } });
    for (const [what, cut] of Object.entries(cutsOf(place))) {
        const points = POINTS[what];
        if (points === undefined) continue;
        await test.test(what, (inner) => killAtLocalCalls(inner, place, cut, points));
    }
});
