// One transfer for each layer, however many wait for it (jobs-and-imports 5.3, 9.9).
import { randomBytes } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { digestPool } from '#lib/base/digests/digest-pool.js';
import type { HeldLayer } from '#lib/transfers/layers/layer.js';
import { Gate } from '../doubles/gate.js';
import { type BlobAnswer, type Fetching, LayerPlace, ScriptedBlob } from '../helpers/layer-place.js';
import { eventually } from '../helpers/server-process.js';

const MIB = 1_048_576;

t.teardown(() => digestPool.stop());

/** A layer that stops in the middle. */
function gated(answer: BlobAnswer = {}): { readonly blob: ScriptedBlob; readonly gate: Gate } {
    const gate = new Gate();
    const blob = new ScriptedBlob(randomBytes(2 * MIB), [{ ...answer, gate: { at: MIB, gate } }]);
    return { blob, gate };
}

async function failed({ held }: Fetching): Promise<unknown> {
    return await held.then(
        () => undefined,
        (error: unknown) => error,
    );
}

void t.test('all who ask get it, and hear the same', async (t) => {
    const place = new LayerPlace(t);
    const { blob, gate } = gated();
    const first = place.fetch(blob.wanted);
    const second = place.fetch({ ...blob.wanted, open: () => Promise.reject(new Error('not asked')) });
    await gate.arrived();
    const late = place.fetch(blob.wanted);
    t.equal(first.heard.length, 2);
    t.same(late.heard, first.heard.slice(-1), 'who comes late hears how far it is');
    gate.resume();
    const held = await Promise.all([first.held, second.held, late.held]);
    t.equal(blob.asked.length, 1);
    t.same(second.heard, first.heard);
    t.same(late.heard, first.heard.slice(1));
    t.equal(new Set(held.map(({ layer }) => layer.path)).size, 1);
});

void t.test('what one of them knows better holds for it alone', async (t) => {
    const place = new LayerPlace(t);
    const blob = new ScriptedBlob(randomBytes(1000));
    const other = { compression: 'xz', uncompressedDigest: `sha256:${'a'.repeat(64)}` } as const;
    const both = [place.fetch(blob.wanted), place.fetch({ ...blob.wanted, ...other })];
    const [one, two] = await Promise.all(both.map(({ held }) => held));
    t.match(one?.layer, { compression: 'none', uncompressedDigest: blob.wanted.uncompressedDigest });
    t.match(two?.layer, other);
    const cached = await place.fetch({ ...blob.wanted, ...other }).held;
    t.match(cached.layer, other);
});

void t.test('who goes does not take it from the others', async (t) => {
    const place = new LayerPlace(t);
    const { blob, gate } = gated();
    const [first, second] = [place.fetch(blob.wanted), place.fetch(blob.wanted)];
    await gate.arrived();
    const gone = new Error('first has gone');
    first.leave(gone);
    t.equal(await failed(first), gone);
    gate.resume();
    t.equal((await second.held).layer.size, 2 * MIB);
    t.equal(blob.asked.length, 1);
    t.equal(first.heard.length, 2, 'who has gone hears nothing more');
});

void t.test('when the last one goes, it ends at once', async (t) => {
    const place = new LayerPlace(t);
    const { blob, gate } = gated();
    const [first, second] = [place.fetch(blob.wanted), place.fetch(blob.wanted)];
    await gate.arrived();
    second.leave();
    await failed(second);
    t.equal(place.names().length, 1);
    const gone = new Error('first has gone');
    first.leave(gone);
    t.equal(await failed(first), gone);
    t.same(place.names(), [], 'nothing is left when it is told');
    t.equal(blob.open, 0);
    const next = place.fetch(blob.wanted);
    t.equal((await next.held).layer.size, 2 * MIB);
    t.equal(blob.asked.length, 2, 'who comes then begins anew');
    const late = place.fetch(blob.wanted);
    late.leave(gone);
    t.equal(await failed(late), gone, 'before anything has begun');
});

void t.test('of a failure hears who began; the next one tries by itself', async (t) => {
    const place = new LayerPlace(t);
    const { blob, gate } = gated({ cut: MIB + 1000 });
    blob.answers.push({ status: 401 });
    const first = place.fetch(blob.wanted);
    const better = new ScriptedBlob(blob.bytes, [], { uuid: blob.wanted.uuid });
    const others = [place.fetch(better.wanted), place.fetch(better.wanted)];
    await gate.arrived();
    gate.resume();
    t.match(await failed(first), { status: 401 });
    const held = await Promise.all(others.map((one) => one.held));
    t.same(
        held.map(({ layer }) => layer.size),
        [2 * MIB, 2 * MIB],
    );
    t.same(better.asked, [undefined], 'once for both');
});

void t.test("when who began has gone, the failure is nobody's", async (t) => {
    const place = new LayerPlace(t);
    const { blob, gate } = gated({ cut: MIB + 1000 });
    blob.answers.push({ status: 404 }, { status: 403 });
    const [first, second] = [place.fetch(blob.wanted), place.fetch(blob.wanted)];
    await gate.arrived();
    first.leave();
    gate.resume();
    t.match(await failed(second), { status: 403 }, 'it has tried by itself');
    t.equal(blob.asked.length, 3);
    t.same(place.names(), []);
});

void t.test('twenty at a time, whatever the number of pulls', async (t) => {
    const place = new LayerPlace(t);
    const gate = new Gate();
    const blobs = Array.from(
        { length: 25 },
        () => new ScriptedBlob(randomBytes(1000), [{ gate: { at: 0, gate } }]),
    );
    const all = blobs.map(({ wanted }) => place.fetch(wanted));
    const asked = (): number => blobs.reduce((sum, blob) => sum + blob.asked.length, 0);
    await gate.arrived(20);
    t.equal(asked(), 20);
    all[24]?.leave();
    await failed(all[24]!);
    gate.resume();
    await Promise.all(all.slice(0, 24).map(({ held }) => held));
    t.equal(asked(), 24);
});

void t.test('it stays while somebody needs it', async (t) => {
    const place = new LayerPlace(t);
    const blob = new ScriptedBlob(randomBytes(1000));
    const [first, second] = await Promise.all([place.fetch(blob.wanted).held, place.fetch(blob.wanted).held]);
    await first.discard();
    t.same(place.names(), place.pair(blob.wanted.uuid));
    await first.discard();
    first.release();
    t.same(place.names(), place.pair(blob.wanted.uuid), 'who has let it go cannot do so again');
    second.release();
    await eventually('it is gone, as it has found its place', 5000, () => place.names().length === 0);

    const again = await place.fetch(blob.wanted).held;
    again.release();
    const third = await place.fetch(blob.wanted).held;
    t.same(place.names(), place.pair(blob.wanted.uuid), 'released, it waits for a later pull');
    renameSync(third.layer.path, `${third.layer.path}.moved`);
    await third.discard();
    t.same(place.names(), [`${blob.wanted.uuid}.data.moved`], 'it may have been moved away');
    t.equal(blob.asked.length, 2);
});

void t.test('who comes while it is let go gets it whole', async (t) => {
    const place = new LayerPlace(t);
    const blob = new ScriptedBlob(randomBytes(1000));
    let held = await place.fetch(blob.wanted).held;
    for (let times = 1; times <= 20; times += 1) {
        const before = times % 2 === 0 ? held.discard() : undefined;
        const next = place.fetch(blob.wanted);
        await Promise.all([before ?? held.discard(), next.held]);
        held = await next.held;
        t.ok(existsSync(held.layer.path), `${times}`);
    }
});

void t.test('two processes on the same files', async (t) => {
    const place = new LayerPlace(t);
    const other = place.other();
    const { blob, gate } = gated();
    const twin = new ScriptedBlob(blob.bytes, [{ gate: { at: MIB, gate } }], { uuid: blob.wanted.uuid });
    const [here, there] = [place.fetch(blob.wanted), place.fetch(twin.wanted, other)];
    await gate.arrived(2);
    t.equal(place.names().length, 2, 'each has its own part');
    gate.resume();
    const [mine] = await Promise.all([here.held, there.held]);
    t.same(place.names(), place.pair(blob.wanted.uuid));
    await mine.discard();
    t.same(place.names(), []);
    const held = await place.fetch(twin.wanted, other).held;
    t.ok(existsSync(held.layer.path), 'what another process has removed is fetched again');
    t.equal(twin.asked.length, 2);
});

/** What may happen next to a layer that several want; between two moves there may be time for others. */
type Move =
    | { readonly kind: 'come' | 'leave' | 'discard' | 'release'; readonly who: number }
    | { readonly kind: 'pass' | 'turn' | 'settle' };

const WHO = fc.nat({ max: 3 });
const MOVES: fc.Arbitrary<readonly Move[]> = fc.array(
    fc.oneof(
        fc.record({ kind: fc.constantFrom('come', 'leave', 'discard', 'release'), who: WHO }),
        fc.record({ kind: fc.constantFrom('pass', 'turn', 'settle') }),
    ),
    { minLength: 1, maxLength: 40 },
);

/** Up to four callers that want the same layer, which is on its way until the gate opens. */
class Crowd {
    readonly blob: ScriptedBlob;
    readonly #place: LayerPlace;
    readonly #gate = new Gate();
    #isOpen: boolean;
    readonly #callers = new Map<number, Fetching>();
    readonly #held = new Map<number, HeldLayer>();
    readonly #discards: Promise<void>[] = [];

    constructor(place: LayerPlace, isBad: boolean, isOpen: boolean) {
        this.#place = place;
        this.#isOpen = isOpen;
        if (isOpen) this.#gate.resume();
        const answers = Array.from({ length: 40 }, (_, at) => ({
            gate: { at: 300_000, gate: this.#gate },
            ...(isBad && at % 3 === 0 ? { instead: randomBytes(1000) } : {}),
        }));
        this.blob = new ScriptedBlob(randomBytes(400_000), answers);
    }

    async move(move: Move): Promise<void> {
        switch (move.kind) {
            case 'pass':
                this.#gate.resume();
                this.#isOpen = true;
                break;
            case 'turn':
                await new Promise(setImmediate);
                break;
            case 'settle':
                // Before the gate is open nobody gets anything.
                await (this.#isOpen && Promise.all([...this.#callers.values()].map(failed)));
                break;
            case 'come':
                this.#come(move.who);
                break;
            case 'leave':
                this.#callers.get(move.who)?.leave();
                break;
            default:
                this.#letGo(move.who, move.kind);
        }
    }

    /** What is held and not there. */
    missing(): readonly string[] {
        return [...this.#held.values()].map(({ layer }) => layer.path).filter((path) => !existsSync(path));
    }

    async end(): Promise<void> {
        this.#gate.resume();
        await Promise.all([...this.#callers.values()].map(failed));
        [...this.#held.keys()].forEach((who) => this.#letGo(who, 'discard'));
        await Promise.all(this.#discards);
    }

    #come(who: number): void {
        if (this.#callers.has(who)) return;
        const fetching = this.#place.fetch(this.blob.wanted);
        this.#callers.set(who, fetching);
        fetching.held.then(
            (held) => this.#held.set(who, held),
            () => this.#callers.delete(who),
        );
    }

    #letGo(who: number, kind: 'discard' | 'release'): void {
        const held = this.#held.get(who);
        if (held === undefined) return;
        this.#held.delete(who);
        this.#callers.delete(who);
        if (kind === 'release') held.release();
        else this.#discards.push(held.discard());
    }
}

async function play(t: Test, crowd: Crowd, place: LayerPlace, moves: readonly Move[]): Promise<void> {
    for (const move of moves) {
        await crowd.move(move);
        t.same(crowd.missing(), [], 'what is held is there');
    }
    await crowd.end();
    const { wanted } = crowd.blob;
    await eventually('nothing is left but what may be needed', 5000, () => {
        const names = place.names();
        return names.length === 0 || names.join() === place.pair(wanted.uuid).join();
    });
    const last = await place.fetch(wanted).held;
    t.equal(last.layer.digest, wanted.digest);
    await last.discard();
    t.same(place.names(), []);
}

void t.test('any order of coming, going and letting go', async (t) => {
    const place = new LayerPlace(t);
    await fc.assert(
        fc.asyncProperty(MOVES, fc.boolean(), fc.boolean(), (moves, isBad, isOpen) =>
            play(t, new Crowd(place, isBad, isOpen), place, moves),
        ),
        { numRuns: Number(process.env['LAYER_RUNS'] ?? 60) },
    );
});
