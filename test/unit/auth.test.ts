import { createSign, generateKeyPairSync, sign as signNatively, type KeyObject } from 'node:crypto';
import bunyan from 'bunyan';
import fc from 'fast-check';
import httpSignature from 'http-signature';
import sshpk from 'sshpk';
import t from 'tap';
import type { KeyStore, SignedRequest } from '#lib/auth/auth.js';
import { MAX_KEYS_TRIED, SignatureAuthenticator } from '#lib/auth/signature.js';
import { MAX_AUTHORIZATION_LENGTH } from '#lib/auth/signature-parameters.js';
import { ApiError } from '#lib/base/errors.js';
import { recordingLog } from '../helpers/recording-log.js';

const NOW = Date.UTC(2026, 10, 21, 12, 0, 0);
const clock = { now: () => NOW };
const DATE = new Date(NOW).toUTCString();

const quietLog = recordingLog().log;

function keyStore(users: Record<string, readonly string[]>): KeyStore {
    const map = new Map(Object.entries(users));
    return { keysOf: (user) => map.get(user) ?? [], counts: () => ({}) };
}

interface Pair {
    readonly privateKey: KeyObject;
    readonly line: string;
}

function pairOf({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }): Pair {
    const pem = publicKey.export({ type: 'spki', format: 'pem' });
    return { privateKey, line: sshpk.parseKey(pem, 'pem').toString('ssh') };
}

const rsa = pairOf(generateKeyPairSync('rsa', { modulusLength: 2048 }));
const otherRsa = pairOf(generateKeyPairSync('rsa', { modulusLength: 2048 }));
const dsa = pairOf(generateKeyPairSync('dsa', { modulusLength: 1024, divisorLength: 160 }));
const ecdsa256 = pairOf(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }));
const ecdsa384 = pairOf(generateKeyPairSync('ec', { namedCurve: 'secp384r1' }));
const ecdsa521 = pairOf(generateKeyPairSync('ec', { namedCurve: 'secp521r1' }));
const ed25519 = pairOf(generateKeyPairSync('ed25519'));

function signText(pair: Pair, algorithm: string, text: string): string {
    if (algorithm.startsWith('ed25519')) {
        return signNatively(null, Buffer.from(text), pair.privateKey).toString('base64');
    }
    return createSign(algorithm.split('-')[1] ?? '')
        .update(text)
        .sign(pair.privateKey, 'base64');
}

type Headers = Record<string, string | undefined>;

function requestWith(headers: Headers, overrides: Partial<SignedRequest> = {}): SignedRequest {
    return { method: 'POST', url: '/images?a=b', httpVersion: '1.1', headers, ...overrides };
}

/** A request whose date alone is signed, as the standard clients do. */
function signedRequest(
    pair: Pair,
    algorithm: string,
    user = 'alice',
    headers: Headers = { date: DATE },
): SignedRequest {
    const signature = signText(pair, algorithm.toLowerCase(), `date: ${headers['date'] ?? ''}`);
    return requestWith({
        ...headers,
        authorization: `Signature keyId="${user}",algorithm="${algorithm}",signature="${signature}"`,
    });
}

function authenticator(users: Record<string, readonly string[]>, log = quietLog): SignatureAuthenticator {
    return new SignatureAuthenticator({ keys: keyStore(users), clock, log });
}

function refusal(subject: SignatureAuthenticator, request: SignedRequest): string {
    try {
        return `accepted ${subject.authenticate(request)}`;
    } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 401 || error.code !== 'UnauthorizedError') {
            return `not a 401: ${String(error)}`;
        }
        if (error.headers['WWW-Authenticate'] !== 'Signature realm="imgapi",headers="date"') {
            return 'no challenge';
        }
        return error.message;
    }
}

void t.test('every allowed algorithm verifies with its kind of key and with no other', (t) => {
    const subject = authenticator({
        alice: [rsa, dsa, ecdsa256, ecdsa384, ecdsa521, ed25519].map((pair) => pair.line),
        rsa: [rsa.line],
        ec: [ecdsa256.line, ecdsa384.line, ecdsa521.line],
        other: [otherRsa.line],
    });
    const cases: [Pair, string][] = [
        [rsa, 'rsa-sha1'],
        [rsa, 'rsa-sha256'],
        [rsa, 'rsa-sha512'],
        [rsa, 'RSA-SHA256'],
        [dsa, 'dsa-sha1'],
        [ecdsa256, 'ecdsa-sha256'],
        [ecdsa384, 'ecdsa-sha384'],
        [ecdsa384, 'ECDSA-sha384'],
        [ecdsa256, 'ecdsa-sha384'],
        [ecdsa521, 'ecdsa-sha512'],
        [ed25519, 'ed25519-sha512'],
    ];
    for (const [pair, algorithm] of cases) {
        t.equal(subject.authenticate(signedRequest(pair, algorithm)), 'alice', algorithm);
        const wrongFamily = algorithm.toLowerCase().startsWith('rsa') ? 'ec' : 'rsa';
        t.equal(
            refusal(subject, signedRequest(pair, algorithm, wrongFamily)),
            'Unauthorized',
            `${algorithm} ${wrongFamily}`,
        );
        t.equal(
            refusal(subject, signedRequest(pair, algorithm, 'other')),
            'Unauthorized',
            `${algorithm} other`,
        );
        const late = { ...signedRequest(pair, algorithm) };
        const changed = { ...late, headers: { ...late.headers, date: new Date(NOW + 1000).toUTCString() } };
        t.equal(refusal(subject, changed), 'Unauthorized', `${algorithm} over another date`);
    }
    t.end();
});

void t.test('what the usual signing library sends is accepted', (t) => {
    const subject = authenticator({ alice: [rsa.line, ed25519.line] });
    const sshPrivate = sshpk.generatePrivateKey('ecdsa', { curve: 'nistp384' });
    const modern = authenticator({ alice: [sshPrivate.toPublic().toString('ssh')] });
    const send = (key: string, options: object): SignedRequest => {
        const headers: Record<string, string> = { date: DATE, host: 'images.example.com' };
        const outgoing = {
            method: 'GET',
            path: '/images?limit=1',
            getHeader: (name: string) => headers[name.toLowerCase()],
            setHeader: (name: string, value: string) => (headers[name.toLowerCase()] = value),
        };
        httpSignature.signRequest(outgoing as unknown as Parameters<typeof httpSignature.signRequest>[0], {
            keyId: 'alice',
            key,
            ...options,
        });
        return requestWith(headers, { method: 'GET', url: '/images?limit=1' });
    };
    const pem = (pair: Pair): string => pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    t.equal(subject.authenticate(send(pem(rsa), { algorithm: 'rsa-sha256' })), 'alice');
    t.equal(subject.authenticate(send(pem(ed25519), { algorithm: 'ed25519-sha512' })), 'alice');
    t.equal(
        subject.authenticate(
            send(pem(rsa), { headers: ['request-line', 'date', 'host'], algorithm: 'rsa-sha1' }),
        ),
        'alice',
    );
    t.equal(
        subject.authenticate(
            send(pem(rsa), { headers: ['(request-target)', 'date'], algorithm: 'rsa-sha1' }),
        ),
        'alice',
    );
    const target = send(pem(rsa), { headers: ['(request-target)', 'date'], algorithm: 'rsa-sha1' });
    t.equal(refusal(subject, { ...target, url: '/images?limit=2' }), 'Unauthorized', 'another target');
    t.equal(refusal(subject, { ...target, method: 'DELETE' }), 'Unauthorized', 'another method');

    const signer = sshPrivate.createSign('sha384');
    signer.update(`date: ${DATE}`);
    const authorization = `Signature keyId="alice",algorithm="ecdsa-sha384",signature="${signer.sign().toString()}"`;
    t.equal(modern.authenticate(requestWith({ date: DATE, authorization })), 'alice', 'ecdsa-sha384');
    t.end();
});

void t.test('every refusal has its text, and earlier checks come first', (t) => {
    const subject = authenticator({ alice: [rsa.line] });
    const late = new Date(NOW - 301_500).toUTCString();
    const header = (parameters: string, headers: Headers = { date: DATE }): SignedRequest =>
        requestWith({ ...headers, authorization: `Signature ${parameters}` });
    const whole = 'keyId="alice",algorithm="rsa-sha256",signature="AAAA"';
    const good = signText(rsa, 'rsa-sha256', `date: ${DATE}`);
    const bare = `keyId="alice",algorithm="rsa-sha256",signature="${good}"`;
    const cases: [string, SignedRequest, string][] = [
        ['no header', requestWith({ date: DATE }), 'Unauthorized'],
        ['empty header', requestWith({ date: DATE, authorization: '' }), 'Unauthorized'],
        ['not letters', header('key-id="a"'), 'bad param format'],
        ['no name', header('="a"'), 'bad param format'],
        ['unquoted', header('keyId=alice'), 'bad param format'],
        ['a number', header('keyId=5,algorithm="rsa-sha1",signature="AAAA"'), 'bad param format'],
        ['a number as algorithm', header('keyId="a",algorithm=5,signature="AAAA"'), 'bad param format'],
        ['a number as headers', header('keyId="a",headers=5,algorithm="rsa-sha1"'), 'bad param format'],
        [
            'a number at the end',
            header('keyId="a",algorithm="rsa-sha1",signature="AAAA",foo=5'),
            'bad param format',
        ],
        ['space after comma', header('keyId="a", algorithm="rsa-sha1"'), 'bad param format'],
        ['format before scheme', requestWith({ authorization: 'Basic dXNlcjpwYX1=' }), 'bad param format'],
        ['too long', header(`keyId="${'a'.repeat(MAX_AUTHORIZATION_LENGTH)}"`), 'bad param format'],
        ['too many words', header(`keyId="a",headers="${'date '.repeat(100)}date"`), 'bad param format'],
        ['scheme', requestWith({ authorization: `signature ${whole}` }), 'scheme was not "Signature"'],
        ['scheme alone', requestWith({ authorization: 'Basic' }), 'scheme was not "Signature"'],
        [
            'no scheme, and a Signature header that repeats it',
            requestWith({ date: DATE, authorization: bare, signature: bare }),
            'scheme was not "Signature"',
        ],
        ['Basic', requestWith({ authorization: 'Basic dXNlcjpwYXNz' }), 'scheme was not "Signature"'],
        ['nothing after the scheme', requestWith({ authorization: 'Signature' }), 'keyId was not specified'],
        ['no keyId', header('algorithm="rsa-sha256",signature="A"'), 'keyId was not specified'],
        ['empty keyId', header('keyId="",algorithm="x"'), 'keyId was not specified'],
        ['no algorithm', header('keyId="alice",signature="A"'), 'algorithm was not specified'],
        ['no signature', header('keyId="alice",algorithm="wrong"'), 'signature was not specified'],
        [
            'unknown',
            header('keyId="alice",algorithm="Rsa-MD5",signature="A",headers="none"'),
            'Rsa-MD5 is not supported',
        ],
        [
            'own names only',
            header('keyId="alice",algorithm="rsa-constructor",signature="A"'),
            'rsa-constructor is not supported',
        ],
        [
            'own names only',
            header('keyId="alice",algorithm="__proto__-sha1",signature="A"'),
            '__proto__-sha1 is not supported',
        ],
        [
            'sha384 only for ecdsa',
            header('keyId="alice",algorithm="rsa-sha384",signature="A"'),
            'rsa-sha384 is not supported',
        ],
        [
            'absent header',
            header(`${whole},headers="date X-Foo"`, { date: late }),
            'x-foo was not in the request',
        ],
        ['absent date', header(whole, {}), 'date was not in the request'],
        ['absent x-date', header(`${whole},headers="x-date"`), 'x-date was not in the request'],
        ['inherited name', header(`${whole},headers="constructor"`), 'constructor was not in the request'],
        ['inherited name', header(`${whole},headers="__proto__"`), '__proto__ was not in the request'],
        ['made-up header', header(`${whole},headers="(created)"`), '(created) was not in the request'],
        ['made-up header', header(`${whole},headers="(opaque)"`), '(opaque) was not in the request'],
        [
            'our own',
            header(`${whole},headers="date :Authorization"`),
            ':authorization was not in the request',
        ],
        [
            'skew',
            header(`${whole},headers="host"`, { host: 'x', date: late }),
            'clock skew of 302s was greater than 300s',
        ],
        [
            'skew of x-date',
            header(whole, { date: DATE, 'x-date': late }),
            'clock skew of 302s was greater than 300s',
        ],
        ['no date', header(`${whole},headers="host"`, { host: 'x', date: 'soon' }), 'invalid date header'],
        ['empty date', header(whole, { date: '' }), 'invalid date header'],
        [
            'unsigned date',
            header(`${whole},headers="host"`, { host: 'x', date: DATE }),
            'date was not a signed header',
        ],
        ['no date at all', header(`${whole},headers="host"`, { host: 'x' }), 'date was not a signed header'],
        [
            'unsigned x-date',
            header(`${whole},headers="date"`, { date: DATE, 'x-date': DATE }),
            'x-date was not a signed header',
        ],
        [
            'HMAC',
            header('keyId="alice",algorithm="hmac-sha256",signature="A"'),
            'Unauthorized ("HMAC-SHA256" is not a supported http-signature signing algorithm)',
        ],
        [
            'known, not allowed',
            header('keyId="alice",algorithm="ecdsa-sha1",signature="A"'),
            'Unauthorized ("ECDSA-SHA1" is not a supported http-signature signing algorithm)',
        ],
        [
            'unsigned before HMAC',
            header('keyId="a",algorithm="hmac-sha1",signature="A",headers="host"', { host: 'x', date: DATE }),
            'date was not a signed header',
        ],
        ['unknown user', signedRequest(rsa, 'rsa-sha256', 'bob'), 'Unauthorized'],
        ['inherited user', signedRequest(rsa, 'rsa-sha256', 'constructor'), 'Unauthorized'],
        ['inherited user', signedRequest(rsa, 'rsa-sha256', '__proto__'), 'Unauthorized'],
        ['wrong signature', header(whole), 'Unauthorized'],
        ['not base64', header('keyId="alice",algorithm="rsa-sha256",signature="\u00ff?"'), 'Unauthorized'],
        ['impossible created', header(`${whole},created="1e300"`), 'Unauthorized'],
    ];
    for (const [name, request, message] of cases) {
        t.equal(refusal(subject, request), message, `${name}: ${message}`);
    }
    t.end();
});

void t.test('x-date stands in for date', (t) => {
    const subject = authenticator({ alice: [rsa.line] });
    const signature = signText(rsa, 'rsa-sha256', `x-date: ${DATE}`);
    const authorization = `Signature keyId="alice",algorithm="rsa-sha256",signature="${signature}"`;
    t.equal(subject.authenticate(requestWith({ 'x-date': DATE, authorization })), 'alice');
    t.equal(subject.authenticate(requestWith({ 'x-date': DATE, date: 'never', authorization })), 'alice');
    const both = authorization.replace('signature=', 'headers="Date X-Date",signature=');
    const signedBoth = both.replace(signature, signText(rsa, 'rsa-sha256', `date: ${DATE}\nx-date: ${DATE}`));
    t.equal(
        subject.authenticate(requestWith({ 'x-date': DATE, date: DATE, authorization: signedBoth })),
        'alice',
    );
    t.end();
});

void t.test('the replay window is 300 seconds, both ways', (t) => {
    const date = DATE;
    for (const [offset, expected] of [
        [-300_000, 'accepted alice'],
        [300_000, 'accepted alice'],
        [-300_001, 'clock skew of 300.001s was greater than 300s'],
        [301_000, 'clock skew of 301s was greater than 300s'],
    ] as const) {
        const subject = new SignatureAuthenticator({
            keys: keyStore({ alice: [rsa.line] }),
            clock: { now: () => NOW - offset },
            log: quietLog,
        });
        t.equal(
            refusal(subject, signedRequest(rsa, 'rsa-sha256', 'alice', { date })),
            expected,
            `${offset} ms`,
        );
    }
    t.end();
});

void t.test('keys are tried in order, bad lines are skipped with one warning, the number is bounded', (t) => {
    const { log, records } = recordingLog();
    const subject = authenticator({ alice: ['ssh-rsa garbage', 'no key', otherRsa.line, rsa.line] }, log);
    t.equal(subject.authenticate(signedRequest(rsa, 'rsa-sha256')), 'alice');
    t.equal(subject.authenticate(signedRequest(rsa, 'rsa-sha1')), 'alice');
    t.equal(records.filter((record) => record.level === bunyan.WARN).length, 2, 'one warning a line');
    const many = Array.from({ length: MAX_KEYS_TRIED }, () => ed25519.line);
    t.equal(
        refusal(authenticator({ alice: [...many, rsa.line] }), signedRequest(rsa, 'rsa-sha1')),
        'Unauthorized',
    );
    t.end();
});

void t.test('whatever is sent, the answer is a user or a 401', (t) => {
    const subject = authenticator({ alice: [rsa.line, dsa.line, ecdsa256.line, ed25519.line] });
    const valid = signedRequest(rsa, 'rsa-sha256');
    const validHeader = String(valid.headers['authorization']);
    const word = fc.oneof(
        fc.constantFrom(
            'keyId',
            'algorithm',
            'signature',
            'headers',
            'created',
            '__proto__',
            'constructor',
            'alice',
        ),
        fc.constantFrom(
            'rsa-sha1',
            'dsa-sha1',
            'ecdsa-sha384',
            'ed25519-sha512',
            'hmac-sha1',
            'date',
            'x-date',
        ),
        fc.string(),
        fc.base64String(),
        fc.string({ unit: 'binary' }),
    );
    const parameters = fc
        .array(fc.tuple(word, word), { maxLength: 6 })
        .map((pairs) => `Signature ${pairs.map(([name, value]) => `${name}="${value}"`).join(',')}`);
    const nearlyRight = fc
        .tuple(
            fc.constantFrom('rsa-sha1', 'dsa-sha1', 'ecdsa-sha256', 'ecdsa-sha384', 'ed25519-sha512'),
            word,
            word,
        )
        .map(
            ([algorithm, signature, headers]) =>
                `Signature keyId="alice",algorithm="${algorithm}",signature="${signature}",headers="${headers}"`,
        );
    const mutated = fc
        .tuple(fc.nat(validHeader.length - 1), fc.string({ unit: 'binary', maxLength: 3 }))
        .map(([at, bytes]) => validHeader.slice(0, at) + bytes + validHeader.slice(at + bytes.length));
    const authorization = fc.oneof(parameters, nearlyRight, mutated, fc.string({ unit: 'binary' }));
    const date = fc.oneof(fc.constant(DATE), fc.string(), fc.constant(undefined));
    fc.assert(
        fc.property(authorization, date, date, (header, dateValue, xDate) => {
            const outcome = refusal(
                subject,
                requestWith({ date: dateValue, 'x-date': xDate, authorization: header }),
            );
            return !outcome.startsWith('not a 401') && outcome !== 'no challenge';
        }),
        { numRuns: 3000 },
    );
    t.equal(subject.authenticate(valid), 'alice', 'and still works afterwards');
    t.end();
});

void t.test('header lists that repeat a long value are bounded', (t) => {
    const subject = authenticator({ alice: [rsa.line] });
    const headers = { date: DATE, cookie: 'c'.repeat(16_000) };
    const list = Array.from({ length: 60 }, () => 'cookie').join(' ');
    const authorization = `Signature keyId="alice",algorithm="rsa-sha256",headers="date ${list}",signature="AAAA"`;
    t.equal(refusal(subject, requestWith({ ...headers, authorization })), 'Unauthorized');
    t.end();
});
