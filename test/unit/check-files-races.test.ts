// A check of files beside a running server: what changes meanwhile, and storages that fail (operations 2.3).
import { Readable } from 'node:stream';
import t from 'tap';
import { serviceUnavailable } from '#lib/base/errors.js';
import type { CheckOrder } from '#lib/cli/imgapiadm/checking/check-order.js';
import { CheckRun } from '#lib/cli/imgapiadm/checking/check-run.js';
import type { CheckSource } from '#lib/cli/imgapiadm/checking/check-source.js';
import type { CheckedFile, CheckedImage } from '#lib/cli/imgapiadm/checking/checked-image.js';
import { Family } from '#lib/cli/imgapiadm/checking/family.js';
import { RateLimit } from '#lib/cli/imgapiadm/checking/rate-limit.js';
import { Interrupt } from '#lib/cli/imgapiadm/interrupt.js';
import { Terminal } from '#lib/cli/imgapiadm/terminal.js';
import { newUuid } from '#lib/base/uuid.js';
import type { FileSource } from '#lib/maintenance/verify-file.js';
import { parseReport } from '../helpers/admin-tool.js';
import type { Document } from '../helpers/http-client.js';
import { sha1Hex } from '../helpers/images.js';

const ORDER: CheckOrder = {
    uuids: [],
    state: 'all',
    dockerOnly: false,
    icons: false,
    thoroughness: 'normal',
    force: false,
    usesCache: false,
    parallel: 4,
    json: true,
    quiet: true,
};

function file(bytes: string, stor = 'local'): CheckedFile {
    return { name: 'file0', stor, expected: { size: bytes.length, sha1: sha1Hex(bytes) } };
}

function image(...files: readonly CheckedFile[]): CheckedImage {
    return { uuid: newUuid(), name: 'image', version: '1', state: 'active', channels: [], files };
}

/** Gives the same bytes for every file. */
function storageWith(bytes: string, onOpen: () => void = () => undefined): FileSource {
    return {
        stat: () => Promise.resolve({ size: bytes.length }),
        open: () => {
            onOpen();
            const stream = Readable.from([Buffer.from(bytes)], { objectMode: false });
            return Promise.resolve({ size: bytes.length, stream });
        },
    };
}

interface Outcome {
    readonly code: number;
    readonly images: ReadonlyMap<string, Document>;
    readonly summary: Document;
    readonly stderr: string;
}

/** Runs a check of images as a source has them. */
async function run(
    images: readonly CheckedImage[],
    storages: Readonly<Record<string, FileSource>>,
    changes: { readonly source?: Partial<CheckSource>; readonly order?: Partial<CheckOrder> } = {},
): Promise<Outcome> {
    const texts = { stdout: '', stderr: '' };
    const screen = (name: keyof typeof texts) => ({ write: (text: string) => ((texts[name] += text), true) });
    const terminal = new Terminal({
        stdin: process.stdin,
        stdout: screen('stdout'),
        stderr: screen('stderr') as unknown as NodeJS.WriteStream,
        name: 'check',
        verbose: false,
    });
    const source: CheckSource = {
        adminTool: 'imgapi-cli',
        runDirectory: '/nowhere',
        unreadable: 0,
        all: async function* () {
            yield* images;
            await Promise.resolve();
        },
        current: (uuid) => Promise.resolve(images.find((one) => one.uuid === uuid)),
        storage: (stor) => storages[stor],
        pathOf: (uuid, { name }) => `/${uuid}/${name}`,
        explain: (error) => error,
        cures: () => Promise.resolve({ misplaced: new Map(), repairable: false, commands: [] }),
        close: () => Promise.resolve(),
        ...changes.source,
    };
    const interrupt = new Interrupt();
    const retries = { signal: interrupt.signal, onRetry: () => undefined };
    const order = { ...ORDER, ...changes.order };
    const code = await new CheckRun({
        order,
        source,
        terminal,
        environment: {},
        interrupt,
        retries,
    }).execute();
    const { stderr } = texts;
    return { code, stderr, ...parseReport(texts.stdout.trimEnd().split('\n')) };
}

void t.test('an image that goes or changes meanwhile is judged as it is then', async (t) => {
    const old = image(file('old bytes'));
    const local = storageWith('new bytes');
    t.match(await run([old], { local }), { code: 1, summary: { bad: 1 } }, 'it stays as it was');
    const judged = (now: CheckedImage | undefined): Promise<Outcome> =>
        run([old], { local }, { source: { current: () => Promise.resolve(now) } });
    t.match(await judged(undefined), { code: 0, summary: { bad: 0, good: 1, goneFiles: 1 } }, 'deleted');
    t.match(await judged({ ...old, files: [] }), { code: 0, summary: { goneFiles: 1 } }, 'an upload');
    t.match(await judged({ ...old, files: [file('new bytes')] }), {
        code: 0,
        summary: { good: 1, goneFiles: 0 },
    });
    const worse = await judged({ ...old, files: [file('newer bytes')] });
    t.match(worse, { code: 1, summary: { bad: 1 } }, 'bad by its new record, too');
    t.match(worse.images.get(old.uuid)?.['files'], [{ reason: /^invalid size \(actual 9 != manifest 11\)/ }]);
});

void t.test('a file that is moved to another storage meanwhile', async (t) => {
    const moved = image(file('bytes'));
    const empty: FileSource = {
        stat: () => Promise.resolve(undefined),
        open: () => Promise.resolve(undefined),
    };
    const manta = storageWith('bytes');
    const now = { ...moved, files: [file('bytes', 'manta')] };
    const source = { current: () => Promise.resolve(now) };
    t.match(await run([moved], { local: empty, manta }, { source }), { code: 0, summary: { good: 1 } });
});

void t.test('a record that changes again and again, and one that cannot be read', async (t) => {
    const one = image(file('bytes'));
    let count = 0;
    const changing = {
        current: () => Promise.resolve({ ...one, files: [file('x'.repeat((count += 1)), 'local')] }),
    };
    const local = storageWith('other bytes');
    const endless = await run([one], { local }, { source: changing });
    t.match(endless, { code: 252, summary: { failed: 1, bad: 0 } });
    t.match(endless.stderr, /not checked: it changes again and again/);
    const current = (): Promise<never> => Promise.reject(serviceUnavailable('service unavailable', 5));
    const unknown = await run([one], { local }, { source: { current } });
    t.match(unknown, { code: 252, summary: { failed: 1, bad: 0 } });
    t.match(unknown.stderr, /not checked: service unavailable/);
});

void t.test('a storage that does not answer is given up, the others are not', async (t) => {
    const images = Array.from({ length: 50 }, () => image(file('bytes', 'manta')));
    let asked = 0;
    const manta: FileSource = {
        stat: () => {
            asked += 1;
            return Promise.reject(new Error('out of reach'));
        },
        open: () => Promise.resolve(undefined),
    };
    const local = storageWith('bytes');
    const outcome = await run([...images, image(file('bytes'))], { manta, local });
    t.match(outcome, { code: 252, summary: { failed: 50, good: 1 } });
    t.ok(asked >= 8 && asked < 16, `${asked} calls`);
    t.match(outcome.stderr, /files in manta: not checked: storage "manta": given up: out of reach/);
    const bad = await run([...images, image(file('other'))], { manta, local });
    t.match(bad, { code: 1, summary: { failed: 50, bad: 1 } }, 'the bad ones are counted');
});

void t.test('so many files of each storage at the same time', async (t) => {
    const running = { local: 0, manta: 0 };
    const most = { local: 0, manta: 0, both: 0 };
    const slow = (stor: keyof typeof running): FileSource => ({
        stat: () => Promise.resolve({ size: 5 }),
        open: async () => {
            running[stor] += 1;
            most[stor] = Math.max(most[stor], running[stor]);
            most.both = Math.max(most.both, running.local + running.manta);
            for (let wait = 0; wait < 5; wait += 1) await new Promise((resolve) => setImmediate(resolve));
            running[stor] -= 1;
            return { size: 5, stream: Readable.from([Buffer.from('bytes')], { objectMode: false }) };
        },
    });
    const images = (['local', 'manta'] as const).flatMap((stor) =>
        Array.from({ length: 10 }, () => image(file('bytes', stor))),
    );
    const order = { parallel: 3, thoroughness: 'deep' } as const;
    const storages = { local: slow('local'), manta: slow('manta') };
    t.match(await run(images, storages, { order }), { code: 0, summary: { good: 20, bytes: 100 } });
    t.same(most, { local: 3, manta: 3, both: 6 });
});

void t.test('who is based on whom', (t) => {
    const family = new Family();
    const [a, b, c, d] = [1, 2, 3, 4].map((n) => ({ ...image(), name: `${n}` })) as CheckedImage[] &
        Record<0 | 1 | 2 | 3, CheckedImage>;
    family.add({ ...b, origin: a.uuid });
    family.add({ ...c, origin: b.uuid });
    family.add({ ...d, origin: a.uuid });
    family.add(a);
    const names = (member: CheckedImage): string[][] =>
        family.generations(member).map((generation) => generation.map(({ name }) => name));
    t.same(names(a), [['1'], ['2', '4'], ['3']]);
    t.same(names(c), [['3']]);
    family.add({ ...a, origin: c.uuid });
    t.same(names(b), [['2'], ['3'], ['1'], ['4']], 'in a circle');
    t.end();
});

void t.test('a rate that is kept, and waits that end', async (t) => {
    const { signal } = new AbortController();
    const limit = new RateLimit(1_000_000);
    const start = performance.now();
    await Promise.all(Array.from({ length: 10 }, () => limit.take(10_000, signal)));
    const took = performance.now() - start;
    t.ok(took >= 98, `100 kB in ${took} ms`);
    const abort = new AbortController();
    const wait = limit.take(1e12, abort.signal);
    abort.abort(new Error('enough'));
    await t.rejects(wait, { message: 'enough' });
});
