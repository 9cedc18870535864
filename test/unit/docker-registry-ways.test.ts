import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import type { BlobUpload, RegistryRepository } from '#lib/remotes/docker-registry.js';
import { ResumableBody } from '#lib/transfers/resumable-body.js';
import { Retries } from '#lib/transfers/retries.js';
import { ObjectStoreDouble } from '../doubles/registry/object-store.js';
import { RegistryDouble, type RegistryDoubleOptions } from '../doubles/registry/registry-double.js';
import { TokenServer } from '../doubles/registry/token-server.js';
import { MEDIA_TYPES, sha256Digest } from '../helpers/docker-images.js';
import { failureOf, repositoryAt, unending, type AskedRepository } from '../helpers/registry-repositories.js';
import { selfSigned } from '../helpers/self-signed.js';
import { seededBytes } from '../helpers/tar-archive.js';

const USER = { username: 'jane', password: 'secret' };
const CONTENT = seededBytes('a blob', 400_000);
const DIGEST = sha256Digest(CONTENT);

function blobOf(bytes: Buffer, mountFrom?: string): BlobUpload {
    return {
        digest: sha256Digest(bytes),
        size: bytes.length,
        contentType: 'application/octet-stream',
        open: () => Promise.resolve(Readable.from([bytes], { objectMode: false })),
        ...(mountFrom === undefined ? {} : { mountFrom }),
    };
}

async function serveTokens(t: Test): Promise<TokenServer> {
    const tokens = new TokenServer({ users: { jane: 'secret' }, refreshTokens: { refresh: 'jane' } });
    await tokens.start();
    t.teardown(() => tokens.stop());
    return tokens;
}

/** A blob as those read it who go on where it breaks off; tokens end when it does. */
async function readBlob(repository: RegistryRepository, double: RegistryDouble): Promise<Buffer> {
    return buffer(
        new ResumableBody({
            open: (resume, signal) => {
                if (resume !== undefined) double.expireTokens();
                return repository.openBlob(DIGEST, { signal, ...(resume === undefined ? {} : { resume }) });
            },
            retries: new Retries({ minMs: 1, maxMs: 2, attempts: 5 }),
            signal: unending().signal,
        }),
    );
}

/** Brings everything there and gets it back. */
async function roundTrip(t: Test, double: RegistryDouble, asked: AskedRepository): Promise<void> {
    const at = (name: string, scope: 'pull' | 'push') =>
        repositoryAt(t, double.url, { ...asked, name, scope });
    const pushing = at('a/b', 'push');
    await pushing.ping(unending());
    t.equal(await pushing.hasBlob(DIGEST, unending()), false);
    t.equal(await pushing.putBlob(blobOf(CONTENT), unending()), 'uploaded');
    double.expireTokens();
    t.equal(await pushing.hasBlob(DIGEST, unending()), true);
    const elsewhere = at('c/d', 'push');
    t.equal(await elsewhere.putBlob(blobOf(CONTENT, 'a/b'), unending()), 'mounted');
    double.expireTokens();
    double.mounts = false;
    t.equal(await elsewhere.putBlob(blobOf(CONTENT, 'a/b'), unending()), 'uploaded');
    double.mounts = true;
    const type = MEDIA_TYPES.oci.manifest;
    const part = { mediaType: 'application/octet-stream', digest: DIGEST, size: CONTENT.length };
    const manifest = Buffer.from(
        JSON.stringify({ schemaVersion: 2, mediaType: type, config: part, layers: [part] }),
    );
    double.expireTokens();
    t.equal(await pushing.putManifest('v1', manifest, type, unending()), sha256Digest(manifest));

    const pulling = at('a/b', 'pull');
    const found = await pulling.manifest('v1', unending());
    t.match(found, { contentType: type, digest: sha256Digest(manifest) });
    t.ok(found.bytes.equals(manifest));
    const place = double.objectStore?.store ?? double;
    place.inject({ cutAt: 100_000 }, { method: 'GET', kind: ['get-blob', 'object'], times: 1 });
    t.ok((await readBlob(pulling, double)).equals(CONTENT), 'though it breaks off');
    t.equal(
        place.requests({ kind: ['get-blob', 'object'] }).filter(({ status }) => status === 206).length,
        1,
    );
    t.equal(double.uploads.open, 0);
    t.match(await failureOf(pulling.manifest('v2', unending())), {
        status: 404,
        body: { errors: [{ code: 'MANIFEST_UNKNOWN' }] },
    });
}

void t.test('every way to ask, to bring and to get', async (t) => {
    const tokens = await serveTokens(t);
    const password = { credentials: USER };
    const ways: [what: string, double: RegistryDoubleOptions, asked: AskedRepository][] = [
        ['anybody', {}, {}],
        ['Basic', { auth: { basic: { jane: 'secret' } } }, password],
        ['tokens', { auth: { tokens } }, password],
        ['identity tokens', { auth: { tokens } }, { credentials: { identityToken: 'refresh' } }],
        [
            'tokens, in TLS',
            { auth: { tokens }, tls: selfSigned('127.0.0.1') },
            {
                ...password,
                config: { dockerRegistryInsecure: true },
            },
        ],
    ];
    const store = await new ObjectStoreDouble().start(t);
    const locations = ['relative', 'absolute', 'query', store] as const;
    for (const [index, [what, options, asked]] of ways.entries()) {
        const tried = what === 'tokens' ? locations : locations.filter((_, at) => at === index % 4);
        for (const location of tried) {
            const double = await new RegistryDouble(options).start(t);
            double.uploadLocation = location;
            if (location === store) double.objectStore = { store, status: 307 };
            const where = typeof location === 'string' ? location : 'elsewhere';
            store.clearRequests();
            await t.test(`${what}, uploads ${where}`, (t) => roundTrip(t, double, asked));
            const shown = store.requests().filter(({ headers }) => headers.authorization !== undefined);
            t.same(shown, [], 'the store gets no credentials');
        }
    }
    t.notOk(
        tokens.requests.some(({ target }) => target.includes('secret') || target.includes('refresh')),
        'no secret is in a URL',
    );
});

void t.test('uploads that break off', async (t) => {
    const double = await new RegistryDouble().start(t);
    const repository = repositoryAt(t, double.url, { scope: 'push' });
    for (const [fault, expected] of [
        [{ cutUploadAt: 100_000 }, { kind: 'connect' }],
        [{ cutAnswer: 'not-made' }, { kind: 'connect' }],
        [
            { refuse: { status: 429, headers: { 'retry-after': '7' } } },
            { status: 429, headers: { 'retry-after': '7' } },
        ],
    ] as const) {
        double.inject(fault, { kind: 'put-upload', times: 1 });
        t.match(await failureOf(repository.putBlob(blobOf(CONTENT), unending())), expected);
        t.equal(await repository.putBlob(blobOf(CONTENT), unending()), 'uploaded', 'a new one does');
    }
    double.inject({ hang: true }, { kind: 'put-upload' });
    const impatient = repositoryAt(t, double.url, {
        scope: 'push',
        timeouts: { stallMs: 200, headersMs: 200 },
    });
    const large = seededBytes('large', 16 * 1024 * 1024);
    t.match(await failureOf(impatient.putBlob(blobOf(large), unending())), { kind: 'timeout' });
});
