import { rmSync } from 'node:fs';
import t, { type Test } from 'tap';
import { AdminTool, parseReport, runTool, type ToolExit } from '../helpers/admin-tool.js';
import { HttpClient, type Document } from '../helpers/http-client.js';
import { gzipFile, NOBODY, publishImage, sha1Hex, type Fixture } from '../helpers/images.js';
import { makeMantaKey } from '../helpers/manta-keys.js';
import { temporaryDirectory } from '../helpers/server-process.js';
import { createKey } from '../helpers/signing.js';
import { startServer, type StartedServer } from '../helpers/start-server.js';

t.setTimeout(300_000);

function uuidOf(number: number): string {
    return `aaaaaaaa-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

/** The images of the source: three of one name, two that are based on one another, one of another system. */
const [OLD, MIDDLE, NEW, APP, TOP, OTHER, HIDDEN, UNFINISHED] = Array.from({ length: 8 }, (_, index) =>
    uuidOf(index + 1),
) as [string, string, string, string, string, string, string, string];

function imageOf(
    uuid: string,
    name: string,
    day: number,
    more: Readonly<Record<string, unknown>> = {},
): Fixture {
    return {
        uuid,
        name,
        version: `${day}.0`,
        owner: NOBODY,
        public: true,
        activated: true,
        published_at: `2012-10-${String(day).padStart(2, '0')}T12:00:00.000Z`,
        tags: { day },
        file: gzipFile(`the file of ${uuid}`),
        more,
    };
}

const FIXTURES: readonly Fixture[] = [
    imageOf(OLD, 'base', 1),
    imageOf(MIDDLE, 'base', 2, { homepage: 'https://example.com/base', description: 'in the middle' }),
    imageOf(NEW, 'base', 3),
    imageOf(APP, 'app', 4, { origin: OLD }),
    imageOf(TOP, 'top', 5, { origin: APP }),
    imageOf(OTHER, 'plan9', 6, { os: 'other', type: 'other' }),
    { ...imageOf(HIDDEN, 'hidden', 7), disabled: true },
    { ...imageOf(UNFINISHED, 'unfinished', 8), activated: false },
];
const ACTIVE = [OLD, MIDDLE, NEW, APP, TOP, OTHER];

/** A source, a server that is to have its images, and the tool between them. */
interface Place {
    readonly source: StartedServer;
    /** Of the server that is to have the images. */
    readonly client: HttpClient;
    readonly from: string;
    /** What makes the tool do it. */
    readonly args: readonly string[];
    readonly mirror: (...args: readonly string[]) => Promise<ToolExit>;
}

async function start(t: Test): Promise<Place> {
    const source = await startServer(t, { mode: 'public' }, FIXTURES);
    const directory = temporaryDirectory();
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const key = makeMantaKey(directory, 'ecdsa');
    const own = createKey('operator');
    const authKeys = { operator: [key.publicLine, own.publicLine] };
    const { server } = await startServer(t, { mode: 'public', authKeys });
    const from = `http://127.0.0.1:${source.server.port}`;
    const access = ['--url', `http://127.0.0.1:${server.port}`, '-u', 'operator', '-i', key.file];
    const args = ['mirror', ...access, '--from', from, '--yes'];
    return {
        source,
        client: new HttpClient(server.port, own),
        from,
        args,
        mirror: (...more) => runTool([...args, ...more]),
    };
}

async function namesHere({ client }: Place): Promise<readonly string[]> {
    const answer = await client.get('/images?state=all');
    return (answer.json as readonly Document[]).map(({ uuid }) => String(uuid)).sort();
}

function resultsOf({ stdout }: ToolExit): Readonly<Record<string, unknown>> {
    const { images } = parseReport(stdout);
    return Object.fromEntries([...images].map(([uuid, { result }]) => [uuid, result]));
}

function all(uuids: readonly string[], result: string): Readonly<Record<string, string>> {
    return Object.fromEntries(uuids.map((uuid) => [uuid, result]));
}

void t.test('all images, then nothing, then what has changed', async (t) => {
    const place = await start(t);
    const rehearsal = await place.mirror('--json', '--dry-run');
    t.equal(rehearsal.code, 0, rehearsal.stderr);
    t.same(resultsOf(rehearsal), all(ACTIVE, 'would-import'));
    t.same(await namesHere(place), [], 'nothing was done');

    const first = await place.mirror('--json');
    t.equal(first.code, 0, first.stderr + first.stdout.join('\n'));
    t.same(resultsOf(first), all(ACTIVE, 'imported'));
    const { summary } = parseReport(first.stdout);
    t.match(summary, { from: place.from, complete: true, imported: 6, failed: 0, images: 6 });
    t.same(await namesHere(place), ACTIVE);
    for (const { uuid, file = Buffer.alloc(0) } of FIXTURES.filter((one) => ACTIVE.includes(one.uuid))) {
        const [there, ours] = await Promise.all([
            place.source.guest.get(`/images/${uuid}`),
            place.client.get(`/images/${uuid}`),
        ]);
        t.same(ours.document, there.document, 'the manifest is as it is there');
        const bytes = await place.client.get(`/images/${uuid}/file`);
        t.equal(sha1Hex(bytes.body), sha1Hex(file));
    }

    const second = await place.mirror();
    t.equal(second.code, 0);
    t.match(second.stdout.at(-1), /^imported 0 images \(0 B\) from http:\S+ in \S+, 6 up to date$/);

    const change = { description: 'changed', homepage: null, tags: { day: 2, new: true } };
    await place.source.client.post(`/images/${MIDDLE}?action=update`, change);
    await place.client.post(`/images/${NEW}/acl?action=add`, [uuidOf(99)]);
    const third = await place.mirror('--json');
    t.equal(third.code, 0);
    t.same(resultsOf(third), { ...all(ACTIVE, 'up-to-date'), [MIDDLE]: 'updated' }, 'acl is ours to say');
    const { images } = parseReport(third.stdout);
    t.same(images.get(MIDDLE)?.['changed'], ['description', 'homepage', 'tags']);
    const [there, ours] = await Promise.all([
        place.source.guest.get(`/images/${MIDDLE}`),
        place.client.get(`/images/${MIDDLE}`),
    ]);
    t.same(ours.document, there.document);
});

void t.test('a part of them, with what it is based on', async (t) => {
    const place = await start(t);
    const other = await place.mirror('--json', '--filter', 'os=other');
    t.same(resultsOf(other), { [OTHER]: 'imported' });
    const newest = await place.mirror('--json', '--latest', '1', '--filter', 'name=base');
    t.same(resultsOf(newest), { [NEW]: 'imported' });
    const top = await place.mirror('--json', '--filter', 'name=top', '--filter', 'os=smartos', '-p', '1');
    t.same(Object.entries(resultsOf(top)), [
        [OLD, 'imported'],
        [APP, 'imported'],
        [TOP, 'imported'],
    ]);
    t.same(await namesHere(place), [OLD, NEW, APP, TOP, OTHER].sort());
});

void t.test('what has gone at the source goes, and nothing else', async (t) => {
    const place = await start(t);
    t.equal((await place.mirror()).code, 0);
    const own = await publishImage(place.client, { name: 'base', owner: NOBODY, public: true });
    await place.source.client.delete(`/images/${TOP}`);
    await place.source.client.delete(`/images/${OTHER}`);
    t.same((await namesHere(place)).length, 7);

    const rehearsal = await place.mirror('--json', '--delete', '-n');
    t.match(resultsOf(rehearsal), { [TOP]: 'would-delete', [OTHER]: 'would-delete', [APP]: 'up-to-date' });
    const kept = await place.mirror('--json');
    t.same(resultsOf(kept), all([OLD, MIDDLE, NEW, APP], 'up-to-date'), 'not without --delete');
    const deleted = await place.mirror('--json', '--delete', '--latest', '1');
    t.equal(deleted.code, 0, deleted.stderr);
    t.same(resultsOf(deleted), {
        ...all([NEW, APP], 'up-to-date'),
        ...all([TOP, OTHER, MIDDLE], 'deleted'),
        [OLD]: 'kept',
    });
    t.same(await namesHere(place), [own, OLD, NEW, APP].sort());
});

void t.test('what fails is told, and done by the next run', async (t) => {
    const place = await start(t);
    const { client } = place;
    const other = { ...imageOf(OLD, 'base', 1), file: undefined };
    await client.post(`/images/${OLD}?action=import`, {
        v: 2,
        uuid: OLD,
        owner: NOBODY,
        name: other.name,
        version: '1.0',
        type: 'zone-dataset',
        os: 'smartos',
        public: true,
    });
    const first = await place.mirror('--json', '--filter', 'name=~a');
    t.equal(first.code, 1);
    t.same(resultsOf(first)[OLD], 'failed', 'somebody else is making it');
    t.match(parseReport(first.stdout).images.get(OLD), { error: { code: 'ImageUuidAlreadyExists' } });
    t.match(parseReport(first.stdout).images.get(APP), { result: 'failed' });

    await client.delete(`/images/${OLD}`);
    const second = await place.mirror('--json');
    t.equal(second.code, 0, second.stdout.join('\n'));
    t.match(resultsOf(second), { [OLD]: 'imported', [APP]: 'imported', [TOP]: 'imported' });

    await place.client.delete(`/images/${TOP}`);
    await publishAs(place, TOP);
    const third = await place.mirror('--json');
    t.equal(third.code, 1);
    t.match(parseReport(third.stdout).images.get(TOP), {
        result: 'failed',
        error: { message: 'it is here with another file' },
    });
});

async function publishAs({ client }: Place, uuid: string): Promise<void> {
    const manifest = {
        v: 2,
        public: true,
        uuid,
        owner: NOBODY,
        name: 'top',
        version: '5.0',
        type: 'other',
        os: 'other',
    };
    await client.post(`/images/${uuid}?action=import`, manifest);
    await client.put(`/images/${uuid}/file?compression=gzip`, gzipFile('something else'));
    await client.post(`/images/${uuid}?action=activate`);
}

void t.test('told to stop, or killed, it leaves the rest to the next run', async (t) => {
    const place = await start(t);
    const tool = new AdminTool([...place.args, '--json', '-p', '1']);
    await tool.printed(1);
    tool.signal('SIGINT');
    const { code, stdout } = await tool.exited;
    t.equal(code, 130);
    const { summary } = parseReport(stdout);
    t.match(summary, { interrupted: true, complete: false, failed: 0 });
    const killed = new AdminTool([...place.args, '--json', '-p', '1']);
    await killed.printed(1);
    killed.signal('SIGKILL');
    await killed.exited;
    const last = await place.mirror('--json');
    t.equal(last.code, 0, last.stdout.join('\n'));
    t.same(await namesHere(place), ACTIVE);
});
