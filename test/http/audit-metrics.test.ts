import type { Config } from '#lib/base/config-types.js';
import { createLogger } from '#lib/base/log.js';
import { ApiError } from '#lib/base/errors.js';
import { MetricsListener } from '#lib/http/metrics-listener.js';
import { RequestMetrics, staticLabels } from '#lib/http/metrics.js';
import type { Route } from '#lib/http/route.js';
import { createHttpServer } from '#lib/http/server.js';
import fc from 'fast-check';
import t from 'tap';
import { HttpClient } from '../helpers/http-client.js';
import { recordingLog, type LogRecord } from '../helpers/recording-log.js';
import { eventually, row, startShell } from '../helpers/shell-server.js';

const ROUTES: readonly Route[] = [
    row('GET', '/ping', 'Ping', () => ({ kind: 'json', value: 'pong' }), { quiet: 'always' }),
    row(
        'GET',
        '/docs/*',
        'PublicDocs',
        () => {
            throw new ApiError('ResourceNotFound', 'no page');
        },
        { quiet: 'always' },
    ),
    row(
        'GET',
        '/health',
        'Health',
        (x) => ({ kind: 'json', value: {}, status: x.query.get('down') ? 503 : 200 }),
        {
            quiet: 'ok',
        },
    ),
    row('GET', '/images', 'ListImages', () => ({ kind: 'text', parts: [Buffer.from('[1]')] })),
    row('POST', '/images', 'CreateImage', async (x) => {
        x.noteUser('vader');
        const body = await x.readBody();
        return { kind: 'text', parts: [Buffer.from(JSON.stringify(body.present ? body.value : {}))] };
    }),
    row('POST', '/images/:uuid', 'UpdateImage', () => {
        throw new ApiError('InternalError', 'could not save image', { cause: new Error('the cause') });
    }),
    row('PUT', '/images/:uuid/file', 'AddImageFile', async (x) => {
        let size = 0;
        for await (const chunk of x.startUpload()) size += (chunk as Buffer).length;
        return { kind: 'json', value: { size } };
    }),
    row('POST', '/authkeys/reload', 'AdminReload-Auth Keys', () => ({ kind: 'json', value: {} })),
];

type Fields = Readonly<Record<string, unknown>>;

function part(record: LogRecord, name: string): Fields {
    return record[name] as Fields;
}

await t.test('audit records', async (t) => {
    const { client, audits, config } = await startShell(t, ROUTES);
    const last = async (count: number): Promise<LogRecord> => eventually(() => audits()[count - 1]);

    await client.get('/images?tag.a=1&limit=2&x=1&x=2', {
        headers: { 'request-id': 'r1', 'accept-version': '*' },
    });
    const list = await last(1);
    t.match(list, {
        level: 30,
        msg: 'handled: 200',
        route: 'listimages',
        audit: true,
        _audit: true,
        remoteAddress: '127.0.0.1',
        remotePort: Number,
        secure: false,
        req_id: 'r1',
        latency: Number,
    });
    for (const name of ['action', 'remoteUser', 'clientAddress', 'err']) t.notOk(name in list, name);
    const request = part(list, 'req');
    t.match(request, {
        method: 'GET',
        url: '/images?tag.a=1&limit=2&x=1&x=2',
        query: { 'tag.a': '1', limit: '2', x: ['1', '2'] },
        headers: { 'request-id': 'r1' },
        httpVersion: '1.1',
        trailers: {},
        version: '*',
        timers: { handle: Number, send: Number },
    });
    t.notOk('body' in request || 'body' in part(list, 'res'), 'a read that went well shows no bodies');
    t.match(part(list, 'res'), {
        statusCode: 200,
        trailer: false,
        headers: { Server: 'IMGAPI/test', 'x-request-id': 'r1' },
    });

    const body = { name: 'a', nested: { password: 'hush' } };
    await client.post('/images?action=go', body, {
        headers: {
            authorization: 'Signature keyId="vader",algorithm="rsa-sha256",signature="c2VjcmV0"',
            'x-registry-auth': 'hush',
        },
    });
    const create = await last(2);
    t.match(create, { action: 'go', remoteUser: 'vader', route: 'createimage' });
    t.equal(part(create, 'req')['version'], '~1');
    t.strictSame(part(create, 'req')['body'], { name: 'a', nested: { password: '***' } });
    t.strictSame(part(create, 'res')['body'], { name: 'a', nested: { password: '***' } });
    t.match(part(part(create, 'req') as unknown as LogRecord, 'headers'), {
        authorization: 'Signature keyId="vader",algorithm="rsa-sha256",***',
        'x-registry-auth': '***',
    });

    await client.get('/nope');
    const unknown = await last(3);
    t.strictSame([unknown['route'], unknown.msg], [null, 'handled: 404']);
    t.match(part(unknown, 'res')['body'], { code: 'ResourceNotFound' }, 'a failed read shows the body');

    await client.post('/images/abc', {});
    const failed = await last(4);
    t.match(failed['err'], {
        message: 'could not save image',
        name: 'InternalError',
        stack: /the cause/,
        code: 'InternalError',
    });
    t.same(part(failed, 'res')['body'], { code: 'InternalError', message: 'could not save image' });

    await client.put('/images/abc/file', Buffer.alloc(1000));
    t.notOk('body' in part(await last(5), 'req'), 'uploads have no body');
    await client.post('/authkeys/reload');
    t.equal((await last(6))['route'], 'adminreloadauthkeys', 'letters and digits only');

    config.trustedProxies = ['127.0.0.1'];
    await client.get('/images', {
        headers: { 'x-forwarded-for': '6.6.6.6, 192.0.2.1', 'x-forwarded-proto': 'https' },
    });
    t.match(await last(7), { clientAddress: '192.0.2.1', secure: true, remoteAddress: '127.0.0.1' });
    config.trustedProxies = [];
    await client.get('/images', {
        headers: { 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'https' },
    });
    t.notOk('clientAddress' in (await last(8)), 'only a trusted peer is believed');
    t.equal((await last(8))['secure'], false);
});

await t.test('long and deep bodies', async (t) => {
    const { client, audits } = await startShell(t, ROUTES);
    const long = { password: 'hush', text: '\u00e9'.repeat(20_000) };
    t.equal((await client.post('/images', long)).status, 200);
    const record = await eventually(() => audits()[0]);
    for (const name of ['req', 'res']) {
        t.equal(part(record, name)['bodyTruncated'], true);
        const text = String(part(record, name)['body']);
        t.match(text, /^\{"password":"\*\*\*","text":"\u00e9/, 'censored before it is cut');
        t.ok(Buffer.byteLength(text) <= 16_390);
    }
    const fitting = { text: 'x'.repeat(16_384 - 11) };
    t.equal(JSON.stringify(fitting).length, 16_384);
    await client.post('/images', fitting);
    t.strictSame(part(await eventually(() => audits()[1]), 'req')['body'], fitting, 'exactly 16 KiB');

    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const answer = await client.request('POST', '/images', { body: deep });
    t.ok([200, 500].includes(answer.status), 'nesting that exhausts the stack is survived');
    t.equal((await client.get('/ping')).status, 200);
});

await t.test('what is not audited', async (t) => {
    const { client, audits, metrics } = await startShell(t, ROUTES);
    await client.get('/ping');
    await client.request('HEAD', '/ping?error=x');
    await client.get('/ping', { headers: { 'accept-version': '~99' } });
    await client.get('/docs/');
    await client.get('/docs/missing');
    await client.get('/health');
    const audited: readonly (readonly [string, string])[] = [
        ['GET', '/health?down=1'],
        ['POST', '/ping'],
        ['GET', '/ping/'],
        ['GET', '/docs'],
        ['GET', '/images'],
    ];
    for (const [method, path] of audited) await client.request(method, path);
    await eventually(() => audits().length === audited.length);
    t.strictSame(
        audits().map((record) => [part(record, 'req')['method'], part(record, 'req')['url']]),
        audited,
    );
    const counted = (await metrics.text())
        .split('\n')
        .filter((line) => line.startsWith('http_requests_completed{'))
        .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    t.equal(counted, 6 + audited.length, 'but everything is counted');
});

await t.test('trace events', async (t) => {
    const { client, records, config } = await startShell(t, ROUTES);
    await client.get('/images');
    const events = (): unknown[] => records.filter((one) => 'evt' in one).map((one) => one['evt']);
    t.strictSame(events(), [], 'off by default');
    config.traceEvents = true;
    await client.get('/ping');
    await client.get('/images', { headers: { 'request-id': 'r1' } });
    config.traceEvents = false;
    config.fluentd_host = 'localhost';
    await client.get('/nope');
    await eventually(() => events().length === 4);
    t.strictSame(events(), [
        { name: 'listimages', ph: 'b', req_seq: 1 },
        { name: 'listimages', ph: 'e', req_seq: 1 },
        { name: 'unknown', ph: 'b', req_seq: 2 },
        { name: 'unknown', ph: 'e', req_seq: 2 },
    ]);
    t.equal(records.find((one) => 'evt' in one)?.['req_id'], 'r1');
});

await t.test('no planted secret reaches the log', async (t) => {
    const lines: string[] = [];
    const log = createLogger({
        level: 'trace',
        src: false,
        stream: { write: (line: string) => lines.push(line) },
    });
    const server = createHttpServer({
        routes: ROUTES,
        log,
        config: { current: { serverName: 'x', trustedProxies: [], traceEvents: true } as unknown as Config },
        isDraining: () => false,
    });
    const client = new HttpClient(await server.listen(0, '127.0.0.1'));
    const secret = 'S3cr3tValue';
    await client.post(
        `/images?source=${encodeURIComponent(`https://u:${secret}@h/?sig=${secret}&token=${secret}`)}&token=${secret}&sig=${secret}&X-Amz-Signature=${secret}`,
        {
            auth: secret,
            password: secret,
            url: `http://me:${secret}@x/`,
            big: 'x'.repeat(20_000),
            token: secret,
        },
        {
            headers: {
                authorization: `Signature keyId="a",algorithm="rsa-sha1",signature="${secret}"`,
                cookie: secret,
                'x-registry-auth': secret,
                'x-registry-config': secret,
                'x-auth-token': secret,
            },
        },
    );
    await eventually(() => lines.some((line) => line.includes('handled: ')));
    t.notMatch(lines.join(''), secret);
    t.match(lines.join(''), /keyId=\\"a\\"/);
    await server.close();
});

const ALL = { datacenter: 'dc', instance: 'in', server: 'se', service: 'imgapi' };

await t.test('the exposition of both metrics', async (t) => {
    const metrics = new RequestMetrics(ALL);
    const base = { route: 'listimages', method: 'GET', userAgent: 'curl/8.1 (x y)', status: 200 };
    metrics.observe({ ...base, seconds: 0.003 });
    metrics.observe({ ...base, seconds: 0.5 });
    metrics.observe({ ...base, seconds: 9999 });
    metrics.observe({ route: undefined, method: 'PUT', userAgent: undefined, status: 404, seconds: 0.25 });

    const labels = (route: string, method: string, agent: string, status: string): string =>
        `route="${route}",method="${method}",user_agent="${agent}",status_code="${status}",` +
        'datacenter="dc",instance="in",server="se",service="imgapi"';
    const one = labels('listimages', 'GET', 'curl/8.1', '200');
    const two = labels('unknown', 'PUT', 'unknown', '404');
    const bounds = ['0.001', '0.002', '0.004', '0.006', '0.008', '0.01', '0.02', '0.04', '0.06', '0.08']
        .concat(['0.1', '0.2', '0.4', '0.6', '0.8', '1', '2', '4', '6', '8', '10', '20', '40', '60', '80'])
        .concat(['100', '200', '400', '600', '800', '1000', '2000', '4000']);
    const histogram = (set: string, values: readonly number[]): string[] => [
        ...bounds.map(
            (le) =>
                `http_request_duration_seconds_bucket{${set},le="${le}"} ${values.filter((v) => v <= Number(le)).length}`,
        ),
        `http_request_duration_seconds_bucket{${set},le="+Inf"} ${values.length}`,
        `http_request_duration_seconds_sum{${set}} ${values.reduce((a, b) => a + b, 0)}`,
        `http_request_duration_seconds_count{${set}} ${values.length}`,
    ];
    const wanted = [
        '# HELP http_requests_completed count of requests completed',
        '# TYPE http_requests_completed counter',
        `http_requests_completed{${one}} 3`,
        `http_requests_completed{${two}} 1`,
        '',
        '# HELP http_request_duration_seconds total time to process requests',
        '# TYPE http_request_duration_seconds histogram',
        ...histogram(one, [0.003, 0.5, 9999]),
        ...histogram(two, [0.25]),
        '',
    ];
    t.strictSame((await metrics.text()).split('\n'), wanted);
});

await t.test('user agents', async (t) => {
    const metrics = new RequestMetrics(ALL);
    const agents = async (): Promise<string[]> => [
        ...new Set(
            [
                ...(await metrics.text()).matchAll(
                    /^http_requests_completed\{.*user_agent="((?:[^"\\]|\\.)*)"/gm,
                ),
            ].map((m) => m[1] ?? ''),
        ),
    ];
    const observe = (userAgent: string | undefined): void =>
        metrics.observe({ route: 'a', method: 'GET', userAgent, status: 200, seconds: 0 });
    observe('a\\b"c\nd rest');
    t.strictSame(await agents(), ['a\\\\b\\"c\\nd'], 'escaped');
    observe('');
    observe(undefined);
    observe(' leading');
    t.strictSame((await agents()).sort(), ['a\\\\b\\"c\\nd', 'unknown']);
    for (let i = 0; i < 200; i += 1) observe(`agent-${i}`);
    const all = await agents();
    t.ok(all.includes('other'));
    t.equal(all.length, 102, '100 names, unknown and other');
    fc.assert(fc.property(fc.string(), (agent) => observe(agent)));
    t.equal((await agents()).length, 102);
});

await t.test('further metrics and the listener', async (t) => {
    const metrics = new RequestMetrics(ALL);
    let up = 1;
    metrics.register({
        type: 'gauge',
        name: 'imgapi_dependency_up',
        help: 'whether it answers',
        labels: ['dependency'],
        collect: async (set) => {
            await Promise.resolve();
            set({ dependency: 'database' }, up);
        },
    });
    metrics.register({
        type: 'counter',
        name: 'imgapi_things_total',
        help: 'things',
        collect: (set) => set({}, 7),
    });
    metrics.register({
        type: 'gauge',
        name: 'imgapi_broken',
        help: 'cannot be read',
        collect: () => {
            throw new Error('no');
        },
    });
    metrics.registerProcessMetrics();
    const { log } = recordingLog();
    const listener = new MetricsListener({ metrics, log });
    const port = await listener.listen(0, '127.0.0.1');
    const client = new HttpClient(port);
    const answer = await client.get('/metrics?x=1');
    t.equal(answer.status, 200);
    t.equal(answer.header('content-type'), 'text/plain; version=0.0.4');
    t.match(answer.text, /^imgapi_dependency_up\{dependency="database"\} 1$/m);
    t.match(answer.text, /^imgapi_things_total 7$/m);
    t.match(answer.text, /^# TYPE imgapi_broken gauge$/m, 'one that fails does not hide the others');
    t.match(answer.text, /^nodejs_eventloop_lag_seconds /m);
    up = 0;
    const again = (await client.get('/metrics')).text;
    t.match(again, /^imgapi_dependency_up\{dependency="database"\} 0$/m);
    t.match(again, /^imgapi_things_total 7$/m, 'a counter is set, not added to');
    const head = await client.request('HEAD', '/metrics');
    t.strictSame([head.status, head.text], [200, '']);
    for (const [method, path] of [
        ['GET', '/'],
        ['GET', '/metrics/'],
        ['POST', '/metrics'],
        ['GET', '/ping'],
    ] as const) {
        const refused = await client.request(method, path);
        t.strictSame([refused.status, refused.error.code], [404, 'ResourceNotFound'], `${method} ${path}`);
    }
    const second = new MetricsListener({ metrics, log });
    await t.rejects(second.listen(port, '127.0.0.1'), { code: 'EADDRINUSE' });
    await second.close();
    await listener.close();
    await t.rejects(client.get('/metrics'));
});

await t.test('static labels', async (t) => {
    const config = (more: object): Config => more as Config;
    t.strictSame(staticLabels(config({ mode: 'public' }), 'host'), {
        datacenter: 'standalone',
        instance: 'host',
        server: '',
        service: 'imgapi',
    });
    const dc = { mode: 'dc', datacenterName: 'd', instanceUuid: 'i', serverUuid: 's', serviceName: 'n' };
    t.strictSame(staticLabels(config(dc), 'host'), {
        datacenter: 'd',
        instance: 'i',
        server: 's',
        service: 'n',
    });
});
