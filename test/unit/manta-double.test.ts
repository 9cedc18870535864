import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import t from 'tap';
import { rawExchange } from '../helpers/http-client.js';
import { mantaClient, startManta } from '../helpers/manta-place.js';
import { codeOf, mantaBench, md5 } from '../helpers/manta-raw.js';
import type { KeyKind } from '../helpers/signing.js';

const DIRECTORY = { 'content-type': 'application/json; type=directory' };
const LINK = { 'content-type': 'application/json; type=link' };
const LISTING = 'application/x-json-stream; type=directory';

function chunked(...chunks: readonly (Buffer | string)[]): Readable {
    return Readable.from(chunks.map((chunk) => Buffer.from(chunk)));
}

void t.test('the client library puts, reads, links, lists and unlinks, with every kind of key', async (t) => {
    for (const kind of ['rsa', 'ecdsa', 'ed25519'] satisfies readonly KeyKind[]) {
        const { config, root, double } = await startManta(t, { kind, tls: kind === 'ecdsa' });
        const client = mantaClient(t, config);
        await client.call('mkdirp', `${root}/a/b ü%`, {});
        const put = await client.put(`${root}/a/sized`, Buffer.from('hello'), { type: 'text/plain' });
        t.equal(put.headers['computed-md5'], md5('hello'));
        await client.put(`${root}/a/b ü%/chunked`, chunked('one ', 'two'));
        t.equal((await client.read(`${root}/a/b ü%/chunked`)).toString(), 'one two');
        await client.put(`${root}/a/empty`, Buffer.alloc(0));
        t.equal((await client.read(`${root}/a/empty`)).length, 0);
        await client.call('ln', `${root}/a/b ü%/chunked`, `${root}/a/link`, {});
        t.match(await client.info(`${root}/a/sized`), {
            type: 'text/plain',
            size: 5,
            md5: md5('hello'),
            etag: put.headers.etag,
            headers: { 'durability-level': '2', 'last-modified': /GMT$/ },
        });
        const names = ['b ü%', 'empty', 'link', 'sized'];
        t.same(
            (await client.list(`${root}/a`)).map(({ name }) => name),
            names,
        );
        t.same(
            (await client.ls(`${root}/a`)).map(({ name }) => name),
            names,
        );
        t.match(await client.info(`${root}/a`), { extension: 'directory', type: LISTING });
        await client.call('unlink', `${root}/a/b ü%/chunked`, {});
        t.equal((await client.read(`${root}/a/link`)).toString(), 'one two');
        t.same(double.objects(root), [`${root}/a/empty`, `${root}/a/link`, `${root}/a/sized`]);
        await t.rejects(client.info(`${root}/none`), { name: 'NotFoundError' });
        t.ok(double.requests().every(({ account }) => account === 'admin'));
    }
});

void t.test('directories', async (t) => {
    const { raw, root, client } = await mantaBench(t);
    const mkdir = (path: string): ReturnType<typeof raw.put> => raw.put(path, '', { headers: DIRECTORY });
    t.equal((await mkdir(`${root}/d`)).status, 204);
    t.equal((await mkdir(`${root}/d`)).status, 204, 'again');
    await client.put(`${root}/d/o`, Buffer.from('x'));
    t.equal(codeOf(await mkdir(`${root}/none/e`)), '404 DirectoryDoesNotExist');
    t.equal(codeOf(await mkdir(`${root}/d/o/e`)), '400 ParentNotDirectory');
    t.equal(codeOf(await mkdir(`${root}/d/o`)), '409 EntityAlreadyExists');
    t.equal(codeOf(await mkdir(root)), '400 OperationNotAllowedOnRootDirectory');
    t.equal(codeOf(await raw.delete(root)), '400 OperationNotAllowedOnRootDirectory');
    t.equal(codeOf(await raw.delete(`${root}/d`)), '400 DirectoryNotEmpty');
    t.equal(codeOf(await raw.delete(`${root}/none`)), '404 ResourceNotFound');
    t.equal(codeOf(await raw.put(`${root}/d`, 'x')), '400 DirectoryOperation');
    t.equal(codeOf(await raw.put(`${root}/none/o`, 'x')), '404 DirectoryDoesNotExist');
    t.equal(codeOf(await raw.put(`${root}/d/o/o`, 'x')), '400 ParentNotDirectory');
    t.equal(codeOf(await raw.get('/admin/elsewhere/o')), '404 ResourceNotFound');
    t.equal(codeOf(await raw.request('PATCH', `${root}/d`)), '405 MethodNotAllowed');
    t.equal((await raw.delete(`${root}/d/o`)).status, 204);
    t.equal((await raw.delete(`${root}/d`)).status, 204);
    t.equal(codeOf(await raw.get(`${root}/d`)), '404 ResourceNotFound');
    const head = await raw.request('HEAD', `${root}/d`);
    t.same([head.status, head.text], [404, '']);
});

void t.test('listings come in pages, each beginning with its marker', async (t) => {
    const { raw, root, client, double } = await mantaBench(t);
    const names = ['B', 'a', 'a b', 'ab', 'd', 'é'];
    for (const name of names) await client.put(`${root}/${name}`, Buffer.from(name));
    await client.call('unlink', `${root}/d`, {});
    await client.call('mkdir', `${root}/d`, {});
    const page = async (query: string): Promise<string[]> => {
        const answer = await raw.get(`${root}?${query}`, {
            headers: { accept: 'application/x-json-stream' },
        });
        t.equal(answer.header('content-type'), LISTING);
        t.equal(answer.header('result-set-size'), '6');
        const lines = answer.text.split('\n').filter(Boolean);
        return lines.map((line) => (JSON.parse(line) as { name: string }).name);
    };
    t.same(await page('limit=3'), names.slice(0, 3), 'in the order of their bytes');
    t.same(await page('limit=3&marker=a%20b'), names.slice(2, 5));
    t.same(await page('limit=1024&marker=b'), names.slice(4), 'a marker need not be a name');
    t.same(await page('marker='), names);
    t.same(await page('dir=true'), ['d']);
    t.same(await page('obj=true&sort_order=reverse'), ['é', 'ab', 'a b', 'a', 'B']);
    t.same(await page('sort=mtime'), [...names.filter((name) => name !== 'd' && name !== 'é'), 'é', 'd']);
    for (const limit of ['0', '1025', '-1', 'x', '1.5']) {
        t.equal(codeOf(await raw.get(`${root}?limit=${limit}`)), '400 InvalidLimit');
    }
    const [object, directory] = [(await client.list(root))[0], (await client.list(root))[4]];
    t.match(object, { type: 'object', size: 1, durability: 2, etag: /^[0-9a-f-]{36}$/, mtime: /Z$/ });
    t.match(directory, { type: 'directory', mtime: /Z$/ });
    for (let from = 0; from < 1500; from += 500) {
        const puts = Array.from({ length: 500 }, (_, i) => raw.put(`${root}/d/n${from + i}`, 'x'));
        await Promise.all(puts);
    }
    double.clearRequests();
    t.equal(new Set((await client.list(`${root}/d`)).map(({ name }) => name)).size, 1500);
    t.equal(double.requests({ kind: 'list', path: `${root}/d` }).length, 2);
    t.equal(new Set((await client.ls(`${root}/d`, { limit: 1000 })).map(({ name }) => name)).size, 1500);
});

void t.test('what is put must be whole and what it says it is', async (t) => {
    const { raw, root, client, double } = await mantaBench(t);
    await client.put(`${root}/o`, Buffer.from('old'), { md5: md5('old') });
    await t.rejects(client.put(`${root}/o`, Buffer.from('new'), { md5: md5('other') }), {
        statusCode: 400,
        code: 'ContentMD5Mismatch',
    });
    const half = raw.open('PUT', `${root}/o`, {
        headers: { 'content-length': '10', expect: '100-continue' },
    });
    t.equal(await half.continued, true);
    half.request.write('half');
    await double.waitFor({ kind: 'put' }, { nth: 3 });
    half.request.destroy();
    await double.waitFor({ kind: 'put' }, { nth: 3, done: true });
    const limited = { headers: { 'max-content-length': '4' } };
    t.equal(
        codeOf(await raw.put(`${root}/o`, chunked('abc', 'de'), limited)),
        '413 MaxContentLengthExceeded',
    );
    t.equal(
        codeOf(await raw.put(`${root}/o`, chunked('a'), { headers: { 'max-content-length': 'x' } })),
        '400 InvalidArgument',
    );
    t.equal((await client.read(`${root}/o`)).toString(), 'old');
    t.equal(double.blobs.length, 1, 'nothing is left of what failed');
    t.equal((await raw.put(`${root}/o`, chunked('abc', 'd'), limited)).status, 204);
    t.equal((await client.read(`${root}/o`)).toString(), 'abcd');
    t.equal(double.blobs.length, 1, 'nothing is left of the old one');
    const headers = { 'm-note': 'kept', 'x-durability-level': '3', 'content-type': 'text/x-a' };
    t.equal((await raw.put(`${root}/o`, 'x', { headers })).status, 204);
    const answer = await raw.get(`${root}/o`);
    t.same(
        ['m-note', 'durability-level', 'content-type', 'content-md5'].map((name) => answer.header(name)),
        ['kept', '3', 'text/x-a', md5('x')],
    );
    t.equal((await raw.put(`${root}/untyped`, 'x')).status, 204);
    t.equal((await raw.get(`${root}/untyped`)).header('content-type'), 'application/octet-stream');
});

void t.test('errors come before the body where the client waits', async (t) => {
    const { raw, root, double } = await mantaBench(t);
    const headers = { 'content-length': '1000000', expect: '100-continue' };
    const refused = raw.open('PUT', `${root}/none/o`, { headers });
    t.equal(await refused.continued, false);
    const answer = await refused.answer;
    t.equal(codeOf(answer), '404 DirectoryDoesNotExist');
    t.equal(answer.header('connection'), 'close', 'the rest of the body could not be told from a request');
    refused.request.destroy();
    const taken = raw.open('PUT', `${root}/o`, { headers: { ...headers, 'content-length': '4' } });
    t.equal(await taken.continued, true);
    taken.request.end('body');
    t.equal((await taken.answer).status, 204);
    t.equal((await raw.put(`${root}/o`, 'no waiting')).status, 204);
    t.same(
        double.requests().map(({ status, bytesIn }) => [status, bytesIn]),
        [
            [404, 0],
            [204, 4],
            [204, 10],
        ],
    );
    t.match(await rawExchange(double.port, `GET ${root}/o HTTP/1.0\r\n\r\n`), /^HTTP\/1.1 403 /);
});

void t.test('snaplinks', async (t) => {
    const { raw, root, client, double } = await mantaBench(t);
    const link = (path: string, location?: string): ReturnType<typeof raw.put> =>
        raw.put(`${root}/${path}`, '', { headers: { ...LINK, ...(location && { location }) } });
    await client.put(`${root}/o`, Buffer.from('bytes'), { type: 'text/x-a' });
    await client.call('mkdir', `${root}/d`, {});
    t.equal(codeOf(await link('l', `${root}/none`)), '404 SourceObjectNotFound');
    t.equal(codeOf(await link('l', `${root}/d`)), '400 LinkNotObject');
    t.equal(codeOf(await link('l')), '400 LinkRequired');
    t.equal(codeOf(await link('l', '/ops/stor/o')), '400 InvalidLink');
    t.equal(codeOf(await link('none/l', `${root}/o`)), '404 DirectoryDoesNotExist');
    t.equal(codeOf(await link('d', `${root}/o`)), '400 DirectoryOperation');
    t.equal((await link('d/l', `${root}/o`)).status, 204);
    t.equal((await client.info(`${root}/d/l`)).etag, (await client.info(`${root}/o`)).etag);
    t.equal(double.blobs.length, 1);
    await client.put(`${root}/o`, Buffer.from('other'));
    t.equal((await client.read(`${root}/d/l`)).toString(), 'bytes', 'a name of its own');
    t.equal((await client.info(`${root}/d/l`)).type, 'text/x-a');
    t.equal((await link('o', `${root}/o`)).status, 204, 'to itself');
    t.equal((await client.read(`${root}/o`)).toString(), 'other');
    t.equal((await link('o', `${root}/d/l`)).status, 204, 'over an object');
    t.equal(double.blobs.length, 1, 'the bytes of which are gone');
    double.snaplinks = false;
    const refused = client.call('ln', `${root}/o`, `${root}/l2`, {});
    await t.rejects(refused, { statusCode: 403, code: 'SnaplinksDisabledError' });
    double.snaplinks = true;
    await client.call('unlink', `${root}/o`, {});
    t.equal(double.blobs.length, 1);
    await client.call('unlink', `${root}/d/l`, {});
    t.equal(double.blobs.length, 0, 'gone with the last name');
});

void t.test('ranges', async (t) => {
    const { raw, root, client } = await mantaBench(t);
    await client.put(`${root}/o`, Buffer.from('0123456789'));
    const range = async (header: string): Promise<readonly unknown[]> => {
        const answer = await raw.get(`${root}/o`, { headers: { range: header } });
        return [answer.status, answer.text, answer.header('content-range')];
    };
    t.same(await range('bytes=2-4'), [206, '234', 'bytes 2-4/10']);
    t.same(await range('bytes=7-'), [206, '789', 'bytes 7-9/10']);
    t.same(await range('bytes=7-10'), [206, '789', 'bytes 7-9/10'], 'as the library resumes');
    t.same(await range('bytes=-3'), [206, '789', 'bytes 7-9/10']);
    t.same(await range('bytes=-30'), [206, '0123456789', 'bytes 0-9/10']);
    t.same(await range('bytes=1-2,4-5'), [200, '0123456789', undefined]);
    for (const header of ['bytes=10-', 'bytes=5-4', 'bytes=-0']) {
        const answer = await raw.get(`${root}/o`, { headers: { range: header } });
        t.equal(codeOf(answer), '416 RequestedRangeNotSatisfiable');
        t.equal(answer.header('content-range'), 'bytes */10');
    }
    const { stream } = await client.get(`${root}/o`, { headers: { range: 'bytes=2-4' } });
    t.equal((await buffer(stream)).toString(), '234');
});

void t.test('conditions', async (t) => {
    const { raw, root, client } = await mantaBench(t);
    const path = `${root}/o`;
    const { etag = '' } = (await client.put(path, Buffer.from('x'))).headers;
    const answer = await raw.request('HEAD', path);
    const date = answer.header('last-modified') ?? '';
    const old = new Date(Date.parse(date) - 1000).toUTCString();
    const get = async (headers: Record<string, string>): Promise<number> =>
        (await raw.get(path, { headers })).status;
    t.same(
        [
            await get({ 'if-match': etag }),
            await get({ 'if-match': `"other", "${etag}"` }),
            await get({ 'if-match': '*' }),
            await get({ 'if-match': 'other' }),
            await get({ 'if-none-match': 'other' }),
            await get({ 'if-none-match': etag }),
            await get({ 'if-modified-since': date }),
            await get({ 'if-modified-since': old }),
            await get({ 'if-unmodified-since': date }),
            await get({ 'if-unmodified-since': old }),
            await get({ 'if-none-match': 'other', 'if-modified-since': date }),
        ],
        [200, 200, 200, 412, 200, 304, 304, 200, 200, 412, 200],
    );
    const change = async (method: string, headers: Record<string, string>, at = path): Promise<string> => {
        const changed = await raw.request(method, at, { headers, ...(method === 'PUT' && { body: 'y' }) });
        return changed.status === 204 ? '204' : codeOf(changed);
    };
    const failed = '412 PreconditionFailed';
    t.equal(await change('PUT', { 'if-none-match': '*' }), failed);
    t.equal(await change('PUT', { 'if-match': 'other' }), failed);
    t.equal(await change('PUT', { 'if-match': '*' }, `${path}2`), failed);
    t.equal(await change('DELETE', { 'if-match': 'other' }), failed);
    t.equal(await change('PUT', { 'if-none-match': '*' }, `${path}2`), '204');
    t.equal(await change('PUT', { 'if-match': etag }), '204');
    t.equal(await change('DELETE', { 'if-match': etag }), failed, 'the etag of before');
    const headers = { 'if-none-match': '*', 'content-length': '2', expect: '100-continue' };
    const first = raw.open('PUT', `${path}3`, { headers });
    t.equal(await first.continued, true);
    t.equal(await change('PUT', {}, `${path}3`), '204');
    first.request.end('zz');
    t.equal(codeOf(await first.answer), failed, 'somebody was faster');
});

void t.test('a download that has begun is not troubled by what happens to the object', async (t) => {
    const { raw, root, client } = await mantaBench(t);
    const bytes = Buffer.alloc(8 << 20, 'abc');
    await client.put(`${root}/o`, bytes);
    const message = await raw.download(`${root}/o`);
    await once(message, 'readable');
    await client.put(`${root}/o`, Buffer.from('other'));
    await client.call('unlink', `${root}/o`, {});
    t.equal(md5(await buffer(message)), md5(bytes));
});

void t.test('zeros take no room', async (t) => {
    const { root, client, double, options } = await mantaBench(t);
    const zeros = Buffer.alloc(1 << 20);
    const parts = [Buffer.from('begin'), ...Array.from({ length: 64 }, () => zeros), Buffer.from('end')];
    const bytes = Buffer.concat([...parts, zeros]);
    const put = await client.put(`${root}/o`, Readable.from([...parts, zeros]));
    t.equal(put.headers['computed-md5'], md5(bytes));
    t.ok((await client.read(`${root}/o`)).equals(bytes));
    const { size, blocks } = statSync(join(options.directory, 'blobs', double.blobs[0] ?? ''));
    t.equal(size, bytes.length);
    t.ok(blocks * 512 < 4 << 20, `${blocks} blocks`);
});

void t.test('every answer says who gave it', async (t) => {
    const { raw, root } = await mantaBench(t);
    for (const path of [root, `${root}/none`, '/ops/stor']) {
        const answer = await raw.get(path, { headers: { 'x-request-id': 'abc' } });
        t.equal(answer.header('x-request-id'), 'abc');
        t.match(answer.header('x-server-name'), /^[0-9a-f-]{36}$/);
    }
    t.match((await raw.get(root)).header('x-request-id'), /^[0-9a-f-]{36}$/);
});
