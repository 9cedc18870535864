import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Hold, HoldPoint } from '../doubles/call-rules.js';
import type { CallKind, CallLimits } from '../doubles/manta/faults.js';
import { leftovers } from '../fault/disk-operations.js';
import type { Answer } from './http-client.js';
import { InjectedFault, type FaultyCall } from './injected-faults.js';
import { eventually } from './server-process.js';
import { imageCalls, type Contents, type TwoStorages } from './two-storages.js';

/** Something a client asks for, to be cut off by a kill. */
export interface Cut {
    /** Makes what is needed and gives the uuid of the image. */
    readonly prepare: () => Promise<string>;
    readonly run: (uuid: string) => Promise<Answer>;
    /** What the image may be afterwards; `undefined`: it does not exist. */
    readonly outcomes: readonly (Contents | undefined)[];
}

/** A call to Manta, as it is told in the name of a test. */
interface SeenCall {
    readonly kind: CallKind;
    readonly name: string;
}

/** Which calls to Manta a request makes, in order. */
async function callsOf(place: TwoStorages, { prepare, run }: Cut): Promise<readonly SeenCall[]> {
    const uuid = await prepare();
    place.double.clearRequests();
    const { status, text } = await run(uuid);
    if (status >= 300) throw new Error(`${status} ${text}`);
    const calls = place.double.requests(imageCalls({}, uuid)).map(({ kind, path }) => ({
        kind,
        name: (path.split('/').at(-1) ?? '')
            .replace(/\.[0-9a-f-]{36}$/, ' (temporary)')
            .replace(uuid, 'the directory'),
    }));
    await place.client.delete(`/images/${uuid}`);
    return calls;
}

/** Nothing is lost, whatever was cut off; the next start brings everything in order. */
async function expectWhole(test: Test, place: TwoStorages, uuid: string, cut: Cut): Promise<void> {
    test.same(place.damage(uuid), [], 'what the record names is where it says');
    await place.again();
    await place.settled([uuid], { afterPass: true });
    const exists = (await place.client.get(`/images/${uuid}`)).status === 200;
    const names = Object.keys(place.entries(uuid)).sort().join();
    for (const outcome of cut.outcomes) {
        const wanted = Object.keys(outcome ?? {})
            .sort()
            .join();
        if ((outcome !== undefined) === exists && wanted === names && place.has(uuid, outcome ?? {})) {
            await place.expectContents(test, uuid, outcome ?? {}, undefined);
            return;
        }
    }
    test.fail('the image is neither as before nor as after', { found: place.entries(uuid) });
}

/** The same request again, then the image goes: nothing that was left stands in the way. */
async function goOn(test: Test, place: TwoStorages, uuid: string, cut: Cut): Promise<void> {
    const { status } = await cut.run(uuid);
    test.ok([200, 204, 404].includes(status), `the same request again: ${status}`);
    test.same(place.damage(uuid), []);
    await place.client.delete(`/images/${uuid}`);
    // Only their age tells temporary files from those of an upload.
    for (const path of leftovers(place.baseDir).filter((one) => one.startsWith('images/'))) {
        rmSync(join(place.baseDir, path), { recursive: true });
    }
}

/** Kills the server when `arrived` resolves, and looks at what has become of the image. */
async function killWhen(
    test: Test,
    place: TwoStorages,
    cut: Cut,
    uuid: string,
    arrived: (running: Promise<Answer>) => Promise<Hold | undefined>,
): Promise<void> {
    const running = cut.run(uuid);
    running.catch(() => undefined);
    const hold = await arrived(running);
    await place.kill();
    // What was held is not done any more, or, if it was done, not answered.
    hold?.drop();
    place.double.clearFaults();
    place.double.cutConnections();
    await test.rejects(running, 'there is no answer');
    await expectWhole(test, place, uuid, cut);
    await goOn(test, place, uuid, cut);
}

/** Whether the server is to be killed at every point, not only at some: that takes long. */
export const AT_ALL_POINTS = process.env['KILL_POINTS'] === 'all';
/** Of so many points one is taken otherwise. */
const SPARSE = 5;

/** Kills the server when Manta holds a call: one test for each call of the request, or for some. */
export async function killAtEachCall(test: Test, place: TwoStorages, cut: Cut): Promise<void> {
    const calls = await callsOf(place, cut);
    const points = calls.flatMap((call, nth): readonly (readonly [HoldPoint, number, SeenCall])[] => [
        ...(nth === 0 ? [['before', nth, call] as const] : []),
        ['after', nth, call],
    ]);
    const last = points.length - 1;
    const wanted = points.filter((_, index) => AT_ALL_POINTS || (last - index) % SPARSE === 0);
    for (const [when, nth, { kind, name }] of wanted) {
        await test.test(`${when} call ${nth + 1}, ${kind} of ${name}`, async (inner) => {
            const uuid = await cut.prepare();
            place.double.clearRequests();
            const hold = place.double.hold({ ...imageCalls({}, uuid), skip: nth, times: 1 }, when);
            await killWhen(inner, place, cut, uuid, async (running) => {
                await Promise.race([hold.arrived(), running.then(() => inner.fail('it was not held'))]);
                return hold;
            });
        });
    }
}

/** Kills the server in the midst of bytes that go to or come from Manta. */
export async function killInBody(
    test: Test,
    place: TwoStorages,
    cut: Cut,
    kind: 'put' | 'get',
): Promise<void> {
    await test.test(`in the body of a ${kind}`, async (inner) => {
        const uuid = await cut.prepare();
        place.double.clearRequests();
        const match: CallLimits = { ...imageCalls({ kind }, `${uuid}/file0`), times: 1 };
        place.double.inject({ bytesPerSecond: 200_000 }, match);
        await killWhen(inner, place, cut, uuid, async () => {
            await eventually('some bytes', 10_000, () => {
                const [call] = place.double.requests(match);
                return call !== undefined && call.bytesIn + call.bytesOut > 0;
            });
            return undefined;
        });
    });
}

/** A call of the file system, before which the server dies. */
export interface LocalPoint {
    readonly call: FaultyCall;
    /** What the call is about; the last such call of the request is meant, unless `first` is set. */
    readonly about: RegExp;
    readonly first?: boolean;
    readonly why: string;
}

/** Kills the server before calls of the file system: one test for each. */
export async function killAtLocalCalls(
    test: Test,
    place: TwoStorages,
    cut: Cut,
    points: readonly LocalPoint[],
): Promise<void> {
    for (const { call, about, first = false, why } of points) {
        await test.test(`before ${call} of ${String(about)}: ${why}`, async (inner) => {
            const twin = await cut.prepare();
            const calls = await InjectedFault.watch(place.server.pid, call, () => cut.run(twin));
            const matching = calls.flatMap((line, index) => (about.test(line) ? [index + 1] : []));
            const nth = first ? matching[0] : matching.at(-1);
            if (nth === undefined) throw new Error(`no such call in ${calls.join('\n')}`);
            await place.client.delete(`/images/${twin}`);

            const uuid = await cut.prepare();
            const fault = await InjectedFault.into(place.server.pid, { call, with: 'kill', nth });
            await inner.rejects(cut.run(uuid), 'there is no answer');
            inner.equal(await place.killed(), 'SIGKILL');
            await fault.detach();
            inner.ok(
                fault.forget().some((line) => about.test(line)),
                'at the right step',
            );
            await expectWhole(inner, place, uuid, cut);
            await goOn(inner, place, uuid, cut);
        });
    }
}
