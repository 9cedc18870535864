// GetImage, GetImageFile, GetImageIcon: tags, conditions, ranges, HEAD (http-api 1.6-1.8, 3.2, 3.11, 3.12).
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
    DARK_SIDE,
    FATHER,
    JOIN_US,
    NOBODY,
    PNG,
    UNKNOWN,
    USERS,
    gzipFile,
    imageDirectory,
    md5Base64,
    sha1Hex,
    type Fixture,
} from '../helpers/images.js';
import {
    badAccount,
    expectError,
    invalidParameter,
    notBoolean,
    notFound,
    repeated,
    runErrorRows,
    type ErrorRow,
    type ExpectedError,
} from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';

const NO_FILE = 'a0000000-0000-4000-8000-000000000001';
const MISSING = 'a0000000-0000-4000-8000-000000000002';
const CORRUPT = 'a0000000-0000-4000-8000-000000000003';
const ELSEWHERE = 'a0000000-0000-4000-8000-000000000004';
const NO_TIME = 'a0000000-0000-4000-8000-000000000005';
const LXD = 'a0000000-0000-4000-8000-000000000006';

const FILE = gzipFile('father '.repeat(50) + Array.from({ length: 500 }, (_, i) => i * 7919).join(','));
const SIZE = FILE.length;
const FILE_TAG = sha1Hex(FILE);
const LAST_MODIFIED = 'Thu, 01 Nov 2012 10:00:00 GMT';
const published = { activated: true, published_at: '2012-01-01T00:00:00.000Z', owner: USERS.vader } as const;
const elsewhere = {
    sha1: FILE_TAG,
    size: SIZE,
    contentMD5: md5Base64(FILE),
    stor: 'manta',
    compression: 'gzip',
};

const IMAGES: readonly Fixture[] = [
    { ...published, uuid: FATHER, name: 'father', file: FILE, icon: PNG, more: { acl: [USERS.luke] } },
    { ...published, uuid: DARK_SIDE, name: 'dark-side', disabled: true, file: FILE, icon: PNG },
    { uuid: JOIN_US, name: 'join-us', owner: USERS.vader, file: FILE, icon: PNG },
    { uuid: NO_FILE, name: 'no-file' },
    { ...published, uuid: MISSING, name: 'missing', file: FILE, icon: PNG },
    { ...published, uuid: CORRUPT, name: 'corrupt', file: FILE, icon: PNG },
    { ...published, uuid: ELSEWHERE, name: 'elsewhere', more: { files: [elsewhere] } },
    {
        ...published,
        uuid: NO_TIME,
        name: 'no-time',
        file: FILE,
        more: { files: [{ ...elsewhere, stor: 'local', mtime: 'never' }] },
    },
    {
        ...published,
        uuid: LXD,
        name: 'lxd',
        file: FILE,
        more: { type: 'lxd', os: 'linux', files: [1, 2].map(() => ({ ...elsewhere, stor: 'local' })) },
    },
];

const { server, client, guest } = await startServer(t, {}, IMAGES);
const filePath = `/images/${FATHER}/file`;
const iconPath = `/images/${FATHER}/icon`;
for (const uuid of [MISSING, CORRUPT]) {
    for (const name of ['file0', 'icon']) {
        const path = join(imageDirectory(server.baseDir, uuid), name);
        if (uuid === MISSING) rmSync(path);
        else writeFileSync(path, 'short');
    }
}
writeFileSync(join(imageDirectory(server.baseDir, LXD), 'file1'), FILE);
const documentTag = (await guest.get(`/images/${FATHER}`)).header('etag') ?? '';

await t.test('a whole file and a whole icon', async (test) => {
    const file = await guest.get(filePath);
    test.equal(file.status, 200);
    test.ok(file.body.equals(FILE), 'the bytes');
    const headers = (answer: typeof file): Record<string, string | undefined> =>
        Object.fromEntries(
            ['content-type', 'content-length', 'etag', 'last-modified', 'content-md5', 'accept-ranges'].map(
                (name) => [name, answer.header(name)],
            ),
        );
    test.strictSame(headers(file), {
        'content-type': 'application/octet-stream',
        'content-length': String(SIZE),
        etag: FILE_TAG,
        'last-modified': LAST_MODIFIED,
        'content-md5': md5Base64(FILE),
        'accept-ranges': 'bytes',
    });
    const icon = await guest.get(iconPath);
    test.ok(icon.body.equals(PNG), 'the bytes of the icon');
    test.strictSame(headers(icon), {
        'content-type': 'image/png',
        'content-length': String(PNG.length),
        etag: sha1Hex(PNG),
        'last-modified': LAST_MODIFIED,
        'content-md5': md5Base64(PNG),
        'accept-ranges': 'bytes',
    });
    const noTime = await guest.get(`/images/${NO_TIME}/file`);
    test.strictSame([noTime.status, noTime.header('last-modified')], [200, undefined], 'an unparsable time');
    for (const query of ['?index=0', '?index=', '?index=foo', `?account=${USERS.vader}`, '?unknown=1']) {
        test.ok((await guest.get(filePath + query)).body.equals(FILE), query);
    }
    test.ok((await guest.get(`/images/${LXD}/file?index=1`)).body.equals(FILE), 'the second of two files');
});

await t.test('reading needs no authentication and no active state', async (test) => {
    const broken = { headers: { authorization: 'Signature nonsense' } };
    for (const uuid of [FATHER, DARK_SIDE, JOIN_US]) {
        for (const path of [`/images/${uuid}/file`, `/images/${uuid}/icon`]) {
            test.equal((await guest.get(path)).status, 200, path);
            test.equal((await guest.get(path, broken)).status, 200, `${path} does not look at Authorization`);
        }
        test.equal((await guest.get(`/images/${uuid}`)).status, 200, `${uuid} without an account`);
    }
});

const missing = (uuid: string, what: string): ExpectedError =>
    notFound(`image "${uuid}" ${what} is missing from storage`);
const corrupt = (uuid: string, what: string): ExpectedError => ({
    status: 500,
    code: 'InternalError',
    message: `image "${uuid}" ${what} is corrupt in storage`,
});

const get = (name: string, path: string, expected: ExpectedError): ErrorRow => ({
    name,
    method: 'GET',
    path,
    ...expected,
});

await t.test('what cannot be read', (test) =>
    runErrorRows(test, guest, [
        get('no file', `/images/${NO_FILE}/file`, notFound(`image "${NO_FILE}" has no file`)),
        get('no file, index', `/images/${NO_FILE}/file?index=3`, notFound(`image "${NO_FILE}" has no file`)),
        get('index', `${filePath}?index=1`, notFound(`image "${FATHER}" has no file at index 1`)),
        get('no icon', `/images/${NO_FILE}/icon`, notFound(`image "${NO_FILE}" has no icon`)),
        get('file missing', `/images/${MISSING}/file`, missing(MISSING, 'file')),
        get('icon missing', `/images/${MISSING}/icon`, missing(MISSING, 'icon')),
        get('file corrupt', `/images/${CORRUPT}/file`, corrupt(CORRUPT, 'file')),
        get('icon corrupt', `/images/${CORRUPT}/icon`, corrupt(CORRUPT, 'icon')),
        get('other storage', `/images/${ELSEWHERE}/file`, {
            status: 503,
            code: 'StorageUnsupported',
            message: 'storage type is unsupported',
        }),
        ...['', '/file', '/icon'].flatMap((suffix) => [
            get('no uuid', `/images/foo${suffix}?a=b`, notFound(`/images/foo${suffix}?a=b does not exist`)),
            get(
                'upper case uuid',
                `/images/${FATHER.toUpperCase()}${suffix}`,
                notFound(`/images/${FATHER.toUpperCase()}${suffix} does not exist`),
            ),
            get('unknown', `/images/${UNKNOWN}${suffix}`, notFound(`image ${UNKNOWN} not found`)),
            get('bad account', `/images/${UNKNOWN}${suffix}?account=foo`, badAccount('foo')),
            get(
                'an account that may not see it',
                `/images/${FATHER}${suffix}?account=${USERS.emperor}`,
                notFound('image not found'),
            ),
            get(
                'two accounts',
                `/images/${FATHER}${suffix}?account=${NOBODY}&account=${NOBODY}`,
                repeated('account'),
            ),
        ]),
        get(
            'a missing image wins over admin fields',
            `/images/${UNKNOWN}?inclAdminFields=foo`,
            notFound(`image ${UNKNOWN} not found`),
        ),
        get('admin fields', `/images/${FATHER}?inclAdminFields=foo`, notBoolean('inclAdminFields', 'foo')),
        get(
            'two indexes',
            `${filePath}?index=0&index=1`,
            invalidParameter('invalid "index": parameter given multiple times', ['index', 'Invalid']),
        ),
    ]),
);

interface Condition {
    readonly headers: Readonly<Record<string, string>>;
    readonly status: 200 | 304;
}

function tagConditions(tag: string): Condition[] {
    return [
        ...[tag, `"${tag}"`, `W/"${tag}"`, '*', `x, ${tag}`, `"x","${tag}"`].flatMap((value): Condition[] => [
            { headers: { 'if-match': value }, status: 200 },
            { headers: { 'if-none-match': value }, status: 304 },
        ]),
        { headers: { 'if-none-match': 'abcdef' }, status: 200 },
        { headers: { 'if-match': tag, 'if-none-match': 'abcdef' }, status: 200 },
        { headers: { 'if-match': tag, 'if-none-match': tag }, status: 304 },
    ];
}

const BEFORE = 'Thu, 01 Nov 2012 09:59:59 GMT';
const AFTER = 'Thu, 01 Nov 2012 10:00:01 GMT';

function dateConditions(tag: string): Condition[] {
    return [
        { headers: { 'if-modified-since': LAST_MODIFIED }, status: 304 },
        { headers: { 'if-modified-since': AFTER }, status: 304 },
        { headers: { 'if-modified-since': BEFORE }, status: 200 },
        { headers: { 'if-modified-since': 'foo' }, status: 200 },
        { headers: { 'if-modified-since': AFTER, 'if-none-match': 'abcdef' }, status: 200 },
        { headers: { 'if-unmodified-since': LAST_MODIFIED }, status: 200 },
        { headers: { 'if-unmodified-since': 'foo' }, status: 200 },
        { headers: { 'if-unmodified-since': BEFORE, 'if-match': tag }, status: 200 },
    ];
}

const RESOURCES = [
    { path: `/images/${FATHER}`, tag: documentTag, conditions: tagConditions(documentTag) },
    { path: filePath, tag: FILE_TAG, conditions: [...tagConditions(FILE_TAG), ...dateConditions(FILE_TAG)] },
    {
        path: iconPath,
        tag: sha1Hex(PNG),
        conditions: [...tagConditions(sha1Hex(PNG)), ...dateConditions(sha1Hex(PNG))],
    },
];

await t.test('conditional requests', async (test) => {
    for (const { path, tag, conditions } of RESOURCES) {
        for (const method of ['GET', 'HEAD']) {
            for (const { headers, status } of conditions) {
                const name = `${method} ${path} ${JSON.stringify(headers)}`;
                const answer = await guest.request(method, path, { headers });
                test.strictSame([answer.status, answer.header('etag')], [status, tag], name);
                if (status === 200) continue;
                test.equal(answer.body.length, 0, 'a 304 has no body');
                const absent = ['content-type', 'content-length', 'content-md5'].map((h) => answer.header(h));
                test.strictSame(absent, [undefined, undefined, undefined], 'nor headers of one');
                const date = path === `/images/${FATHER}` ? undefined : LAST_MODIFIED;
                test.equal(answer.header('last-modified'), date, 'its date');
            }
        }
        const failed = await guest.get(path, { headers: { 'if-match': 'abcdef' } });
        expectError(
            test,
            failed,
            {
                status: 412,
                code: 'PreconditionFailed',
                message: `if-match 'abcdef' didn't match etag '${tag}'`,
            },
            `${path} if-match`,
        );
        const absent = ['etag', 'last-modified', 'content-md5'].map((h) => failed.header(h));
        test.strictSame(
            absent,
            [undefined, undefined, undefined],
            'a 412 is without the headers of the resource',
        );
    }
});

await t.test('dates in conditions', async (test) => {
    for (const path of [filePath, iconPath]) {
        const failed = await guest.get(path, { headers: { 'if-unmodified-since': BEFORE } });
        expectError(
            test,
            failed,
            {
                status: 412,
                code: 'PreconditionFailed',
                message: `object was modified at '${LAST_MODIFIED}'; if-unmodified-since '${BEFORE}'`,
            },
            `${path} if-unmodified-since`,
        );
    }
    const headers = { 'if-modified-since': AFTER, 'if-unmodified-since': BEFORE };
    test.equal((await guest.get(`/images/${FATHER}`, { headers })).status, 200, 'a document has no date');
    const stale = await guest.get(filePath, { headers: { 'if-match': documentTag } });
    test.equal(stale.status, 412, 'the tag of the document is not the tag of the file');
});

await t.test('the tag is of the form that is sent', async (test) => {
    const admin = await client.get(`/images/${FATHER}?inclAdminFields=true`);
    const adminTag = admin.header('etag') ?? '';
    test.equal(adminTag, sha1Hex(JSON.stringify(admin.json)));
    test.not(adminTag, documentTag);
    const again = (tag: string): Promise<typeof admin> =>
        client.get(`/images/${FATHER}?inclAdminFields=true`, { headers: { 'if-none-match': tag } });
    test.equal((await again(adminTag)).status, 304);
    test.equal((await again(documentTag)).status, 200);
});

type RangeRow = readonly [range: string, from: number, to: number];

const PARTS: readonly RangeRow[] = [
    ['bytes=0-0', 0, 0],
    ['bytes=10-', 10, SIZE - 1],
    ['bytes=-5', SIZE - 5, SIZE - 1],
    [`bytes=5-${SIZE * 10}`, 5, SIZE - 1],
    [`bytes=-${SIZE * 10}`, 0, SIZE - 1],
    [`bytes=${SIZE - 1}-`, SIZE - 1, SIZE - 1],
    ['bytes=3-9', 3, 9],
];

await t.test('ranges', async (test) => {
    for (const [range, from, to] of PARTS) {
        for (const method of ['GET', 'HEAD']) {
            const answer = await guest.request(method, filePath, { headers: { range } });
            const names = [
                'content-range',
                'content-length',
                'etag',
                'last-modified',
                'content-type',
                'content-md5',
            ];
            test.strictSame(
                [answer.status, ...names.map((name) => answer.header(name))],
                [
                    206,
                    `bytes ${from}-${to}/${SIZE}`,
                    String(to - from + 1),
                    FILE_TAG,
                    LAST_MODIFIED,
                    'application/octet-stream',
                    undefined,
                ],
                `${method} ${range}`,
            );
            const bytes = method === 'GET' ? FILE.subarray(from, to + 1) : Buffer.alloc(0);
            test.ok(answer.body.equals(bytes), 'its bytes');
        }
    }
    for (const range of [
        'bytes=0-1,3-4',
        'items=0-1',
        'bytes=a-b',
        'bytes=5-2',
        'bytes=',
        'bytes=-',
        'foo',
    ]) {
        const answer = await guest.get(filePath, { headers: { range } });
        test.strictSame([answer.status, answer.body.length], [200, SIZE], `${range} gives all`);
    }
    for (const range of [`bytes=${SIZE}-`, `bytes=${SIZE}-${SIZE + 5}`, 'bytes=-0']) {
        const answer = await guest.get(filePath, { headers: { range } });
        const message = `range '${range}' is not satisfiable for size ${SIZE}`;
        expectError(test, answer, { status: 416, code: 'RangeNotSatisfiable', message }, range);
        test.equal(answer.header('content-range'), `bytes */${SIZE}`);
    }
    const icon = await guest.get(iconPath, { headers: { range: 'bytes=1-3' } });
    test.strictSame([icon.status, icon.text], [206, 'PNG'], 'a part of an icon');
    const document = await guest.get(`/images/${FATHER}`, { headers: { range: 'bytes=0-1' } });
    test.equal(document.status, 200, 'a document has no ranges');
});

const IF_RANGE: readonly (readonly [value: string, status: number])[] = [
    [FILE_TAG, 206],
    [`"${FILE_TAG}"`, 206],
    [`W/"${FILE_TAG}"`, 200],
    [documentTag, 200],
    ['*', 200],
    [LAST_MODIFIED, 206],
    [AFTER, 200],
    [BEFORE, 200],
];

await t.test('If-Range, and conditions before ranges', async (test) => {
    const range = 'bytes=0-3';
    for (const [value, status] of IF_RANGE) {
        const answer = await guest.get(filePath, { headers: { range, 'if-range': value } });
        test.strictSame([answer.status, answer.body.length], [status, status === 206 ? 4 : SIZE], value);
    }
    const cases: readonly (readonly [Record<string, string>, number])[] = [
        [{ range, 'if-none-match': FILE_TAG }, 304],
        [{ range, 'if-match': 'x' }, 412],
        [{ range: `bytes=${SIZE}-`, 'if-none-match': FILE_TAG }, 304],
        [{ range: `bytes=${SIZE}-`, 'if-range': 'x' }, 200],
        [{ range, 'if-match': FILE_TAG }, 206],
    ];
    for (const [headers, status] of cases) {
        test.equal((await guest.get(filePath, { headers })).status, status, JSON.stringify(headers));
    }
});

await t.test('a big file arrives whole, and several at once', async (test) => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => guest.get(filePath)));
    test.ok(answers.every((answer) => sha1Hex(answer.body) === FILE_TAG));
});
