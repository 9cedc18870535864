// HTTP signatures (http-api 1.11): the level of every route, every refusal with its words, every kind of key.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { rawExchange, type Answer } from '../helpers/http-client.js';
import { FATHER, PNG, UNKNOWN, USERS, gzipFile, manifest } from '../helpers/images.js';
import { UNAUTHORIZED, expectError, type ExpectedError } from '../helpers/rows.js';
import { eventually } from '../helpers/server-process.js';
import { createKey, signatureHeaders, type SigningKey } from '../helpers/signing.js';
import { startServer } from '../helpers/start-server.js';

const keys = {
    rsa: createKey('many'),
    ecdsa: createKey('many', 'ecdsa'),
    ed25519: createKey('many', 'ed25519'),
};
const stranger = createKey('operator');
const { server, client, guest, key } = await startServer(t, { authKeys: undefined }, [
    {
        uuid: FATHER,
        name: 'father',
        owner: USERS.vader,
        activated: true,
        published_at: '2012-01-01T00:00:00.000Z',
        file: gzipFile('father'),
        icon: PNG,
    },
]);

/** Puts public keys into a key file of the base directory. */
function writeKeyFile(directory: string, user: string, lines: readonly string[]): void {
    mkdirSync(join(server.baseDir, 'etc', directory, 'local'), { recursive: true });
    writeFileSync(join(server.baseDir, 'etc', directory, 'local', `${user}.keys`), `${lines.join('\n')}\n`);
}

async function signsIn(signer: SigningKey): Promise<boolean> {
    return (await guest.get('/state?db=false', { headers: signatureHeaders(signer) })).status === 200;
}

await t.test('no keys at first; files are noticed', async (test) => {
    test.ok(
        await server.waitForLog((record) => record.msg === 'authType=signature but no keys loaded'),
        'a warning at start',
    );
    test.notOk(await signsIn(key), 'nobody may write');
    writeKeyFile('keys', 'operator', ['# the operator', '', 'not a key at all', key.publicLine]);
    await eventually('the new key file is read', 10_000, () => signsIn(key));
    writeKeyFile('authkeys', 'many', [keys.rsa.publicLine, keys.ecdsa.publicLine, keys.ed25519.publicLine]);
    const reload = await client.post('/authkeys/reload');
    test.strictSame([reload.status, reload.text], [200, '{}']);
    for (const [kind, signer] of Object.entries(keys))
        test.ok(await signsIn(signer), `${kind} right after a reload`);
    test.notOk(await signsIn(stranger), "another key under somebody's name");
});

const STRICT: readonly (readonly [method: string, path: string])[] = [
    ['POST', '/images'],
    ['POST', '/images?action=nope'],
    ['POST', `/images/${FATHER}?action=activate`],
    ['POST', `/images/${FATHER}?action=disable`],
    ['POST', `/images/${FATHER}?action=enable`],
    ['POST', `/images/${FATHER}?action=update`],
    ['POST', `/images/${UNKNOWN}?action=update`],
    ['POST', `/images/${FATHER}?action=channel-add`],
    ['POST', `/images/${FATHER}?action=change-stor`],
    ['POST', `/images/${UNKNOWN}?action=import`],
    ['POST', `/images/${FATHER}?action=nope`],
    ['POST', '/images/not-a-uuid'],
    ['DELETE', `/images/${FATHER}`],
    ['DELETE', `/images/${UNKNOWN}`],
    ['PUT', `/images/${FATHER}/file`],
    ['PUT', `/images/${UNKNOWN}/file?compression=gzip`],
    ['PUT', `/images/${FATHER}/icon`],
    ['DELETE', `/images/${FATHER}/icon`],
    ['POST', `/images/${FATHER}/acl`],
    ['POST', `/images/${FATHER}/acl?action=remove`],
    ['GET', '/state'],
    ['POST', '/state?action=dropcaches'],
    ['POST', '/authkeys/reload'],
];
const PASSIVE = ['/images', `/images/${FATHER}`, '/ping', '/health'];
const NONE = [`/images/${FATHER}/file`, `/images/${FATHER}/icon`, '/datasets', '/docs', '/'];
const CHALLENGE = 'Signature realm="imgapi",headers="date"';

await t.test('levels', async (test) => {
    const broken = { headers: { 'content-type': 'application/json' }, body: '{' };
    for (const [method, path] of STRICT) {
        for (const options of method === 'GET' ? [{}] : [{}, broken]) {
            const answer = await guest.request(method, path, options);
            expectError(test, answer, UNAUTHORIZED, `strict: ${method} ${path} ${JSON.stringify(options)}`);
            test.equal(answer.header('www-authenticate'), CHALLENGE);
        }
    }
    const headers = { authorization: 'Signature keyId="x"' };
    for (const path of PASSIVE) {
        test.equal((await guest.get(path)).status, 200, `passive: ${path} without a header`);
        const empty = await guest.get(path, { headers: { authorization: '' } });
        test.equal(empty.status, 200, `passive: ${path} with an empty one`);
        const bad = await guest.get(path, { headers });
        const expected = { ...UNAUTHORIZED, message: 'algorithm was not specified' };
        expectError(test, bad, expected, `passive: ${path} with a bad one`);
        test.equal(bad.header('www-authenticate'), CHALLENGE);
        test.equal((await client.get(path)).status, 200, `passive: ${path} with a good one`);
    }
    for (const path of NONE) {
        const plain = await guest.get(path);
        const bad = await guest.get(path, { headers });
        test.equal(bad.status, plain.status, `none: ${path} does not look at the header`);
        test.not(bad.status, 401);
    }
    const notUuid = await guest.get('/images/foo', { headers });
    test.equal(notUuid.status, 404, 'GetImage looks at the uuid first');
});

await t.test('what is signed', async (test) => {
    const now = new Date().toUTCString();
    const sign = (
        text: string,
        signer: SigningKey,
        algorithm: string,
        hash: string,
        headers?: string,
    ): string =>
        `Signature keyId="${signer.user}",algorithm="${algorithm}"` +
        (headers === undefined ? '' : `,headers="${headers}"`) +
        `,signature="${signer.sign(text, hash)}"`;
    const date = `date: ${now}`;
    const host = `host: 127.0.0.1:${server.port}`;
    const good: Readonly<Record<string, Record<string, string>>> = {
        'rsa-sha1': { date: now, authorization: sign(date, key, 'rsa-sha1', 'sha1') },
        'rsa-sha256': { date: now, authorization: sign(date, key, 'rsa-sha256', 'sha256') },
        'rsa-sha512': { date: now, authorization: sign(date, key, 'rsa-sha512', 'sha512') },
        'RSA-SHA256': { date: now, authorization: sign(date, key, 'RSA-SHA256', 'sha256') },
        'ecdsa-sha256': { date: now, authorization: sign(date, keys.ecdsa, 'ecdsa-sha256', 'sha256') },
        'ecdsa-sha384': { date: now, authorization: sign(date, keys.ecdsa, 'ecdsa-sha384', 'sha384') },
        'ecdsa-sha512': { date: now, authorization: sign(date, keys.ecdsa, 'ecdsa-sha512', 'sha512') },
        'ed25519-sha512': { date: now, authorization: sign(date, keys.ed25519, 'ed25519-sha512', '') },
        'date and host': {
            date: now,
            authorization: sign(`${date}\n${host}`, key, 'rsa-sha256', 'sha256', 'date host'),
        },
        'capital letters': {
            date: now,
            authorization: sign(`${date}\n${host}`, key, 'rsa-sha256', 'sha256', 'Date HOST'),
        },
        'x-date': { 'x-date': now, authorization: sign(`x-date: ${now}`, key, 'rsa-sha256', 'sha256') },
        'x-date wins over date': {
            date: 'Tue, 08 Jan 2013 20:04:01 GMT',
            'x-date': now,
            authorization: sign(`x-date: ${now}`, key, 'rsa-sha256', 'sha256'),
        },
        'request line': {
            date: now,
            authorization: sign(
                `GET /state?db=false HTTP/1.1\n${date}`,
                key,
                'rsa-sha256',
                'sha256',
                'request-line date',
            ),
        },
        'request target': {
            date: now,
            authorization: sign(
                `(request-target): get /state?db=false\n${date}`,
                key,
                'rsa-sha256',
                'sha256',
                '(request-target) date',
            ),
        },
    };
    for (const [name, headers] of Object.entries(good)) {
        const answer = await guest.get('/state?db=false', { headers });
        test.equal(answer.status, 200, `${name}: ${answer.text.slice(0, 120)}`);
    }
    const bad: Readonly<Record<string, Record<string, string>>> = {
        'another text': { date: now, authorization: sign('date: x', key, 'rsa-sha256', 'sha256') },
        'another hash': { date: now, authorization: sign(date, key, 'rsa-sha256', 'sha512') },
        'an RSA key as ECDSA': { date: now, authorization: sign(date, key, 'ecdsa-sha256', 'sha256') },
        'an ECDSA key as RSA': { date: now, authorization: sign(date, keys.ecdsa, 'rsa-sha256', 'sha256') },
        'a strange key': { date: now, authorization: sign(date, stranger, 'rsa-sha256', 'sha256') },
    };
    for (const [name, headers] of Object.entries(bad)) {
        expectError(test, await guest.get('/state', { headers }), UNAUTHORIZED, name);
    }
});

const refusal = (message: string): ExpectedError => ({ ...UNAUTHORIZED, message });
const whole = 'keyId="operator",algorithm="rsa-sha256",signature="AAAA"';
const now = (): string => new Date().toUTCString();
const ago = (seconds: number): string => new Date(Date.now() - seconds * 1000).toUTCString();

const REFUSALS: readonly (readonly [
    authorization: string,
    message: string,
    headers?: Record<string, string>,
])[] = [
    ['Signature', 'keyId was not specified'],
    ['Basic', 'scheme was not "Signature"'],
    [`Basic ${whole}`, 'scheme was not "Signature"'],
    [`signature ${whole}`, 'scheme was not "Signature"'],
    ['Basic dXNlcjpwdw==', 'bad param format'],
    ['Signature nonsense', 'keyId was not specified'],
    ['Signature keyId="operator";algorithm="x"', 'bad param format'],
    ['Signature keyId=operator', 'bad param format'],
    ['Signature key-id="operator"', 'bad param format'],
    ['Signature algorithm="rsa-sha256",signature="AAAA"', 'keyId was not specified'],
    ['Signature keyId="operator",signature="AAAA"', 'algorithm was not specified'],
    ['Signature keyId="operator",algorithm="rsa-sha256"', 'signature was not specified'],
    ['Signature keyId="operator",algorithm="rot13",signature="AAAA"', 'rot13 is not supported'],
    [`Signature ${whole},headers="date x-absent"`, 'x-absent was not in the request'],
    [
        'Signature keyId="operator",algorithm="hmac-sha256",signature="AAAA"',
        'Unauthorized ("HMAC-SHA256" is not a supported http-signature signing algorithm)',
    ],
    [`Signature ${whole},headers="host"`, 'date was not a signed header'],
    [`Signature ${whole},headers="date"`, 'x-date was not a signed header', { 'x-date': now() }],
    [`Signature ${whole}`, 'invalid date header', { date: 'yesterday' }],
    ['Signature keyId="nobody",algorithm="rsa-sha256",signature="AAAA"', 'Unauthorized'],
    ['Signature keyId="constructor",algorithm="rsa-sha256",signature="AAAA"', 'Unauthorized'],
    ['Signature keyId="__proto__",algorithm="rsa-sha256",signature="AAAA"', 'Unauthorized'],
    [`Signature ${whole}`, 'Unauthorized'],
    ['Signature keyId="operator",algorithm="rsa-sha256",signature="%%%"', 'Unauthorized'],
];

await t.test('refusals', async (test) => {
    for (const [authorization, message, more] of REFUSALS) {
        const headers = { date: now(), authorization, ...more };
        const name = `${authorization} ${JSON.stringify(more ?? {})}`;
        expectError(test, await guest.get('/ping', { headers }), refusal(message), name);
        expectError(test, await guest.post('/images', {}, { headers }), refusal(message), `${name} (strict)`);
    }
    const noDate = await rawExchange(
        server.port,
        `GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Signature ${whole}\r\n\r\n`,
    );
    test.match(noDate, /"date was not in the request"/, 'the default header must be there');
});

await t.test('the clock', async (test) => {
    const at = async (seconds: number): Promise<Answer> =>
        guest.get('/state?db=false', { headers: signatureHeaders(key, new Date(Date.parse(ago(seconds)))) });
    test.equal((await at(290)).status, 200, 'almost five minutes ago');
    test.equal((await at(-290)).status, 200, 'almost five minutes ahead');
    for (const seconds of [310, -320, 86_400]) {
        const answer = await at(seconds);
        test.equal(answer.status, 401);
        const skew = /^clock skew of ([\d.]+)s was greater than 300s$/.exec(answer.error.message)?.[1];
        test.ok(Math.abs(Number(skew) - Math.abs(seconds)) <= 3, answer.error.message);
    }
});

await t.test('keys go, too', async (test) => {
    writeKeyFile('authkeys', 'many', [keys.ecdsa.publicLine]);
    test.equal((await client.post('/authkeys/reload')).status, 200);
    test.notOk(await signsIn(keys.rsa), 'a key that is no longer in the file');
    test.ok(await signsIn(keys.ecdsa));
    const created = await guest.post('/images', manifest(), { headers: signatureHeaders(keys.ecdsa) });
    test.equal(created.status, 200, 'any user may do everything');
});

await t.test('without authentication', async (outer) => {
    const side = await startServer(outer, { authType: 'none' });
    const headers = { authorization: 'Signature nonsense' };
    const created = await side.guest.post('/images', manifest(), { headers });
    outer.equal(created.status, 200, 'the header is ignored and writing is open');
    const ping = await side.client.get('/ping');
    outer.notOk('user' in ping.document || 'pid' in ping.document, 'nobody is authenticated');
    outer.strictSame((await side.client.get('/images?state=all')).uuids, [], 'so lists are those of anybody');
    outer.equal((await side.guest.get('/state')).status, 200);
    outer.strictSame((await side.guest.post('/authkeys/reload')).json, {});
    outer.strictSame(
        (await side.guest.get('/health')).json,
        { status: 'ok' },
        'and health is without details',
    );
});
