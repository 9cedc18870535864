import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import type { HttpService, ServedRequest, ServiceHandler } from '../doubles/http-service.js';
import { sendJson } from '../doubles/http-service.js';
import { serve } from '../helpers/outgoing.js';
import { failureOf, repositoryAt, unending, type AskedRepository } from '../helpers/registry-repositories.js';
import { selfSigned } from '../helpers/self-signed.js';
import { eventually, freePort } from '../helpers/server-process.js';

const USER = { username: 'jane', password: 'pass:word' };
const BASIC = `Basic ${Buffer.from('jane:pass:word').toString('base64')}`;
const REFUSED = { errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] };

/** What came, as `GET /v2/`. */
function linesOf(service: HttpService): string[] {
    return service.requests.map(({ method, target }) => `${method} ${target}`);
}

function headersOf(service: HttpService): (string | undefined)[] {
    return service.requests.map(({ headers }) => headers.authorization);
}

/** A registry with one manifest for those whose `Authorization` will do. */
async function serveRegistry(
    t: Test,
    challenge: string,
    isFine: (request: ServedRequest) => boolean,
): Promise<HttpService> {
    return serve(t, (request, response) => {
        if (!isFine(request)) sendJson(response, 401, REFUSED, { 'www-authenticate': challenge });
        else if (request.path === '/v2/') sendJson(response, 200, {});
        else sendJson(response, 200, { of: request.path });
    });
}

/** A server that gives out the tokens `t1`, `t2` and so on. */
async function serveTokens(t: Test, life?: number, handle?: ServiceHandler): Promise<HttpService> {
    let serial = 0;
    return serve(t, (request, response) => {
        if (handle !== undefined) {
            handle(request, response);
            return;
        }
        serial += 1;
        sendJson(response, 200, { token: `t${serial}`, ...(life === undefined ? {} : { expires_in: life }) });
    });
}

void t.test('a registry that anybody may ask', async (t) => {
    const service = await serveRegistry(t, '', () => true);
    const repository = repositoryAt(t, service.url, { credentials: USER });
    await Promise.all([1, 2, 3].map(() => repository.ping(unending())));
    await repository.manifest('latest', unending());
    await repository.ping(unending());
    t.same(linesOf(service), ['GET /v2/', 'GET /v2/a/b/manifests/latest'], 'pinged once');
    t.same(headersOf(service), [undefined, undefined], 'nobody has asked for credentials');
    t.notOk(service.requests[1]?.headers['x-request-id']);
});

void t.test('pings that fail', async (t) => {
    const service = await serve(t, ({ path }, response) => {
        const [, status = '0'] = /^\/(\d+)\/v2\/$/.exec(path) ?? [];
        sendJson(response, Number(status), REFUSED, { 'www-authenticate': 'Negotiate' });
    });
    const at = (path: string) =>
        repositoryAt(t, service.url, { facts: { baseUrl: `${service.url}/${path}` } });
    for (const status of [202, 403, 404, 500, 503]) {
        t.match(await failureOf(at(String(status)).ping(unending())), { kind: 'status', status });
    }
    const repository = at('401');
    t.match(await failureOf(repository.ping(unending())), {
        status: 401,
        message: /neither Basic nor Bearer/,
        body: REFUSED,
    });
    service.requests.length = 0;
    t.match(await failureOf(repository.manifest('latest', unending())), { status: 401 });
    t.equal(service.requests.length, 1, 'a failure is not remembered, and nothing is asked behind it');

    const client = { retryDelaysMs: [60_000] };
    const closed = `http://127.0.0.1:${await freePort()}`;
    t.match(await failureOf(repositoryAt(t, closed, { client }).ping(unending())), { kind: 'connect' });
    service.fault = 'hang';
    const timeouts = { headersMs: 50 };
    const hanging = repositoryAt(t, service.url, { timeouts });
    t.match(await failureOf(hanging.ping(unending())), { kind: 'timeout' });
    const given = new AbortController();
    service.requests.length = 0;
    const both = repositoryAt(t, service.url);
    const [first, second] = [failureOf(both.ping(given)), both.ping(unending())];
    await eventually('the ping', 5000, () => service.requests.length === 1);
    given.abort();
    t.match(await first, { kind: 'aborted' });
    service.fault = 'none';
    for (const socket of service.sockets) socket.destroy();
    t.match(await failureOf(second), { kind: 'connect' }, 'one who gives up takes nobody with him');
});

void t.test('Basic', async (t) => {
    const service = await serveRegistry(
        t,
        'Basic realm="all, of it"',
        ({ headers }) => headers.authorization === BASIC,
    );
    const repository = repositoryAt(t, service.url, { credentials: USER });
    await repository.manifest('latest', unending());
    t.same(headersOf(service), [undefined, BASIC], 'the ping shows nothing');
    const wrong = repositoryAt(t, service.url, { credentials: { ...USER, password: 'secret' } });
    const refused = await failureOf(wrong.manifest('latest', unending()));
    t.match(refused, { status: 404, body: REFUSED }, 'a hidden manifest is a missing one');
    t.notMatch(refused.message, /secret/);
    t.match(await failureOf(wrong.openBlob('sha256:1', unending())), { status: 401, body: REFUSED });
    service.requests.length = 0;
    t.match(await failureOf(repositoryAt(t, service.url).manifest('latest', unending())), { status: 404 });
    t.same(headersOf(service), [undefined, undefined]);
    service.requests.length = 0;
    const withToken = repositoryAt(t, service.url, { credentials: { identityToken: 'i' } });
    t.match(await failureOf(withToken.manifest('latest', unending())), {
        status: 401,
        message: /no use for identity tokens/,
    });
    t.equal(service.requests.length, 1);
});

void t.test('Bearer', async (t) => {
    const tokens = await serveTokens(t);
    const challenge = `Basic realm="r", Bearer realm="${tokens.url}/token?x=1",service="the registry",scope="s"`;
    const service = await serveRegistry(t, challenge, ({ headers }) =>
        /^Bearer t\d$/.test(headers.authorization ?? ''),
    );
    const anybody = repositoryAt(t, service.url);
    await Promise.all([1, 2, 3].map((tag) => anybody.manifest(String(tag), unending())));
    await anybody.hasBlob('sha256:1', unending());
    t.same(linesOf(tokens), ['GET /token?x=1&service=the+registry&scope=repository%3Aa%2Fb%3Apull']);
    t.same(headersOf(tokens), [undefined]);
    t.same(headersOf(service), [undefined, 'Bearer t1', 'Bearer t1', 'Bearer t1', 'Bearer t1']);

    tokens.requests.length = 0;
    const jane = repositoryAt(t, service.url, { credentials: USER, scope: 'push' });
    await jane.manifest('latest', unending());
    t.same(Object.fromEntries(tokens.requests[0]?.query ?? []), {
        x: '1',
        service: 'the registry',
        scope: 'repository:a/b:pull,push',
        account: 'jane',
    });
    t.same(headersOf(tokens), [BASIC]);
    t.notOk(headersOf(service).includes(BASIC), 'the registry gets the token only');
});

void t.test('identity tokens', async (t) => {
    const tokens = await serveTokens(t, undefined, (_, response) =>
        sendJson(response, 200, { access_token: 'from-identity', token: '' }),
    );
    const service = await serveRegistry(
        t,
        `Bearer realm="${tokens.url}/token",service="s"`,
        ({ headers }) => headers.authorization === 'Bearer from-identity',
    );
    const credentials = { identityToken: 'i d&t=' };
    await repositoryAt(t, service.url, { credentials }).manifest('latest', unending());
    const [sent] = tokens.requests;
    t.match(sent, {
        method: 'POST',
        target: '/token',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    t.same(Object.fromEntries(new URLSearchParams(sent?.body)), {
        grant_type: 'refresh_token',
        service: 's',
        scope: 'repository:a/b:pull',
        client_id: 'imgapi',
        refresh_token: 'i d&t=',
    });
    const elsewhere = await serveTokens(t);
    const moved = await serveTokens(t, undefined, (_, response) =>
        response.writeHead(307, { location: `${elsewhere.url}/token` }).end(),
    );
    const sly = await serveRegistry(t, `Bearer realm="${moved.url}"`, () => false);
    t.match(await failureOf(repositoryAt(t, sly.url, { credentials }).manifest('latest', unending())), {
        status: 307,
    });
    t.same(elsewhere.requests, [], 'an identity token is not sent on');
});

void t.test('authorization servers that give no token', async (t) => {
    let answer: [status: number, body: unknown] = [200, {}];
    const tokens = await serveTokens(t, undefined, (_, response) => sendJson(response, ...answer));
    let realm = `${tokens.url}/token`;
    const service = await serve(t, (_, response) =>
        sendJson(response, 401, REFUSED, { 'www-authenticate': `Bearer realm="${realm}"` }),
    );
    const fails = async (given: typeof answer, expected: object): Promise<void> => {
        answer = given;
        const repository = repositoryAt(t, service.url, { credentials: USER });
        const error = await failureOf(repository.manifest('latest', unending()));
        t.match(error, expected, JSON.stringify(given).slice(0, 80));
        t.notMatch(error.message, /jane|pass:|scope=/);
    };
    const none = {
        kind: 'malformed',
        message: 'authorization server did not include a token in the response',
    };
    for (const body of [{}, [], null, 'token', { token: '', access_token: 5 }])
        await fails([200, body], none);
    await fails([200, { token: 'a\r\nb: c' }], { kind: 'malformed', message: /fit into a header/ });
    await fails([200, { token: 'x'.repeat(2_000_000) }], { kind: 'too-large' });
    await fails([401, { details: 'incorrect username or password' }], {
        kind: 'status',
        status: 401,
        message: `authorization server ${tokens.url}/token: incorrect username or password`,
    });
    await fails([401, REFUSED], { status: 401, body: REFUSED, message: /no access with these credentials/ });
    await fails([403, REFUSED], { status: 403, body: REFUSED });
    await fails([503, 'x'], { status: 503 });
    for (const odd of ['', 'token', '/token', 'ftp://127.0.0.1/token', 'http://']) {
        realm = odd;
        await fails([200, { token: 't' }], { kind: 'malformed', message: /no http or https URL/ });
    }
    realm = `http://127.0.0.1:${await freePort()}/`;
    await fails([200, {}], { kind: 'connect' });
});

void t.test('tokens end', async (t) => {
    const tokens = await serveTokens(t);
    let good = 't1';
    const service = await serveRegistry(
        t,
        `Bearer realm="${tokens.url}"`,
        ({ headers }) => headers.authorization === `Bearer ${good}`,
    );
    const repository = repositoryAt(t, service.url);
    await repository.manifest('1', unending());
    good = 't2';
    await Promise.all([2, 3, 4].map((tag) => repository.manifest(String(tag), unending())));
    t.equal(tokens.requests.length, 2, 'one new token for all who were refused');
    good = 'another';
    service.requests.length = 0;
    t.match(await failureOf(repository.openBlob('sha256:1', unending())), { status: 401 });
    t.same(headersOf(service), ['Bearer t2', 'Bearer t3'], 'one new token and no more');
    service.requests.length = 0;
    t.match(await failureOf(repositoryAt(t, service.url).openBlob('sha256:1', unending())), { status: 401 });
    t.equal(service.requests.length, 2, 'the first token is new enough: a ping and one request');

    const brief = await serveTokens(t, 1e-9);
    const strict = await serveRegistry(t, `Bearer realm="${brief.url}"`, ({ headers }) =>
        /^Bearer/.test(headers.authorization ?? ''),
    );
    const asking = repositoryAt(t, strict.url);
    for (const tag of ['1', '2', '3']) await asking.manifest(tag, unending());
    t.same(headersOf(strict).slice(1), ['Bearer t1', 'Bearer t2', 'Bearer t3'], 'none is used too long');
});

void t.test('credentials are for https', async (t) => {
    const tls = selfSigned('127.0.0.1');
    const tokens = await serveTokens(t);
    const service = await serve(
        t,
        ({ headers }, response) =>
            headers.authorization === undefined
                ? sendJson(response, 401, REFUSED, { 'www-authenticate': `Bearer realm="${tokens.url}"` })
                : sendJson(response, 200, {}),
        { tls },
    );
    const config = { dockerRegistryInsecure: true };
    const trusting = { config, seenConfig: {} };
    const jane = repositoryAt(t, service.url, { ...trusting, credentials: USER });
    t.match(await failureOf(jane.manifest('latest', unending())), { status: 401, message: /plain HTTP/ });
    t.same(tokens.requests, []);
    await repositoryAt(t, service.url, trusting).manifest('latest', unending());
    t.same(headersOf(tokens), [undefined], 'nothing is lost where there is nothing to lose');
    await repositoryAt(t, service.url, { config, credentials: USER }).manifest('latest', unending());
    t.same(headersOf(tokens), [undefined, BASIC], 'as configured');
    t.match(await failureOf(repositoryAt(t, service.url).ping(unending())), {
        kind: 'connect',
        message: /certificate/,
    });
});

void t.test('plain HTTP where no TLS is spoken', async (t) => {
    const service = await serveRegistry(t, '', () => true);
    const insecure = { config: { dockerRegistryInsecure: true } };
    const unnamed = (url: string, more: AskedRepository) =>
        repositoryAt(t, url, { facts: { baseUrl: url, isSchemeGiven: false }, ...more });
    const url = service.url.replace('http:', 'https:');
    const repository = unnamed(url, insecure);
    await repository.manifest('latest', unending());
    await repository.manifest('latest', unending());
    t.equal(service.requests.length, 3, 'what answers is remembered');
    t.match(await failureOf(unnamed(url, {}).ping(unending())), { kind: 'connect' }, 'not by default');
    const named = repositoryAt(t, url, insecure);
    t.match(await failureOf(named.ping(unending())), { kind: 'connect' }, 'not if https was asked for');
    const closed = `https://127.0.0.1:${await freePort()}`;
    t.match(await failureOf(unnamed(closed, insecure).ping(unending())), {
        kind: 'connect',
        message: /^GET https:.*ECONNREFUSED/,
    });
    let taken = 0;
    const silent = createServer((socket) => {
        taken += 1;
        socket.on('error', () => undefined).resume();
    }).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    t.teardown(() => silent.close());
    const { port } = silent.address() as AddressInfo;
    const timeouts = { connectMs: 50 };
    const waiting = unnamed(`https://127.0.0.1:${port}`, { ...insecure, timeouts });
    t.match(await failureOf(waiting.ping(unending())), { kind: 'connect', message: /^GET https:/ });
    t.equal(taken, 1, 'silence is no sign of plain HTTP');
    const missing = await serve(t, (_, response) => sendJson(response, 404, {}), {
        tls: selfSigned('127.0.0.1'),
    });
    t.match(await failureOf(unnamed(missing.url, insecure).ping(unending())), { status: 404 });
    t.equal(missing.requests.length, 1, 'whoever answers in TLS is not asked without');
    service.requests.length = 0;
    service.fault = 'unavailable';
    t.match(await failureOf(unnamed(url, insecure).ping(unending())), { status: 503 });
});
