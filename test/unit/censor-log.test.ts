import fc from 'fast-check';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { censorAuthorization } from '#lib/base/censor-text.js';
import { censor, censorHeaders, censorUrl } from '#lib/base/censor.js';
import { parseLogLevel } from '#lib/base/log-level.js';
import { createLogger, setLogLevel, type LogOptions } from '#lib/base/log.js';

const SECRET = 'hunter2-S3CRET';
const PEM = `-----BEGIN EC PRIVATE KEY-----\nMHc${SECRET}\n-----END EC PRIVATE KEY-----`;

/** A logger and the records it has written. */
function captured(options: LogOptions = {}) {
    const lines: string[] = [];
    const log = createLogger({ ...options, stream: { write: (line) => lines.push(line) } });
    return { log, lines, records: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

await t.test('URLs in texts', (test) => {
    for (const [text, expected] of [
        ['http://u:pw@proxy:3128/x', 'http://***@proxy:3128/x'],
        ['at https://tok3n@host, then', 'at https://***@host, then'],
        ['http://u:p@ss@host/a@b', 'http://***@host/a@b'],
        ['http://u:p%2Fw%40x@host/', 'http://***@host/'],
        ['http://host/p?x=a@b', 'http://host/p?x=a@b'],
        ['mail bob@example.com', 'mail bob@example.com'],
        ['https://h/f?sig=abc%2B&x=1', 'https://h/f?sig=***&x=1'],
        ['https://h/f?a=1&X-Amz-Signature=ff#frag', 'https://h/f?a=1&X-Amz-Signature=***#frag'],
        ['"https://h/f?TOKEN=abc", next', '"https://h/f?TOKEN=***", next'],
        ['/images?design=a&signal=b&tokens=c', '/images?design=a&signal=b&tokens=c'],
        [
            '/images/x?action=import&source=https%3A%2F%2Fu%3Apw%40h%2Ff%3Fsig%3Dabc%26y%3D1&account=z',
            '/images/x?action=import&source=https%3A%2F%2F***%40h%2Ff%3Fsig%3D***%26y%3D1&account=z',
        ],
        ['/i?source=https://u:pw@h/f%3Ftoken=abc&b=1', '/i?source=https://***@h/f%3Ftoken=***&b=1'],
        ['/images?repo=u:pw@h/a&tag=1', '/images?repo=***@h/a&tag=1'],
        ['/i?a=1&repo=u%3Ap%2Bw%40h%3A5000%2Fa', '/i?a=1&repo=***@h%3A5000%2Fa'],
        ['/push?repoAndTag=u:pw@h/a:1', '/push?repoAndTag=***@h/a:1'],
        ['/push?repoAndTag=h:5000/a@sha256:ab', undefined],
        ['/push?repoAndTag=h%3A5000%2Fa%40sha256%3Aab', undefined],
        [`key: ${PEM} end`, 'key: *** end'],
        [PEM.slice(0, 50), '***'],
        ['-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----', undefined],
    ] as const) {
        test.equal(censorUrl(text), expected ?? text);
    }
    test.end();
});

await t.test('authorization headers', (test) => {
    for (const [value, expected] of [
        [
            `Signature keyId="/bob/keys/a",algorithm="rsa-sha256",headers="date",signature="${SECRET}"`,
            'Signature keyId="/bob/keys/a",algorithm="rsa-sha256",***',
        ],
        [`Signature signature="${SECRET}", algorithm="hs2019"`, 'Signature algorithm="hs2019",***'],
        [`Basic ${SECRET}`, 'Basic ***'],
        [`Bearer ${SECRET}`, 'Bearer ***'],
        [SECRET, '***'],
        ['', '***'],
    ] as const) {
        test.equal(censorAuthorization(value), expected);
    }
    test.same(
        censorHeaders({
            Authorization: `Basic ${SECRET}`,
            'proxy-authorization': [`Basic ${SECRET}`],
            Cookie: [SECRET, SECRET],
            'x-registry-auth': SECRET,
            'x-registry-config': SECRET,
            'x-auth-token': SECRET,
            accept: '*/*',
        }),
        {
            Authorization: 'Basic ***',
            'proxy-authorization': ['Basic ***'],
            Cookie: '***',
            'x-registry-auth': '***',
            'x-registry-config': '***',
            'x-auth-token': '***',
            accept: '*/*',
        },
    );
    test.end();
});

await t.test('secret keys at any depth', (test) => {
    const value = {
        ufds: { bindPassword: SECRET, bindDN: 'cn=root' },
        rootPass: SECRET,
        pass: { nested: SECRET },
        myPassword: SECRET,
        clientSecret: [SECRET],
        authToken: SECRET,
        identitytoken: 12345,
        privateKey: SECRET,
        dockerIdentityToken: false,
        generate_passwords: true,
        passphrase_hint: 'kept',
        authKeys: { bob: ['ssh-rsa AAAA'] },
        credentials: { username: 'bob', auth: SECRET },
        auth: { type: 'signature' },
        token: null,
        list: [`http://u:${SECRET}@h`, { url: `https://h/?token=${SECRET}` }],
    };
    const before = structuredClone(value);
    test.same(censor(value), {
        ufds: { bindPassword: '***', bindDN: 'cn=root' },
        rootPass: '***',
        pass: '***',
        myPassword: '***',
        clientSecret: '***',
        authToken: '***',
        identitytoken: '***',
        privateKey: '***',
        dockerIdentityToken: false,
        generate_passwords: true,
        passphrase_hint: 'kept',
        authKeys: { bob: ['ssh-rsa AAAA'] },
        credentials: { username: 'bob', auth: '***' },
        auth: { type: 'signature' },
        token: null,
        list: ['http://***@h', { url: 'https://h/?token=***' }],
    });
    test.same(value, before, 'the argument is unchanged');
    const clean = Object.freeze({ a: [1, { b: 'c' }], d: new Date(0) });
    test.equal(censor(clean), clean, 'a value without secrets is returned as it is');
    test.end();
});

await t.test('shapes that are not plain data', (test) => {
    const cycle: Record<string, unknown> = { name: 'x', secret: SECRET };
    cycle['self'] = cycle;
    test.same(censor(cycle), { name: 'x', secret: '***', self: '[circular]' });
    const shared = { a: 1 };
    test.same(censor([shared, shared]), [{ a: 1 }, { a: 1 }], 'the same value twice is no cycle');

    let deep: unknown = SECRET;
    for (let level = 0; level < 10_000; level += 1) {
        deep = { deep };
    }
    const text = JSON.stringify(censor(deep));
    test.ok(text.includes('[too deep]') && !text.includes(SECRET));

    test.same(censor({ data: Buffer.from(SECRET), big: 10n }), { data: '[14 bytes]', big: '10' });
    test.same(censor({ url: new URL(`http://u:${SECRET}@h/`) }), { url: 'http://***@h/' });
    const error = Object.assign(new Error(`http://u:${SECRET}@h`, { cause: new Error(`?token=${SECRET}`) }), {
        code: 'EX',
    });
    const record = censor({ error }).error;
    test.match(record, { name: 'Error', message: 'http://***@h', code: 'EX' });
    test.notOk(JSON.stringify(record).includes(SECRET));
    test.match(record.stack, /Caused by: Error: \?token=\*\*\*/);
    test.end();
});

await t.test('properties: no change of the argument, no planted secret survives, same again', (test) => {
    const planted = fc.constantFrom(
        { password: SECRET },
        { headers: { authorization: `Signature keyId="k",signature="${SECRET}"` } },
        [`x http://bob:${SECRET}@host/y`],
        { note: PEM },
        `GET https://h/f?x=1&sig=${SECRET}`,
    );
    test.doesNotThrow(() =>
        fc.assert(
            fc.property(fc.jsonValue({ maxDepth: 4 }), planted, (data, secret) => {
                const value = { data, inner: [{ secret_free: secret, data }] };
                const before = JSON.stringify(value);
                const censored = censor({ data, inner: [{ x: secret, data }] });
                return (
                    JSON.stringify(value) === before &&
                    !JSON.stringify(censored).includes(SECRET) &&
                    censor(censored) === censored
                );
            }),
            { numRuns: 300 },
        ),
    );
    test.doesNotThrow(() =>
        fc.assert(
            fc.property(
                fc.array(
                    fc.constantFrom(
                        '://',
                        '@',
                        '%2F',
                        '%3A',
                        ':',
                        '?',
                        '&',
                        'sig=',
                        '%3D',
                        'a',
                        '-----BEGIN PRIVATE KEY-----',
                    ),
                    {
                        maxLength: 60,
                    },
                ),
                (parts) => typeof censorUrl(parts.join('')) === 'string',
            ),
        ),
    );
    test.end();
});

await t.test('long hostile texts take linear time', (test) => {
    for (const part of [
        '://',
        '%3A%2F%2F',
        '?sig',
        '%3Ftoken',
        '-----BEGIN PRIVATE KEY-----',
        '://a',
        '?token=',
        'a@=%',
        '?repo=a',
        '?repo=a:',
    ]) {
        const start = process.hrtime.bigint();
        censorUrl(`${part.repeat(200_000)} = % @ PRIVATE KEY`);
        const ms = Number(process.hrtime.bigint() - start) / 1e6;
        test.ok(ms < 2000, `${part}: ${ms.toFixed(0)} ms`);
    }
    test.end();
});

await t.test('levels', (test) => {
    for (const [level, expected] of [
        ['info', 30],
        ['INFO', 30],
        ['trace', 10],
        [20, 20],
        [5, 5],
        ['35', 35],
        ['loud', undefined],
        ['', undefined],
        ['toString', undefined],
        [0, undefined],
        [-1, undefined],
        [1.5, undefined],
        [null, undefined],
        [{}, undefined],
    ] as const) {
        test.equal(parseLogLevel(level), expected, JSON.stringify(level));
    }
    test.throws(() => createLogger({ level: 'loud' }), { message: 'invalid log level: loud' });
    test.end();
});

await t.test('records', (test) => {
    const { log, lines, records } = captured({ level: 'info' });
    log.debug('not written');
    log.child({ component: 'db' }).info({ stor: 'local' }, 'hello %s', 'you');
    log.error(new Error(`no http://u:${SECRET}@h`), 'failed');
    test.ok(lines.every((line) => line.endsWith('\n') && line.indexOf('\n') === line.length - 1));
    const [hello, failed] = records();
    test.match(hello, {
        name: 'imgapi',
        hostname: String,
        pid: process.pid,
        level: 30,
        component: 'db',
        stor: 'local',
        msg: 'hello you',
        time: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
        v: 0,
    });
    test.notOk('src' in (hello ?? {}));
    test.match(failed, {
        level: 50,
        msg: 'failed',
        err: { message: 'no http://***@h', name: 'Error', stack: /Error/ },
    });
    test.end();
});

await t.test('nothing secret leaves, whatever field it is in', (test) => {
    const { log, lines, records } = captured();
    log.info(
        {
            config: {
                manta: { key: '/path' },
                httpProxy: `http://u:${SECRET}@p`,
                ufds: { bindPassword: SECRET },
            },
            req: { method: 'POST', url: `/x?token=${SECRET}`, headers: { authorization: `Basic ${SECRET}` } },
            res: { statusCode: 200, headers: { 'x-auth-token': SECRET } },
            image: { raw: { uuid: 'u', description: PEM }, token: 't' },
            anything: [{ authToken: SECRET }],
        },
        `fetching https://h/?sig=${SECRET}`,
    );
    log.child({ source: `https://u:${SECRET}@h/` }).warn(`text ${PEM}`);
    test.equal(lines.length, 2);
    test.notOk(lines.join('').includes(SECRET));
    test.match(records()[0], {
        config: { manta: { key: '/path' } },
        image: { uuid: 'u' },
        req: { method: 'POST', headers: { authorization: 'Basic ***' } },
    });
    test.end();
});

await t.test('what cannot be serialized still leaves a record', (test) => {
    const { log, records } = captured();
    const hostile = {
        get value(): string {
            throw new Error('no');
        },
    };
    log.info({ hostile }, 'kept');
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    log.info({ cycle, big: 1n }, 'cycle');
    test.match(records(), [
        { name: 'imgapi', level: 30, msg: 'kept', unserializable: 'no', v: 0 },
        { msg: 'cycle', cycle: { self: '[circular]' }, big: '1' },
    ]);
    test.end();
});

await t.test('node requests and responses', async (test) => {
    const { log, records } = captured();
    const server = createServer((req, res) => {
        res.setHeader('x-auth-token', SECRET);
        res.end('ok', () => log.info({ req, res }, 'served'));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    test.teardown(() => server.close());
    const { port } = server.address() as AddressInfo;
    await new Promise<void>((resolve, reject) => {
        const request = get(
            { port, path: `/ping?token=${SECRET}`, headers: { cookie: SECRET }, agent: false },
            (response) => {
                log.info({ client_req: request, client_res: response }, 'asked');
                response.resume().on('end', resolve);
            },
        );
        request.on('error', reject);
    });
    const said = (message: string) => records().find((record) => record['msg'] === message);
    test.match(said('served'), {
        req: {
            method: 'GET',
            url: '/ping?token=***',
            httpVersion: '1.1',
            headers: { cookie: '***' },
            remoteAddress: '127.0.0.1',
            remotePort: Number,
        },
        res: { statusCode: 200, headers: { 'x-auth-token': '***' } },
    });
    test.match(said('asked'), {
        client_req: { method: 'GET', url: '/ping?token=***', headers: { cookie: '***' } },
        client_res: { statusCode: 200, headers: { 'x-auth-token': '***' } },
    });
});

await t.test('a change of level reaches all loggers of the process', (test) => {
    const { log, lines, records } = captured({ level: 'info' });
    const component = log.child({ component: 'db' });
    const request = component.child({ req_id: 'r' }, true);
    request.debug('no');
    test.equal(request.debug(), false);
    setLogLevel(log, 'debug');
    test.equal(request.debug(), true);
    request.debug('yes');
    component.debug('yes');
    setLogLevel(request, 'warn');
    log.info('no');
    test.equal(log.level(), 40);
    setLogLevel(log, 'trace');
    component.trace('with source');
    setLogLevel(log, 'trace', false);
    component.trace('without source');
    test.equal(lines.length, 4);
    test.match(records(), [
        { msg: 'yes', component: 'db', req_id: 'r' },
        { msg: 'yes', component: 'db' },
        { msg: 'with source', src: { file: /censor-log\.test/, line: Number } },
        { msg: 'without source' },
    ]);
    test.notOk('src' in (records()[3] ?? {}));
    test.throws(() => setLogLevel(log, 'loud'), { message: 'invalid log level: loud' });
    test.end();
});
