// ExportImage on a datacenter's servers with a Manta (jobs-and-imports 7.1, http-api 3.7).
import t, { type Test } from 'tap';
import { startDatacenter } from '../helpers/datacenter.js';
import { HttpClient, type Answer, type Document } from '../helpers/http-client.js';
import {
    BASE_181,
    DARK_SIDE,
    FATHER,
    UNKNOWN,
    USERS,
    createImage,
    gzipFile,
    md5Base64,
    type Fixture,
} from '../helpers/images.js';
import { call, connect, expectFailure } from '../helpers/library-client.js';
import { mantaClient, startManta } from '../helpers/manta-place.js';
import {
    badAccount,
    expectError,
    invalidParameter,
    missing,
    notFound,
    notOwner,
    repeated,
    validationFailed,
    type ExpectedError,
} from '../helpers/rows.js';

const { vader, luke } = USERS;

/** Lies in local storage. */
const LOCAL: Fixture = { uuid: FATHER, name: 'father', owner: vader, file: gzipFile('father') };
const EMPTY: Fixture = { uuid: DARK_SIDE, name: 'no-file', owner: vader };
const FILE_ENTRY = { sha1: '0'.repeat(40), size: 1, compression: 'none', stor: 'manta' };
const MANY: Fixture = {
    uuid: BASE_181,
    name: 'two-files',
    owner: vader,
    more: { type: 'lxd', files: [FILE_ENTRY, FILE_ENTRY] },
};
const LOST: Fixture = {
    uuid: UNKNOWN,
    name: 'lost',
    owner: vader,
    more: { files: [FILE_ENTRY] },
};

const manta = await startManta(t, {
    operator: true,
    accounts: { vader: { keys: [] }, luke: { keys: [] }, stor: { keys: [] } },
});
const area = mantaClient(t, manta.config);
const dc = await startDatacenter(t, {
    images: [LOCAL, EMPTY, MANY, LOST],
    processes: 2,
    config: { storageTypes: ['local', 'manta'], manta: manta.config },
});
const { client } = dc;

const UNSUPPORTED: ExpectedError = {
    status: 503,
    code: 'StorageUnsupported',
    message: 'storage type is unsupported',
};
const DOWN: ExpectedError = {
    status: 503,
    code: 'StorageIsDown',
    message: 'storage is down at the moment',
};
const BAD_PATH = invalidParameter('invalid manta_path prefix, not a valid manta path', [
    'manta_path',
    'Invalid',
]);

function failed(what: 'manifest' | 'file', reason: string): ExpectedError {
    return { status: 500, code: 'InternalError', message: `error exporting image ${what}: ${reason}` };
}

/** Makes an image with these bytes in Manta. */
async function storedImage(bytes: Buffer, changes: Document = {}, compression = 'gzip'): Promise<string> {
    const uuid = await createImage(client, changes);
    const path = `/images/${uuid}/file?compression=${compression}&storage=manta`;
    const answer = await client.put(path, bytes);
    if (answer.status !== 200) throw new Error(answer.text);
    return uuid;
}

function exportTo(uuid: string, path: string, account?: string): Promise<Answer> {
    const query = new URLSearchParams({ action: 'export', manta_path: path, ...(account && { account }) });
    return client.post(`/images/${uuid}?${query.toString()}`);
}

async function makeDirectory(path: string): Promise<string> {
    await area.call('mkdirp', path);
    return path;
}

/** Checks what an export has stored, and that nothing is left to be done. */
async function expectExported(
    test: Test,
    answer: Answer,
    expected: {
        readonly uuid: string;
        readonly manifest: string;
        readonly image: string;
        readonly bytes: Buffer;
    },
): Promise<void> {
    const { uuid, manifest, image, bytes } = expected;
    const facts = { manta_url: manta.config.url, image_path: image, manifest_path: manifest };
    test.equal(answer.status, 200, answer.text);
    test.equal(answer.text, JSON.stringify(facts, null, 2));
    const { document } = await client.get(`/images/${uuid}`);
    test.equal((await area.read(manifest)).toString(), JSON.stringify(document, null, 4));
    test.ok((await area.read(image)).equals(bytes), 'the file');
    test.match(await area.info(manifest), { type: 'application/json' });
    test.match(await area.info(image), { type: 'application/octet-stream', md5: md5Base64(bytes) });
}

await t.test('what is refused, in order', async (test) => {
    const stored = await storedImage(gzipFile('a file'));
    const at = (uuid: string, query: string) => `/images/${uuid}?action=export${query}`;
    const rows: readonly (readonly [path: string, expected: ExpectedError])[] = [
        [at('foo', ''), notFound('/images/foo?action=export does not exist')],
        [at(FATHER, '&account=foo'), badAccount('foo')],
        [at(FATHER, `&account=${luke}`), notFound('image not found')],
        [at(FATHER, ''), validationFailed("missing 'manta_path' prefix parameter", missing('manta_path'))],
        [at(FATHER, '&manta_path=/a&manta_path=/b'), repeated('manta_path')],
        ...[
            '',
            '/',
            '//',
            '/..',
            '/vader/..',
            '.',
            'vader/stor/x',
            '~~/stor/x',
            '/vader/stor/a%0Ab',
            '/vader/stor/%00',
            '/vader/stor/%C2%85',
            `/vader/stor/${'x'.repeat(1024)}`,
        ].map((path) => [at(FATHER, `&manta_path=${path}`), BAD_PATH] as const),
        [at(EMPTY.uuid, '&manta_path=/vader/stor/x'), notFound(`image "${EMPTY.uuid}" has no file`)],
        [at(FATHER, `&manta_path=/x&account=${vader}`), UNSUPPORTED],
        [
            at(MANY.uuid, `&manta_path=/x&account=${vader}`),
            { status: 400, code: 'NotImplemented', message: 'cannot export images with multiple files' },
        ],
        [at(LOST.uuid, '&manta_path=/vader/stor/x'), failed('file', 'file is missing from storage')],
        ...['/luke/stor/x', '/Vader/stor/x', '/vader/../luke/stor/x', '/vader%2F../luke/stor/x'].map(
            (path) =>
                [
                    at(stored, `&account=${vader}&manta_path=${path}`),
                    {
                        status: 422,
                        code: 'NotMantaPathOwner',
                        message: `account ${vader} is not the owner of Manta path ${
                            path.startsWith('/Vader') ? path : '/luke/stor/x'
                        }`,
                    },
                ] as const,
        ),
    ];
    for (const [path, expected] of rows) expectError(test, await client.post(path), expected, path);
    const shared = await storedImage(gzipFile('shared'), { public: true });
    await client.post(`/images/${shared}?action=activate`);
    const foreign = await exportTo(shared, '/luke/stor', luke);
    expectError(test, foreign, notOwner(luke, shared), 'the image of another account');
    test.strictSame(manta.double.objects('/vader/stor'), []);
    test.strictSame(manta.double.objects('/luke/stor'), []);
});

await t.test('into a directory, in every compression', async (test) => {
    const directory = await makeDirectory('/admin/stor/exports/many of them');
    for (const [compression, extension] of [
        ['gzip', '.gz'],
        ['bzip2', '.bz2'],
        ['xz', '.xz'],
        ['none', ''],
    ] as const) {
        const bytes = gzipFile(compression);
        const facts = { name: `in-${compression}`, version: '1.2' };
        const uuid = await storedImage(bytes, facts, compression);
        const base = `${directory}/in-${compression}-1.2`;
        manta.double.clearRequests();
        const answer = await exportTo(uuid, `${directory}/`);
        const image = `${base}.zfs${extension}`;
        await expectExported(test, answer, { uuid, manifest: `${base}.imgmanifest`, image, bytes });
        const [put] = manta.double.requests({ kind: 'put' });
        const text = await area.read(`${base}.imgmanifest`);
        test.match(put?.headers, {
            'content-type': 'application/json',
            'content-md5': md5Base64(text),
            'content-length': String(text.length),
        });
        test.equal(manta.double.requests({ kind: 'link', path: image }).length, 1, 'by link');
    }
});

await t.test('beside what has the path, and in place of what was there', async (test) => {
    await makeDirectory('/luke/stor');
    const bytes = gzipFile('first');
    const uuid = await storedImage(bytes, { owner: luke, name: 'beside' });
    const expected = { uuid, manifest: '/luke/stor/a b.imgmanifest', image: '/luke/stor/a b.zfs.gz', bytes };
    manta.double.clearRequests();
    await expectExported(test, await exportTo(uuid, '/luke//stor/./x/../a b', luke), expected);
    test.equal(manta.double.requests({ kind: 'link' }).length, 0, 'a link in another area cannot be made');
    test.equal(manta.double.requests({ kind: 'put', path: expected.image })[0]?.bytesIn, bytes.length);
    await area.put('/luke/stor/a b', Buffer.from('an object'));
    await expectExported(test, await exportTo(uuid, '/luke/stor/a b'), expected);

    const other = gzipFile('second');
    const second = await storedImage(other, { owner: luke, name: 'beside' });
    const again = await exportTo(second, '/luke/stor/a b');
    await expectExported(test, again, { ...expected, uuid: second, bytes: other });
    test.equal((await area.read('/luke/stor/a b')).toString(), 'an object');
});

await t.test('names that are no file names', async (test) => {
    const directory = await makeDirectory('/vader/stor/names');
    const bytes = gzipFile('names');
    const uuid = await storedImage(bytes, { name: '../a/b c', version: '/..' });
    const base = `${directory}/.._a_b c-_..`;
    const expected = { uuid, manifest: `${base}.imgmanifest`, image: `${base}.zfs.gz`, bytes };
    await expectExported(test, await exportTo(uuid, directory, vader), expected);
});

await t.test('an account that nobody knows, and one that cannot be asked for', async (test) => {
    const owner = '5a1a5a1a-0000-4000-8000-000000000001';
    dc.ufds.users.set(owner, { uuid: owner, login: 'vader' });
    const uuid = await storedImage(gzipFile('unknown'), { owner });
    dc.ufds.users.delete(owner);
    const [, reader] = dc.servers;
    const ask = () => new HttpClient(reader?.port ?? 0).post(`/images/${uuid}?${query.toString()}`);
    const query = new URLSearchParams({ action: 'export', manta_path: '/vader/stor/y', account: owner });
    const unknown = {
        status: 422,
        code: 'AccountDoesNotExist',
        message: `account "${owner}" does not exist`,
    };
    expectError(test, await ask(), unknown, 'unknown');
    dc.ufds.fault = 'busy';
    const answer = await ask();
    dc.ufds.fault = 'none';
    const message = 'user database is unavailable';
    expectError(test, answer, { status: 503, code: 'ServiceUnavailableError', message }, 'away');
    test.equal(manta.double.entry('/vader/stor/y.imgmanifest'), undefined);
});

await t.test('readers export too', async (test) => {
    const [, reader] = dc.servers;
    const bytes = gzipFile('by a reader');
    const uuid = await storedImage(bytes, { name: 'by-a-reader' });
    const through = new HttpClient(reader?.port ?? 0);
    test.equal((await through.get('/ping?role=writer')).status, 503);
    const answer = await through.post(`/images/${uuid}?action=export&manta_path=/admin/stor/by-a-reader`);
    const base = '/admin/stor/by-a-reader';
    await expectExported(test, answer, {
        uuid,
        manifest: `${base}.imgmanifest`,
        image: `${base}.zfs.gz`,
        bytes,
    });
});

await t.test('the client library of the field', async (test) => {
    const library = connect(test, dc.server, undefined);
    const uuid = await storedImage(gzipFile('library'), { owner: vader });
    const facts = await call(library, 'exportImage', uuid, vader, { manta_path: '/vader/stor/by library' });
    test.strictSame(facts, {
        manta_url: manta.config.url,
        image_path: '/vader/stor/by library.zfs.gz',
        manifest_path: '/vader/stor/by library.imgmanifest',
    });
    const asOperator = await call(library, 'exportImage', uuid, { manta_path: '/admin/stor' });
    test.equal(asOperator['image_path'], '/admin/stor/alderaan-1.0.0.zfs.gz');
    const foreign = { statusCode: 422, code: 'NotMantaPathOwner' };
    await expectFailure(test, foreign, library, 'exportImage', uuid, vader, { manta_path: '/luke/stor/x' });
});

await t.test('Manta refuses', async (test) => {
    const bytes = gzipFile('refused');
    const uuid = await storedImage(bytes);
    const path = '/vader/stor/refused';
    const refusals = [
        ['head', path, 403, 'manifest', 'ForbiddenError: status 403'],
        ['put', `${path}.imgmanifest`, 403, 'manifest', 'AuthorizationFailed'],
        ['put', `${path}.zfs.gz`, 500, 'file', 'InternalError'],
        ['get', /file0$/, 403, 'file', 'AuthorizationFailed'],
    ] as const;
    for (const [kind, match, status, what, reason] of refusals) {
        const code = reason.replace(/:.*/, '');
        const message = `admin may not use ${String(match)}`;
        const end = manta.double.inject({ refuse: { status, code, message } }, { kind, path: match });
        expectError(test, await exportTo(uuid, path), failed(what, reason), `${kind} ${String(match)}`);
        end();
        test.strictSame(
            manta.double.objects('/vader/stor').filter((one) => one.startsWith(path)),
            [],
        );
    }
    const noParent = await exportTo(uuid, '/vader/stor/no/such/directory');
    expectError(test, noParent, failed('manifest', 'DirectoryDoesNotExist'), 'no directory');
    const noArea = await exportTo(uuid, '/vader', vader);
    expectError(test, noArea, failed('manifest', 'ResourceNotFound'), 'no area');
});

await t.test('Manta is away', async (test) => {
    const uuid = await storedImage(gzipFile('away'));
    await manta.double.stop();
    expectError(test, await exportTo(uuid, '/vader/stor/away'), DOWN, 'not there');
    await manta.double.restart();
    for (const [kind, path] of [
        ['put', '/vader/stor/away.imgmanifest'],
        ['put', '/vader/stor/away.zfs.gz'],
        ['get', /file0$/],
    ] as const) {
        const end = manta.double.inject({ refuse: 503 }, { kind, path });
        expectError(test, await exportTo(uuid, '/vader/stor/away'), DOWN, `${kind} ${String(path)}`);
        end();
        test.equal(manta.double.entry('/vader/stor/away.imgmanifest'), undefined, 'no manifest stays');
    }
    test.equal((await exportTo(uuid, '/vader/stor/away')).status, 200);
});
