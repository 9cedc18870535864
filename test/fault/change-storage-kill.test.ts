// The server killed at each step of a move between local storage and Manta: the image is readable from
// the storage its record names, and the next start leaves nothing else (backends W5, W11).
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { PNG } from '../helpers/images.js';
import { noInjection } from '../helpers/injected-faults.js';
import {
    AT_ALL_POINTS,
    killAtEachCall,
    killAtLocalCalls,
    killInBody,
    type Cut,
    type LocalPoint,
} from '../helpers/killed-storages.js';
import { TwoStorages, WAYS, type Stor } from '../helpers/two-storages.js';

t.setTimeout(900_000);

const CONTENTS = { file0: randomBytes(400_000), icon: PNG };

/** @param refresh done before each move */
function moveOf(
    place: TwoStorages,
    from: Stor,
    to: Stor,
    refresh: () => Promise<void> = () => Promise.resolve(),
): Cut {
    return {
        prepare: async () => {
            await refresh();
            return place.image(from, CONTENTS);
        },
        run: (uuid) => place.move(uuid, to),
        outcomes: [CONTENTS],
    };
}

for (const snaplinks of AT_ALL_POINTS ? [true, false] : [true]) {
    await t.test(`at each call to a Manta ${snaplinks ? 'with' : 'without'} links`, async (test) => {
        const place = await TwoStorages.start(test, { snaplinks });
        for (const [from, to] of WAYS) {
            // Nothing is linked on the way back.
            if (!snaplinks && to === 'local') continue;
            // A server remembers that there are no links.
            const cut = moveOf(place, from, to, () => (snaplinks ? Promise.resolve() : place.restart()));
            await test.test(`from ${from} to ${to}`, async (inner) => {
                await killAtEachCall(inner, place, cut);
                await killInBody(inner, place, cut, to === 'manta' ? 'put' : 'get');
            });
        }
    });
}

const RECORD = /\/manifests\//;
const POINTS: Readonly<Record<Stor, readonly LocalPoint[]>> = {
    manta: [
        { call: 'open', about: /\/deletes\//, first: true, why: 'nothing is done' },
        { call: 'open', about: /\/uploads\//, first: true, why: 'everything is copied' },
        { call: 'open', about: /\/deletes\/.*O_CREAT/, why: 'the places are claimed' },
        { call: 'rename', about: RECORD, why: 'the copies are visible' },
        { call: 'unlink', about: /\/file0"/, first: true, why: 'the record names them' },
        { call: 'unlink', about: /\/icon"/, first: true, why: 'half of the old bytes are gone' },
        { call: 'unlink', about: /\/deletes\//, why: 'all of them are gone' },
        { call: 'unlink', about: /\/uploads\//, first: true, why: 'the plan is gone too' },
    ],
    local: [
        { call: 'open', about: /\/file0\./, first: true, why: 'nothing is done' },
        { call: 'rename', about: /\/file0\./, why: 'everything is copied' },
        { call: 'rename', about: /\/icon\./, why: 'one of the copies is visible' },
        { call: 'rename', about: RECORD, why: 'all of them are' },
        { call: 'unlink', about: /\/deletes\//, why: 'the old bytes are gone' },
        { call: 'unlink', about: /\/uploads\//, why: 'one claim is left' },
    ],
};

await t.test('at calls of the file system', { skip: noInjection() }, async (test) => {
    const place = await TwoStorages.start(test, { environment: { UV_THREADPOOL_SIZE: '1' } });
    for (const [from, to] of WAYS) {
        await test.test(`from ${from} to ${to}`, (inner) =>
            killAtLocalCalls(inner, place, moveOf(place, from, to), POINTS[to]),
        );
    }
});
