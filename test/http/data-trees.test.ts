// Whole data directories, from an existing server to this one and back (operations 5.4, 5.5): nothing that was
// there is changed by starting, and after a `gc` nothing is there that an existing server would stumble over.
import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { AdminTool } from '../helpers/admin-tool.js';
import { documentOf, VERSION_2 } from '../helpers/golden-documents.js';
import type { Place } from '../helpers/golden-forms.js';
import { GOLDEN, plantGolden } from '../helpers/golden-records.js';
import { HttpClient, type Document } from '../helpers/http-client.js';
import {
    createImage,
    gzipFile,
    imageDirectory,
    NOBODY,
    PNG,
    publishImage,
    FATHER,
    sha1Hex,
    UNKNOWN,
    USERS,
    writeFixtures,
} from '../helpers/images.js';
import { problemsForOthers, unexpectedNames } from '../helpers/record-rules.js';
import {
    freePort,
    LIMIT_MS,
    runToEnd,
    ServerProcess,
    temporaryDirectory,
} from '../helpers/server-process.js';
import { createKey } from '../helpers/signing.js';

t.setTimeout(LIMIT_MS);

const PLACE: Place = { mode: 'private', channels: false };
const DAYS_2_S = 2 * 86_400;
const key = createKey('operator');

/** Keys that existing servers have in their files, whether or not anybody reads them there. */
const CONFIG_OF_OTHERS = {
    '//': 'comments are ignored',
    mode: 'private',
    logLevel: 'info',
    authType: 'signature',
    databaseType: 'local',
    storageTypes: ['local'],
    serverName: 'IMGAPI/4.13.1',
    maxSockets: 50,
    placeholderImageLifespanDays: 7,
    allowLocalCreateImageFromVm: false,
    minImageCreationPlatform: ['7.0', '20130917T001310Z'],
    adminUuid: '930896af-bf8c-48d4-885c-6573a94b1853',
    datacenterName: 'east',
    serviceName: 'imgapi',
    instanceUuid: '6d0e5b2c-0f0d-4d0e-9c0e-0c3b2ad1a8a1',
    serverUuid: '44454c4c-5400-1034-8053-b5c04f383432',
    adminIp: '127.0.0.1',
    allowInsecure: false,
    httpProxy: '',
    dockerRegistryInsecure: false,
    imgapiUrlFromDatacenter: { west: 'http://10.1.2.3' },
    ufds: { url: 'ldaps://ufds.example.com', bindDN: 'cn=root', bindPassword: 'secret' },
    moray: {
        host: 'moray.example.com',
        port: 2020,
        connectTimeout: 200,
        retry: { retries: 2, minTimeout: 500 },
    },
    wfapi: { url: 'http://workflow.example.com', workflows: ['create-from-vm'], forceMd5Check: true },
    cnapi: { url: 'http://cnapi.example.com' },
    vmapi: { url: 'http://vmapi.example.com' },
    docker: { url: 'http://docker.example.com' },
    sapi_service: 'sapi.example.com',
    ufds_admin_login: 'admin',
    vmapi_service: 'vmapi.example.com',
    somethingOfTomorrow: { a: 1 },
};

/** Files of a directory by their paths, with what is in them. */
function contentOf(baseDir: string): ReadonlyMap<string, string> {
    const files = readdirSync(baseDir, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name));
    return new Map(files.map((path) => [path.slice(baseDir.length + 1), readFileSync(path, 'latin1')]));
}

function write(baseDir: string, path: string, content: string | Buffer): void {
    mkdirSync(dirname(join(baseDir, path)), { recursive: true });
    writeFileSync(join(baseDir, path), content);
}

/** A data directory as an existing server leaves it, with a configuration for a port. */
function plantTree(baseDir: string, port: number): string {
    plantGolden(baseDir, PLACE);
    const [first] = GOLDEN;
    const uuid = first?.uuid ?? '';
    write(baseDir, `images/${uuid.slice(0, 3)}/${uuid}/file0.${UNKNOWN}`, 'an upload that was cut');
    write(baseDir, `archive/${uuid.slice(0, 3)}/${uuid}.json`, '{"uuid":"as it was"}');
    write(baseDir, 'run/restored.marker', 'restored at 2015-01-01T00:00:00Z\n');
    write(baseDir, 'run/backup.status', '0\n');
    write(baseDir, 'etc/authkeys/local/operator.keys', `# first\n${key.publicLine}\n`);
    const config = join(baseDir, 'etc', 'imgapi.config.json');
    write(baseDir, 'etc/imgapi.config.json', JSON.stringify({ ...CONFIG_OF_OTHERS, port }, null, 4));
    return config;
}

function directory(test: Test): string {
    const baseDir = temporaryDirectory();
    test.teardown(() => rmSync(baseDir, { recursive: true, force: true }));
    return baseDir;
}

/** Compares what was there before with what is there now. @returns paths that are new */
function expectKept(test: Test, baseDir: string, before: ReadonlyMap<string, string>): string[] {
    const now = contentOf(baseDir);
    for (const [path, content] of before) test.equal(now.get(path), content, `${path} is as it was`);
    return [...now.keys()].filter((path) => !before.has(path)).sort();
}

/** What an existing server makes of a directory: uuids of its images. Fails for what it would not take. */
function loadAsOthers(test: Test, baseDir: string): string[] {
    // The pattern is not anchored at the start; that is why no other name may end so.
    const names = readdirSync(join(baseDir, 'manifests')).filter((name) => name.endsWith('.raw'));
    return names.map((name) => {
        const raw = JSON.parse(readFileSync(join(baseDir, 'manifests', name), 'utf8')) as Document;
        test.strictSame(problemsForOthers(raw, PLACE), [], name);
        test.equal(name, `${String(raw['uuid'])}.raw`);
        const entries = [...((raw['files'] ?? []) as readonly Document[]).entries()].map(
            ([index, entry]) => [`file${index}`, entry] as const,
        );
        const icon = raw['icon'] === undefined ? [] : [['icon', raw['icon'] as Document] as const];
        for (const [file, { sha1, size }] of [...entries, ...icon]) {
            const bytes = readFileSync(join(imageDirectory(baseDir, String(raw['uuid'])), file));
            test.strictSame([sha1Hex(bytes), bytes.length], [sha1, size], `${name}: ${file}`);
        }
        return String(raw['uuid']);
    });
}

await t.test('the data of an existing server is served as it is, with its configuration', async (t) => {
    const baseDir = directory(t);
    const port = await freePort();
    const config = plantTree(baseDir, port);
    const before = contentOf(baseDir);

    const checked = await runToEnd(['--check', '-f', config], baseDir);
    t.strictSame([checked.code, checked.stdout], [0, ''], 'no key of it is a problem');
    t.match(checked.stderr, 'warning: unknown config key: somethingOfTomorrow');
    t.strictSame(expectKept(t, baseDir, before), [], 'a check leaves nothing');

    const migrated = await runToEnd(['--migrate', '-f', config], baseDir);
    t.equal(migrated.code, 0, migrated.stdout);
    t.match(JSON.parse(readFileSync(join(baseDir, 'data-version'), 'utf8')), { version: 1, app: /./ });
    expectKept(t, baseDir, before);

    const server = await ServerProcess.start({ baseDir, config: CONFIG_OF_OTHERS });
    const client = new HttpClient(server.port, key);
    const held = await runToEnd(['--migrate', '-f', config], baseDir);
    t.equal(held.code, 2, 'no migration beside a server');
    t.match(held.stdout, 'run/imgapi.lock is held by another process');
    const listed = (await client.get('/images?state=all', VERSION_2)).list;
    const byUuid = (a: Document, b: Document): number => (String(a['uuid']) < String(b['uuid']) ? -1 : 1);
    t.strictSame(
        [...listed].sort(byUuid),
        GOLDEN.map((golden) => documentOf(golden, PLACE)).sort(byUuid),
        'no image is lost',
    );
    t.equal((await server.stop()).code, 0);
    const added = expectKept(t, baseDir, before).filter((path) => !path.startsWith('etc/imgapi.config.'));
    t.strictSame(added, ['data-version'], 'and nothing but that is new');
});

await t.test('data of a later server is left alone', async (t) => {
    const baseDir = directory(t);
    const config = plantTree(baseDir, await freePort());
    write(baseDir, 'data-version', '{"version": 2, "app": "IMGAPI 9"}');
    const before = contentOf(baseDir);
    for (const args of [[], ['--migrate']]) {
        const { code, stdout } = await runToEnd([...args, '-f', config], baseDir);
        t.equal(code, 2);
        t.match(stdout, /the data has version 2 \(written by IMGAPI 9\), this server knows 1/);
    }
    t.strictSame(expectKept(t, baseDir, before), []);
});

await t.test(
    'there and back: what this server leaves is for an existing one, and the other way round',
    async (t) => {
        const baseDir = directory(t);
        const config = { ...CONFIG_OF_OTHERS, authKeys: { operator: [key.publicLine] } };
        const start = async (): Promise<readonly [ServerProcess, HttpClient]> => {
            const server = await ServerProcess.start({ baseDir, config });
            return [server, new HttpClient(server.port, key)];
        };
        const [server, client] = await start();
        const published = await publishImage(client, { owner: NOBODY }, gzipFile('published'));
        await client.put(`/images/${published}/icon`, PNG, { headers: { 'content-type': 'image/png' } });
        await client.post(`/images/${published}/acl`, [USERS.luke]);
        const origin = await publishImage(
            client,
            { owner: NOBODY, tags: { a: 1, b: { c: 2 } } },
            gzipFile('origin'),
        );
        const layer = await createImage(client, { owner: NOBODY, origin });
        await client.put(`/images/${layer}/file?compression=gzip`, gzipFile('first'));
        await client.put(`/images/${layer}/file?compression=gzip`, gzipFile('again'));
        const gone = await publishImage(client, { owner: NOBODY }, gzipFile('gone'));
        t.equal((await client.delete(`/images/${gone}`)).status, 204);
        t.equal((await server.stop()).code, 0);

        // What a crash leaves, old enough to be taken away.
        const old = Date.now() / 1000 - DAYS_2_S;
        for (const [uuid, name] of [
            [published, `file0.${UNKNOWN}`],
            [UNKNOWN, 'file0'],
        ] as const) {
            const path = join(imageDirectory(baseDir, uuid), name);
            write(imageDirectory(baseDir, uuid), name, 'left behind');
            utimesSync(path, old, old);
        }
        const collected = await new AdminTool(['gc', '--yes', '--force', '-c', server.configPath], {
            IMGAPITEST_LOCAL_BASE_DIR: baseDir,
        }).exited;
        t.equal(collected.code, 0, collected.stderr + collected.stdout.join('\n'));

        const expected = [published, origin, layer].sort();
        t.strictSame(loadAsOthers(t, baseDir).sort(), expected);
        t.strictSame(unexpectedNames(baseDir), []);
        const files = [...contentOf(baseDir).keys()].filter((path) => path.startsWith('images/'));
        t.equal(files.length, 4, `no file without an image: ${files.join()}`);

        // The other server changes a record in place, and makes an image of its own.
        const path = join(baseDir, 'manifests', `${published}.raw`);
        const raw = JSON.parse(readFileSync(path, 'utf8')) as Document;
        writeFileSync(path, JSON.stringify({ ...raw, description: 'changed elsewhere' }, null, 2));
        const other = {
            uuid: FATHER,
            name: 'other',
            owner: USERS.vader,
            file: gzipFile('of the other'),
            activated: true,
        };
        writeFixtures(baseDir, [{ ...other, published_at: '2012-01-01T00:00:00.000Z' }]);

        const [next, again] = await start();
        t.strictSame((await again.get('/images?state=all')).uuids.sort(), [...expected, other.uuid].sort());
        t.match((await again.get(`/images/${published}`)).document, {
            description: 'changed elsewhere',
            icon: true,
        });
        t.equal((await again.get(`/images/${other.uuid}/file`)).body.equals(other.file), true);
        t.equal((await again.get(`/images/${layer}/file`)).body.equals(gzipFile('again')), true);
        t.equal((await next.stop()).code, 0);
        t.strictSame(loadAsOthers(t, baseDir).length, 4);
    },
);
