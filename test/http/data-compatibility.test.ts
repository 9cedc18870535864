// Data of existing servers in, data for existing servers out (backends 16 and 17, rows 2 and 25;
// manifest 7-9; operations 5.4, 5.5).
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
    documentOf,
    expectDocument,
    expectFiles,
    mended,
    VERSION_2,
    withStorages,
} from '../helpers/golden-documents.js';
import type { Place } from '../helpers/golden-forms.js';
import { GOLDEN, plantGolden } from '../helpers/golden-records.js';
import { HttpClient, type Answer, type Document } from '../helpers/http-client.js';
import { createImage, gzipFile, imageDirectory, manifest, NOBODY, PNG, USERS } from '../helpers/images.js';
import {
    problemsOfWritten,
    problemsForOthers,
    storedRecord,
    unexpectedNames,
} from '../helpers/record-rules.js';
import { LIMIT_MS, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { createKey, type SigningKey } from '../helpers/signing.js';

t.setTimeout(LIMIT_MS);

const CHANNELS = [
    { name: 'dev', description: 'for developers', default: true },
    { name: 'staging', description: 'nearly done' },
    { name: 'release', description: 'done' },
];
const PLACES: readonly Place[] = (['private', 'public'] as const).flatMap((mode) => [
    { mode, channels: false },
    { mode, channels: true },
]);
const key = createKey('operator');

/** A base directory with servers on it, one after another. */
class Base {
    readonly baseDir = temporaryDirectory();
    readonly place: Place;
    #server: ServerProcess | undefined;

    constructor(t: Test, place: Place) {
        this.place = place;
        t.teardown(async () => {
            await this.stop();
            rmSync(this.baseDir, { recursive: true, force: true });
        });
    }

    async start(signer: SigningKey = key): Promise<HttpClient> {
        const { mode, channels } = this.place;
        this.#server = await ServerProcess.start({
            baseDir: this.baseDir,
            config: {
                mode,
                authKeys: { operator: [key.publicLine] },
                ...(channels ? { channels: CHANNELS } : {}),
            },
        });
        return new HttpClient(this.#server.port, signer);
    }

    async stop(): Promise<void> {
        const exit = await this.#server?.stop();
        this.#server = undefined;
        if (exit !== undefined && exit.code !== 0) throw new Error(JSON.stringify(exit));
    }
}

for (const place of PLACES) {
    const where = `${place.mode}${place.channels ? ' with channels' : ''}`;
    await t.test(`what existing servers wrote is read: ${where}`, async (t) => {
        const base = new Base(t, place);
        plantGolden(base.baseDir, place);
        const before = new Map(GOLDEN.map(({ uuid }) => [uuid, storedRecord(base.baseDir, uuid).text]));
        const client = await base.start();
        for (const golden of GOLDEN) {
            const document = documentOf(golden, place);
            const path = `/images/${golden.uuid}`;
            expectDocument(t, await client.get(path, VERSION_2), document, golden.name);
            const version1 = { ...document };
            delete version1['channels'];
            expectDocument(t, await client.get(path), version1, `${golden.name}, version 1`);
            const admin = await client.get(`${path}?inclAdminFields=true`, VERSION_2);
            expectDocument(t, admin, withStorages(document), `${golden.name} for operators`);
            await expectFiles(t, client, golden);
        }
        const list = await client.get('/images?state=all', VERSION_2);
        const byUuid = (a: Document, b: Document) => (String(a['uuid']) < String(b['uuid']) ? -1 : 1);
        t.strictSame(
            [...list.list].sort(byUuid),
            GOLDEN.map((golden) => documentOf(golden, place)).sort(byUuid),
            'all of them are listed',
        );
        t.strictSame(
            (await client.get('/images?state=all&tag.a=b')).uuids.length,
            6,
            'tags of every form can be searched',
        );
        for (const [uuid, text] of before)
            t.equal(storedRecord(base.baseDir, uuid).text, text, 'reading writes nothing');

        await t.test('and written again in the form of today', async (t) => {
            for (const golden of GOLDEN) {
                const path = `/images/${golden.uuid}`;
                const odd = await client.post(`${path}/acl`, [USERS.emperor]);
                t.equal(odd.status, 200, `${golden.name}: oddities stop no other change: ${odd.text}`);
                const { requirements, ...others } = storedRecord(base.baseDir, golden.uuid).raw;
                const isFine = requirements !== undefined && typeof requirements !== 'number';
                const judged = isFine ? { ...others, requirements } : others;
                t.strictSame(problemsOfWritten(judged, place, golden.keeps), [], golden.name);
                const acl = golden.document(place)['acl'] as readonly string[] | undefined;
                if (acl?.includes(USERS.emperor) !== true) {
                    await client.post(`${path}/acl?action=remove`, [USERS.emperor]);
                }
                const answer = await client.post(`${path}?action=update`, {
                    description: 'rewritten',
                    ...mended(golden),
                });
                t.equal(answer.status, 200, `${golden.name}: ${answer.text}`);
                const { raw, text } = storedRecord(base.baseDir, golden.uuid);
                t.strictSame(problemsOfWritten(raw, place, golden.keeps), [], golden.name);
                t.equal(text, JSON.stringify(raw, null, 2));
                const next = await client.get(`/images/${golden.uuid}`, VERSION_2);
                const document = {
                    ...documentOf(golden, place),
                    description: 'rewritten',
                    ...mended(golden),
                };
                t.strictSame({ ...next.document, ...mended(golden) }, document, golden.name);
                await expectFiles(t, client, golden);
            }
            t.strictSame(unexpectedNames(base.baseDir), []);
            const documents = await client.get('/images?state=all', VERSION_2);
            await base.stop();
            t.strictSame(
                (await (await base.start()).get('/images?state=all', VERSION_2)).list,
                documents.list,
            );
        });
    });
}

await t.test('records that do not fit the channels of the server', async (t) => {
    for (const place of PLACES) {
        const other = { ...place, channels: !place.channels };
        const base = new Base(t, place);
        plantGolden(base.baseDir, other);
        const client = await base.start();
        t.strictSame((await client.get('/images?state=all&channel=*')).list.length, 0);
        const [first] = GOLDEN;
        t.equal((await client.get(`/images/${first?.uuid ?? ''}`)).status, 404);
        await base.stop();
        for (const { uuid, record } of GOLDEN) {
            t.equal(
                storedRecord(base.baseDir, uuid).text,
                JSON.stringify(record(other), null, 2),
                'left as it is',
            );
        }
    }
});

for (const place of PLACES) {
    const where = `${place.mode}${place.channels ? ' with channels' : ''}`;
    await t.test(`what this server writes is for existing servers: ${where}`, async (t) => {
        const base = new Base(t, place);
        const { baseDir } = base;
        const client = await base.start();
        const facts = { owner: NOBODY, public: place.mode === 'public' };

        /** Sends a write and looks at what it has left on disk. */
        async function write(name: string, answer: Promise<Answer>, now?: string): Promise<Answer> {
            const { status, text, body } = await answer;
            t.equal(status < 300, true, `${name}: ${status} ${text}`);
            const uuid =
                now ?? (body.length === 0 ? undefined : String((JSON.parse(text) as Document)['uuid']));
            if (uuid !== undefined) {
                const stored = storedRecord(baseDir, uuid);
                t.strictSame(problemsOfWritten(stored.raw, place), [], `${name}: ${stored.text}`);
                t.equal(stored.text, JSON.stringify(stored.raw, null, 2), `${name}: the form of the file`);
                const mode = statSync(join(baseDir, 'manifests', `${uuid}.raw`)).mode & 0o777;
                t.equal(mode, 0o640, `${name}: nothing in it is a program`);
                const archived = readFileSync(
                    join(baseDir, 'archive', uuid.slice(0, 3), `${uuid}.json`),
                    'utf8',
                );
                const shown = await client.get(`/images/${uuid}?channel=*`, {
                    headers: { 'accept-version': '*' },
                });
                t.equal(archived, JSON.stringify(shown.document, null, 2), `${name}: the archive`);
            }
            t.strictSame(unexpectedNames(baseDir), [], name);
            return answer;
        }

        const given = {
            ...facts,
            tags: { a: 'b', n: 5, o: { p: 1 } },
            billing_tags: ['x'],
            traits: { ssd: true },
        };
        const uuid = await createImage(client, given);
        await write('create', client.get(`/images/${uuid}`));
        const post = (action: string, json?: unknown) =>
            client.post(`/images/${uuid}?action=${action}`, json);
        const icon = { headers: { 'content-type': 'image/png' } };
        await write(
            'upload',
            client.put(`/images/${uuid}/file?compression=gzip&dataset_guid=12`, gzipFile('1')),
        );
        await write('second upload', client.put(`/images/${uuid}/file?compression=gzip`, gzipFile('2')));
        await write('icon', client.put(`/images/${uuid}/icon`, PNG, icon));
        await write('second icon', client.put(`/images/${uuid}/icon`, Buffer.concat([PNG, PNG]), icon));
        await write('removal of the icon', client.delete(`/images/${uuid}/icon`));
        await write(
            'update',
            post('update', { description: 'd', tags: { only: 'x'.repeat(101) }, homepage: null }),
        );
        await write('text forms', post('update', { generate_passwords: 'false' }));
        await write('no tags', post('update', { tags: null, billing_tags: null }));
        await write('empty tags', post('update', { tags: {} }));
        await write('digests', post('update', { files: [{ digest: `sha256:${'ab'.repeat(32)}` }] }));
        await write('activation', post('activate'));
        await write('disabling', post('disable'));
        await write('enabling', post('enable'));
        await write('an account', client.post(`/images/${uuid}/acl`, [USERS.luke]));
        await write('no account', client.post(`/images/${uuid}/acl?action=remove`, [USERS.luke]));
        await write('a failure', post('update', { state: 'failed', error: { message: 'm' } }));
        if (place.channels) {
            await write('a channel', post('channel-add', { channel: 'staging' }));
            await write('one channel less', client.delete(`/images/${uuid}?channel=staging`), uuid);
        }
        const imported = '1fc068b0-13b0-11e2-9f4e-2f3f6a96d9bc';
        const document = manifest({
            ...facts,
            uuid: imported,
            published_at: '2012-10-11T12:00:00.000Z',
            urn: 'sdc:sdc:fauxnodejs:1.4.0',
            disabled: 'false',
            acl: USERS.vader,
        });
        await write(
            'import',
            client.post(`/images/${imported}?action=import&skip_owner_check=true`, document),
        );
        await write(
            'its file',
            client.put(`/images/${imported}/file?compression=none`, Buffer.from('plain')),
        );
        const moved = '583287ae-366b-11e2-aea4-bf6c552eb39b';
        await write(
            'change of uuid',
            client.post(`/images/${imported}?action=update`, { uuid: moved }),
            moved,
        );
        t.notOk(existsSync(imageDirectory(baseDir, imported)), 'nothing is left of the old uuid');
        const old = {
            v: 1,
            name: 'fauxubuntu',
            version: '1.0.0',
            uuid: imported,
            creator_uuid: NOBODY,
            creator_name: 'sdc',
            vendor_uuid: NOBODY,
            created_at: '2012-11-24T12:00:00.000Z',
            published_at: '2012-11-24T12:00:00.000Z',
            type: 'zvol',
            os: 'linux',
            nic_driver: 'virtio',
            disk_driver: 'virtio',
            cpu_type: 'host',
            image_size: '10240',
            files: [],
            ...(place.mode === 'public' ? {} : { public: false }),
        };
        const fromOld = await client.post(`/images/${imported}?action=import&skip_owner_check=true`, old);
        if (place.mode === 'public') await write('import of an old manifest', Promise.resolve(fromOld));
        const { files } = storedRecord(baseDir, moved).raw as { readonly files: readonly Document[] };
        t.match(files, [{ sha256: /^[0-9a-f]{64}$/ }]);
        await write('removal', client.delete(`/images/${uuid}?force_all_channels=true`));
        t.strictSame(readdirSync(join(baseDir, 'run', 'deletes')), []);
    });
}

await t.test('fields of our own survive a server that does not know them', async (t) => {
    const place: Place = { mode: 'private', channels: false };
    const base = new Base(t, place);
    const first = await base.start();
    const uuid = await createImage(first, { owner: NOBODY });
    t.equal((await first.put(`/images/${uuid}/file?compression=gzip`, gzipFile('x'))).status, 200);
    await base.stop();
    const path = join(base.baseDir, 'manifests', `${uuid}.raw`);
    const ours = storedRecord(base.baseDir, uuid).raw as { readonly files: readonly [Document] };
    const withOurs = { ...ours, x_imgapi: { provenance: { datacenter: 'east' } } };
    t.strictSame(problemsForOthers(withOurs, place), [], 'it passes the rules of the other server');
    // As the other server does it: reads the whole record, changes a field, writes the whole record.
    const loaded = JSON.parse(JSON.stringify(withOurs)) as Record<string, unknown>;
    loaded['description'] = 'changed elsewhere';
    writeFileSync(path, JSON.stringify(loaded, null, 2));

    const client = await base.start();
    const answers = [
        await client.get(`/images/${uuid}?inclAdminFields=true`, VERSION_2),
        await client.get('/images?state=all&inclAdminFields=true', VERSION_2),
        await client.post(`/images/${uuid}?action=update`, { version: '2.0.0' }),
        await client.post(`/images/${uuid}?action=activate`),
    ];
    for (const { status, text } of answers) {
        t.equal(status, 200);
        t.match(text, /changed elsewhere/);
        t.notMatch(text, /x_imgapi|sha256|provenance|east/, 'they are in no answer');
    }
    const kept = storedRecord(base.baseDir, uuid).raw;
    t.match(kept, {
        x_imgapi: withOurs.x_imgapi,
        files: [{ sha256: ours.files[0]['sha256'] }],
        version: '2.0.0',
    });
    t.strictSame(problemsOfWritten(kept, place), []);
});
