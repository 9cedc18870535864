import { docsReply, faviconReply } from '#lib/http/static-files.js';
import type { Route } from '#lib/http/route.js';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { rawExchange } from '../helpers/http-client.js';
import { row, startShell } from '../helpers/shell-server.js';

const base = t.testdir({
    'secret.txt': 'secret',
    'docs-other': { 'x.html': 'other' },
    docs: {
        'index.html': '<h1>top</h1>',
        'page.HTML': 'page',
        'a b.txt': 'space',
        'data.json': '{}',
        'picture.png': 'png',
        unknown: 'bytes',
        'style.css': 'css',
        api: { 'index.html': 'api', 'deep.js': 'js' },
        empty: {},
        'favicon.ico': 'icon',
    },
});
const directory = join(base, 'docs');
symlinkSync(join(base, 'secret.txt'), join(directory, 'escape.txt'));
symlinkSync(base, join(directory, 'out'));
symlinkSync(join(directory, 'style.css'), join(directory, 'inside.css'));
symlinkSync(join(directory, 'loop'), join(directory, 'loop'));
symlinkSync('gone', join(directory, 'dangling'));
mkdirSync(join(directory, 'linked'));
symlinkSync(join(base, 'secret.txt'), join(directory, 'linked', 'index.html'));
execFileSync('mkfifo', [join(directory, 'pipe')]);
writeFileSync(join(directory, 'large.bin'), '');
truncateSync(join(directory, 'large.bin'), 100_000_000);
utimesSync(join(directory, 'data.json'), 1_600_000_000, 1_600_000_000.5);

let favicon = join(directory, 'favicon.ico');
const ROUTES: readonly Route[] = [
    row('GET', '/docs/*', 'PublicDocs', (x) =>
        docsReply({ directory, rest: x.params['rest'] ?? '', path: x.path, headers: x.headers }),
    ),
    row('GET', '/favicon.ico', 'Favicon', (x) => faviconReply(favicon, x.path)),
];
const { client, port } = await startShell(t, ROUTES);

await t.test('pages', async (t) => {
    const table: readonly (readonly [string, string, string])[] = [
        ['/docs/', '<h1>top</h1>', 'text/html; charset=utf-8'],
        ['/docs/index.html', '<h1>top</h1>', 'text/html; charset=utf-8'],
        ['/docs/page.HTML', 'page', 'text/html; charset=utf-8'],
        ['/docs/a%20b.txt', 'space', 'text/plain; charset=utf-8'],
        ['/docs/data.json', '{}', 'application/json'],
        ['/docs/picture.png', 'png', 'image/png'],
        ['/docs/unknown', 'bytes', 'application/octet-stream'],
        ['/docs/inside.css', 'css', 'text/css; charset=utf-8'],
        ['/docs/api', 'api', 'text/html; charset=utf-8'],
        ['/docs/api/', 'api', 'text/html; charset=utf-8'],
        ['/docs//api///deep.js?x=1', 'js', 'text/javascript; charset=utf-8'],
        ['/docs/api/%2e%2e/style.css', 'css', 'text/css; charset=utf-8'],
    ];
    for (const [path, text, type] of table) {
        const answer = await client.get(path);
        t.strictSame([answer.status, answer.text], [200, text], path);
        t.equal(answer.header('content-type'), type);
        t.equal(answer.header('content-length'), String(text.length));
        t.equal(answer.header('cache-control'), 'public, max-age=3600');
        t.match(answer.header('last-modified'), / GMT$/);
    }
    const head = await client.request('HEAD', '/docs/data.json');
    t.strictSame([head.status, head.text, head.header('content-length')], [200, '', '2']);
});

await t.test('conditional requests', async (t) => {
    const date = 'Sun, 13 Sep 2020 12:26:40 GMT';
    t.equal((await client.get('/docs/data.json')).header('last-modified'), date);
    const known = await client.get('/docs/data.json', { headers: { 'if-modified-since': date } });
    t.strictSame([known.status, known.text, known.header('last-modified')], [304, '', date]);
    t.equal(known.header('content-type'), undefined);
    const older = { 'if-modified-since': 'Sun, 13 Sep 2020 12:26:39 GMT' };
    t.equal((await client.get('/docs/data.json', { headers: older })).status, 200);
});

await t.test('what is missing', async (t) => {
    const long = 'x'.repeat(300);
    for (const path of [
        '/docs/nope',
        '/docs/empty',
        '/docs/empty/',
        '/docs/data.json/x',
        '/docs/dangling',
        '/docs/loop',
        '/docs/pipe',
        '/docs/%00',
        `/docs/${long}`,
    ]) {
        const answer = await client.get(path);
        t.equal(answer.status, 404, path);
        t.strictSame(answer.json, { code: 'ResourceNotFound', message: `${path} does not exist` });
    }
    const large = await client.get('/docs/large.bin');
    t.strictSame([large.status, large.error.code], [500, 'InternalError']);
});

await t.test('the way out is closed', async (t) => {
    const paths = [
        '/docs/../secret.txt',
        '/docs/%2e%2e/secret.txt',
        '/docs/..%2fsecret.txt',
        '/docs/api/../../secret.txt',
        '/docs/../docs-other/x.html',
        '/docs/..',
        '/docs/escape.txt',
        '/docs/out/secret.txt',
        '/docs/out',
        '/docs/linked/',
        '/docs/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd',
    ];
    for (const path of paths) {
        const text = await rawExchange(port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
        t.match(text, /^HTTP\/1.1 403 /, path);
        t.match(text, /"code": "NotAuthorized"/);
        t.notMatch(text, /secret\n|root:/);
        t.notMatch(text, base, 'no path of this machine');
    }
    const absolute = await client.get('/docs/%2fetc%2fpasswd');
    t.equal(absolute.status, 404, 'an absolute path is taken as a relative one');
});

await t.test('favicon', async (t) => {
    const answer = await client.get('/favicon.ico');
    t.strictSame([answer.status, answer.text], [200, 'icon']);
    t.equal(answer.header('content-type'), 'image/x-icon');
    t.equal(answer.header('etag'), `"${createHash('md5').update('icon').digest('base64')}"`);
    t.equal(answer.header('cache-control'), 'public, max-age=86400');
    favicon = join(directory, 'none.ico');
    const missing = await client.get('/favicon.ico');
    t.strictSame(missing.json, { code: 'ResourceNotFound', message: '/favicon.ico does not exist' });
    favicon = directory;
    t.equal((await client.get('/favicon.ico')).status, 404, 'a directory is no icon');
});

await t.test('documentation that was not built', async (t) => {
    const request = { directory: join(base, 'none'), rest: '', path: '/docs/', headers: {} };
    await t.rejects(docsReply(request), { code: 'ResourceNotFound', message: '/docs/ does not exist' });
    const out = { ...request, rest: '../secret.txt', path: '/docs/../secret.txt' };
    await t.rejects(docsReply(out), { code: 'NotAuthorized' }, 'whether there is any or not');
});
