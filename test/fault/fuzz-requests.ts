import * as fc from 'fast-check';
import { signatureHeaders, type SigningKey } from '../helpers/signing.js';
import { NOBODY } from '../helpers/images.js';

/** A valid request that mutations start from. */
export interface Seed {
    readonly method: string;
    readonly target: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly signed?: boolean;
}

/** Requests that every server understands. */
export function seeds(uuid: string): readonly Seed[] {
    const manifest = JSON.stringify({
        v: 2,
        owner: NOBODY,
        name: 'fuzz',
        version: '1.0.0',
        type: 'zone-dataset',
        os: 'smartos',
        public: true,
        tags: { role: 'db' },
        requirements: { networks: [{ name: 'net0', description: 'public' }] },
    });
    const json = { 'content-type': 'application/json' };
    const post = (target: string, body: string): Seed => ({
        method: 'POST',
        target,
        headers: json,
        body,
        signed: true,
    });
    return [
        { method: 'GET', target: '/ping?error=ValidationFailed&message=x' },
        {
            method: 'GET',
            target: '/images?name=~a&state=all&limit=10&marker=2015-01-01T00:00:00Z&sort=published_at.desc',
        },
        {
            method: 'GET',
            target: `/images?account=${NOBODY}&owner=${NOBODY}&public=true&tag.role=db&billing_tag=a&billing_tag=b`,
        },
        {
            method: 'GET',
            target: `/images/${uuid}?inclAdminFields=false`,
            headers: { 'if-none-match': '"abc", W/"d"', 'accept-version': '~2' },
        },
        {
            method: 'GET',
            target: `/images/${uuid}/file?index=0`,
            headers: {
                range: 'bytes=1-3',
                'if-range': 'x',
                'if-modified-since': 'Tue, 08 Jan 2013 20:04:01 GMT',
            },
        },
        { method: 'HEAD', target: `/images/${uuid}/icon` },
        {
            method: 'OPTIONS',
            target: '/images',
            headers: { origin: 'http://a.example', 'access-control-request-method': 'GET' },
        },
        { method: 'GET', target: `/datasets/a:b:c:d` },
        { method: 'GET', target: '/docs/index.html', headers: { 'x-request-id': 'abc' } },
        { method: 'GET', target: '/state?db=false', signed: true },
        { method: 'POST', target: '/state?action=dropcaches', signed: true },
        post('/images', manifest),
        post(`/images/${uuid}?action=import`, manifest),
        post(`/images/${uuid}?action=import&source=ftp%3A%2F%2Fa%3Ab%40c%2F&import_id=${uuid}`, '{}'),
        { method: 'PUT', target: `/images/${uuid}/file?source=c%3A%2F%2Fa%40b&storage=local`, signed: true },
        post(`/images/${uuid}?action=update`, '{"description":"d","tags":{"a":1},"acl":null,"files":[{}]}'),
        post(`/images/${uuid}?action=activate`, '{}'),
        post(`/images/${uuid}?action=change-stor&stor=local`, '{}'),
        post(`/images/${uuid}/acl?action=remove`, `["${uuid}"]`),
        {
            method: 'PUT',
            target: `/images/${uuid}/file?compression=gzip&sha1=00`,
            headers: { expect: '100-continue', 'content-type': 'application/octet-stream' },
            body: 'some bytes',
            signed: true,
        },
        {
            method: 'PUT',
            target: `/images/${uuid}/icon`,
            headers: { 'content-type': 'image/png', 'content-md5': 'x' },
            body: 'some bytes',
            signed: true,
        },
        { method: 'DELETE', target: `/images/${uuid}/icon?force_all_channels=true`, signed: true },
        {
            method: 'POST',
            target: '/images',
            headers: { ...json, 'content-encoding': 'gzip' },
            body: 'not gzip',
            signed: true,
        },
        {
            method: 'POST',
            target: '/images',
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
            body: 'name=a&__proto__=b',
            signed: true,
        },
    ];
}

/** The bytes of a request; without a key nothing is signed. */
export function serialise(seed: Seed, key?: SigningKey): Buffer {
    const body = Buffer.from(seed.body ?? '');
    const headers: Record<string, string> = {
        host: '127.0.0.1',
        connection: 'close',
        ...(seed.body === undefined ? {} : { 'content-length': String(body.length) }),
        ...(seed.signed === true && key !== undefined ? signatureHeaders(key) : {}),
        ...seed.headers,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return Buffer.concat([
        Buffer.from(`${seed.method} ${seed.target} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1'),
        body,
    ]);
}

/** Pieces that parsers stumble over. */
const TOKENS = [
    '%',
    '%00',
    '%zz',
    '%2e%2e%2f',
    '..',
    '//',
    '\0',
    '\r\n',
    '\r\n\r\n',
    ' ',
    '\t',
    '"',
    "'",
    '{',
    '[',
    '}',
    ']',
    ',',
    ':',
    ';',
    '=',
    '&',
    '?',
    '#',
    '*',
    '~',
    '!',
    '__proto__',
    'constructor',
    'toString',
    'null',
    'true',
    'undefined',
    'NaN',
    '-1',
    '0',
    '1e309',
    '99999999999999999999',
    '\u00e9',
    '\ud83d\ude00',
    'a'.repeat(3000),
    'transfer-encoding: chunked\r\n',
    'content-length: 5\r\n',
    'expect: 100-continue\r\n',
    'HTTP/1.0',
    'HTTP/2.0',
    'bytes=-0',
    'bytes=5-1',
    'Signature keyId="constructor",algorithm="hmac-sha256",signature="eA=="',
];

type Mutation =
    | { readonly kind: 'flip'; readonly at: number; readonly byte: number }
    | { readonly kind: 'insert'; readonly at: number; readonly token: string }
    | { readonly kind: 'remove'; readonly at: number; readonly length: number }
    | { readonly kind: 'repeat'; readonly at: number; readonly length: number };

const share = fc.double({ min: 0, max: 1, noNaN: true });

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
    fc.record({ kind: fc.constant('flip' as const), at: share, byte: fc.nat(255) }),
    fc.record({ kind: fc.constant('insert' as const), at: share, token: fc.constantFrom(...TOKENS) }),
    fc.record({ kind: fc.constant('remove' as const), at: share, length: fc.nat(20) }),
    fc.record({ kind: fc.constant('repeat' as const), at: share, length: fc.nat(40) }),
);

function mutate(bytes: Buffer, change: Mutation): Buffer {
    const at = Math.floor(change.at * bytes.length);
    const head = bytes.subarray(0, at);
    const tail = bytes.subarray(at);
    switch (change.kind) {
        case 'flip':
            return Buffer.concat([head, Buffer.from([change.byte]), tail.subarray(1)]);
        case 'insert':
            return Buffer.concat([head, Buffer.from(change.token), tail]);
        case 'remove':
            return Buffer.concat([head, tail.subarray(change.length)]);
        case 'repeat':
            return Buffer.concat([head, tail.subarray(0, change.length), tail]);
    }
}

/** JSON of any shape, with keys that matter to the server among them. */
const anyJson = fc.oneof(
    fc.json(),
    fc
        .dictionary(
            fc.constantFrom(
                'v',
                'uuid',
                'owner',
                'name',
                'version',
                'type',
                'os',
                'public',
                'disabled',
                'state',
                'files',
                'icon',
                'acl',
                'tags',
                'traits',
                'billing_tags',
                'requirements',
                'users',
                'channels',
                'origin',
                'error',
                'published_at',
                'urn',
                'creator_uuid',
                '__proto__',
                'constructor',
            ),
            fc.jsonValue(),
        )
        .map((value) => JSON.stringify(value)),
);

/** Requests as bytes: valid ones with up to four mutations, and valid ones with any JSON as body. */
export function fuzzedRequests(all: readonly Seed[], key?: SigningKey): fc.Arbitrary<Buffer> {
    const withBody = all.filter((seed) => seed.headers?.['content-type'] === 'application/json');
    return fc.oneof(
        {
            weight: 4,
            arbitrary: fc
                .tuple(fc.constantFrom(...all), fc.array(mutation, { minLength: 1, maxLength: 4 }))
                .map(([seed, changes]) => changes.reduce(mutate, serialise(seed, key))),
        },
        {
            weight: 1,
            arbitrary: fc
                .tuple(fc.constantFrom(...withBody), anyJson)
                .map(([seed, body]) => serialise({ ...seed, body }, key)),
        },
        {
            weight: 1,
            arbitrary: fc
                .tuple(fc.constantFrom(...all), fc.webPath(), fc.webQueryParameters())
                .map(([seed, path, query]) =>
                    serialise({ ...seed, target: `${path === '' ? '/' : path}?${query}` }, key),
                ),
        },
    );
}
