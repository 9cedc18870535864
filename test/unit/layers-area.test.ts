// What lies in the staging area of layers, and for how long (jobs-and-imports 9.9).
import { spawnSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { digestPool } from '#lib/base/digests/digest-pool.js';
import { systemClock } from '#lib/base/clock.js';
import { PartNames } from '#lib/transfers/layers/part-names.js';
import { parseFacts } from '#lib/transfers/layers/layer-facts.js';
import { Gate } from '../doubles/gate.js';
import { digestOf, LayerPlace, ScriptedBlob } from '../helpers/layer-place.js';
import { eventually } from '../helpers/server-process.js';

const HOUR = 3_600_000;
const MINUTE = 60_000;

t.teardown(() => digestPool.stop());

/** A layer that a pull has left. */
async function leave(place: LayerPlace, bytes = randomBytes(100)): Promise<ScriptedBlob> {
    const blob = new ScriptedBlob(bytes);
    (await place.fetch(blob.wanted).held).release();
    return blob;
}

void t.test('damaged pairs are fetched again', async (t) => {
    const place = new LayerPlace(t);
    const facts = (uuid: string): Record<string, unknown> => place.json(uuid) as Record<string, unknown>;
    const rewrite = (path: string, change: Record<string, unknown>, uuid: string): void =>
        writeFileSync(path, JSON.stringify({ ...facts(uuid), ...change }));
    const damages: Record<string, (data: string, json: string, uuid: string) => void> = {
        'no data': (data) => unlinkSync(data),
        'no json': (_, json) => unlinkSync(json),
        'too short': (data) => truncateSync(data, 99),
        'no JSON': (_, json) => writeFileSync(json, '{'),
        null: (_, json) => writeFileSync(json, 'null'),
        'far too long': (_, json) => writeFileSync(json, `${readFileSync(json, 'utf8')}${' '.repeat(5000)}`),
        'another digest': (_, json, uuid) => rewrite(json, { digest: digestOf(randomBytes(9)) }, uuid),
        'another uuid': (_, json, uuid) => rewrite(json, { uuid: randomUUID() }, uuid),
        'no compression': (_, json, uuid) => rewrite(json, { compression: 'zip' }, uuid),
    };
    for (const [name, damage] of Object.entries(damages)) {
        const blob = await leave(place);
        const { uuid } = blob.wanted;
        const [data, json] = place.pair(uuid).map((one) => join(place.directory, one));
        damage(data ?? '', json ?? '', uuid);
        const held = await place.fetch(blob.wanted).held;
        t.equal(blob.asked.length, 2, name);
        t.ok(readFileSync(held.layer.path).equals(blob.bytes));
        t.equal(facts(uuid)['digest'], blob.wanted.digest);
        await held.discard();
        t.same(place.names(), []);
    }
});

void t.test('facts with one value missing or wrong are none', async (t) => {
    const place = new LayerPlace(t);
    const { wanted } = await leave(place);
    const facts = place.json(wanted.uuid) as Record<string, unknown>;
    t.strictSame(parseFacts(JSON.stringify(facts)), facts);
    for (const key of Object.keys(facts)) {
        t.equal(parseFacts(JSON.stringify({ ...facts, [key]: undefined })), undefined, key);
        t.equal(parseFacts(JSON.stringify({ ...facts, [key]: {} })), undefined, key);
    }
});

void t.test('a hundred pairs stay besides those in use, those last used', async (t) => {
    const place = new LayerPlace(t);
    const blobs: ScriptedBlob[] = [];
    const held = [];
    for (let at = 0; at < 106; at += 1) {
        const blob = new ScriptedBlob(randomBytes(10));
        blobs.push(blob);
        held.push(await place.fetch(blob.wanted).held);
        place.age(place.pair(blob.wanted.uuid), 106 * MINUTE - at * MINUTE);
    }
    t.equal(place.names().length, 212, 'however many a pull holds');
    const [first, second, ...others] = held;
    others.forEach((one) => one.release());
    await eventually('the bound holds', 5000, () => place.names().length <= 204);
    t.equal(place.names().length, 204);
    const there = (blob: ScriptedBlob): boolean =>
        place.pair(blob.wanted.uuid).every((name) => place.names().includes(name));
    t.same(
        blobs.map(there).flatMap((isThere, at) => (isThere ? [] : [at])),
        [2, 3, 4, 5],
        'the oldest have gone, but for the two that are held',
    );
    const used = blobs[6]!;
    await place.fetch(used.wanted).held.then((one) => one.release());
    t.equal(used.asked.length, 1);
    first?.release();
    second?.release();
    await eventually('the bound holds', 5000, () => place.names().length <= 200);
    t.ok(there(used), 'it has been used meanwhile');
    t.same(
        [0, 1].map((at) => there(blobs[at]!)),
        [false, false],
    );
});

void t.test('a day after it was last used, a pair goes', async (t) => {
    const place = new LayerPlace(t);
    const [old, used, young, held] = [
        await leave(place),
        await leave(place),
        await leave(place),
        new ScriptedBlob(randomBytes(10)),
    ];
    const needed = await place.fetch(held.wanted).held;
    for (const blob of [old, used, held]) {
        place.age(place.pair(blob.wanted.uuid), 25 * HOUR);
    }
    place.age(place.pair(young.wanted.uuid), 23 * HOUR);
    (await place.fetch(used.wanted).held).release();
    await place.tidy();
    t.same(place.names(), [used, young, held].flatMap(({ wanted }) => place.pair(wanted.uuid)).sort());
    needed.release();
    await eventually('nobody needs it any more', 5000, () => place.names().length === 4);
});

void t.test('halves of pairs and what nobody knows', async (t) => {
    const place = new LayerPlace(t);
    const plant = (name: string, ageMs: number): string => {
        mkdirSync(place.directory, { recursive: true });
        writeFileSync(join(place.directory, name), 'x');
        place.age([name], ageMs);
        return name;
    };
    const kept = [
        plant(`${randomUUID()}.data`, MINUTE),
        plant(`${randomUUID()}.json`, MINUTE),
        plant(`${randomUUID()}.json.0011223344556677.tmp`, 23 * HOUR),
        plant(`${randomUUID()}.0011.part`, 23 * HOUR),
        plant('notes', 23 * HOUR),
    ];
    for (const [name, age] of [
        [`${randomUUID()}.data`, 11 * MINUTE],
        [`${randomUUID()}.json`, 11 * MINUTE],
        [`${randomUUID()}.json.0011223344556677.tmp`, 25 * HOUR],
        [`${randomUUID()}.0011.part`, 25 * HOUR],
        ['notes.old', 25 * HOUR],
    ] as const) {
        plant(name, age);
    }
    mkdirSync(join(place.directory, 'lost+found'));
    t.equal(await place.tidy(), 5);
    t.same(place.names(), [...kept, 'lost+found'].sort());
    await t.rejects(place.layers.tidy(AbortSignal.abort(new Error('stop'))), { message: 'stop' });
});

/** The random part of a name, as another process makes it. */
function nameOfAnother(): string {
    const script = `import { PartNames } from '${import.meta.resolve('#lib/transfers/layers/part-names.js')}';
        console.log(await new PartNames({ now: Date.now }).fresh());`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
        encoding: 'utf8',
    });
    return stdout.trim() || stderr;
}

void t.test('parts go at once when their process has gone', async (t) => {
    const place = new LayerPlace(t);
    const gone = nameOfAnother();
    t.match(gone, /^[0-9a-f]{52}$/);
    const mine = await new PartNames(systemClock).fresh();
    const swap = (name: string, at: number, digits: string): string =>
        name.slice(0, at) + digits + name.slice(at + digits.length);
    const names: Record<string, boolean> = {
        [gone]: true,
        [mine]: false,
        // Another start time: a process that had the number before.
        [swap(mine, 24, '0000000000000001')]: true,
        // Another boot.
        [swap(mine, 8, '00000000')]: true,
        // Another machine.
        [swap(gone, 0, '00000000')]: false,
        [swap(mine, 0, 'x')]: false,
    };
    mkdirSync(place.directory, { recursive: true });
    for (const name of Object.keys(names)) {
        writeFileSync(join(place.directory, `${randomUUID()}.${name}.part`), 'x');
    }
    t.equal(await place.tidy(), 3);
    const left = place.names().map((name) => name.split('.')[1] ?? '');
    t.same(
        left.sort(),
        Object.keys(names)
            .filter((name) => names[name] === false)
            .sort(),
    );
});

void t.test("what is on its way is nobody else's", async (t) => {
    const place = new LayerPlace(t);
    const gate = new Gate();
    const blob = new ScriptedBlob(randomBytes(700_000), [{ gate: { at: 600_000, gate } }]);
    const fetching = place.fetch(blob.wanted);
    await gate.arrived();
    const [part = ''] = place.names();
    t.match(part, new RegExp(`^${blob.wanted.uuid}\\.[0-9a-f]{52}\\.part$`));
    t.equal(statSync(join(place.directory, part)).mode & 0o777, 0o640);
    t.equal(await place.tidy(place.other()), 0);
    gate.resume();
    t.equal((await fetching.held).layer.size, 700_000);
});
