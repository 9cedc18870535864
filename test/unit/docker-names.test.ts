import fc from 'fast-check';
import t from 'tap';
import {
    type DockerRepository,
    parseReference,
    parseRepository,
    RepositoryNameError,
} from '#lib/manifest/docker/repository.js';
import { isDigest, isTag, shortIdOf } from '#lib/manifest/docker/tag-and-digest.js';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;
const HUB = 'https://registry-1.docker.io';

/** Registry, remote, local and canonical name, base URL. */
type Row = readonly [string, string, string, string, string];

const NAMES: Readonly<Record<string, Row>> = {
    busybox: ['docker.io', 'library/busybox', 'busybox', 'docker.io/busybox', HUB],
    'library/busybox': ['docker.io', 'library/busybox', 'busybox', 'docker.io/busybox', HUB],
    'docker.io/busybox': ['docker.io', 'library/busybox', 'busybox', 'docker.io/busybox', HUB],
    'index.docker.io/busybox': ['docker.io', 'library/busybox', 'busybox', 'docker.io/busybox', HUB],
    'Docker.io/busybox': ['docker.io', 'library/busybox', 'busybox', 'docker.io/busybox', HUB],
    'https://docker.io/a/b': ['docker.io', 'a/b', 'a/b', 'docker.io/a/b', HUB],
    'a/b': ['docker.io', 'a/b', 'a/b', 'docker.io/a/b', HUB],
    'library/a/b': ['docker.io', 'library/a/b', 'library/a/b', 'docker.io/library/a/b', HUB],
    'quay.io/a/b': ['quay.io', 'a/b', 'quay.io/a/b', 'quay.io/a/b', 'https://quay.io'],
    'quay.io/a': ['quay.io', 'a', 'quay.io/a', 'quay.io/a', 'https://quay.io'],
    'http://quay.io/a': ['quay.io', 'a', 'quay.io/a', 'quay.io/a', 'http://quay.io'],
    'h:5/a/b': ['h:5', 'a/b', 'h:5/a/b', 'h:5/a/b', 'https://h:5'],
    'localhost/a': ['localhost', 'a', 'localhost/a', 'localhost/a', 'http://localhost'],
    'localhost:5/a': ['localhost:5', 'a', 'localhost:5/a', 'localhost:5/a', 'http://localhost:5'],
    'https://localhost:5/a': ['localhost:5', 'a', 'localhost:5/a', 'localhost:5/a', 'https://localhost:5'],
    '127.0.0.1/a': ['127.0.0.1', 'a', '127.0.0.1/a', '127.0.0.1/a', 'http://127.0.0.1'],
    '127.0.0.1:5/a': ['127.0.0.1:5', 'a', '127.0.0.1:5/a', '127.0.0.1:5/a', 'http://127.0.0.1:5'],
    '127.0.0.12/a': ['127.0.0.12', 'a', '127.0.0.12/a', '127.0.0.12/a', 'https://127.0.0.12'],
    '[::1]:5/a': ['[::1]:5', 'a', '[::1]:5/a', '[::1]:5/a', 'https://[::1]:5'],
    'HTTPS://registry/a': ['registry', 'a', 'registry/a', 'registry/a', 'https://registry'],
    'x.y/a.b_c__d---e/0': [
        'x.y',
        'a.b_c__d---e/0',
        'x.y/a.b_c__d---e/0',
        'x.y/a.b_c__d---e/0',
        'https://x.y',
    ],
};

function rowOf({ registry, remoteName, localName, canonicalName, baseUrl }: DockerRepository): Row {
    return [registry, remoteName, localName, canonicalName, baseUrl];
}

void t.test('names of repositories', async (t) => {
    for (const [name, row] of Object.entries(NAMES)) {
        const repository = parseRepository(name);
        t.strictSame(rowOf(repository), row, name);
        t.equal(repository.isSchemeGiven, name.includes('://'), name);
    }
});

const CHARACTERS = 'may only contain [a-z0-9_/.-] characters: ';
const SLASHES = 'may not begin or end with a slash or have two in a row: ';
const SEPARATORS =
    'components may only have single separators (".", "_", "__" or hyphens) between letters and digits: ';
const LONG = 'a/'.repeat(127) + 'aa';

const REFUSED: Readonly<Record<string, string>> = {
    'X!': `${CHARACTERS}X!`,
    'quay.io/A/b': `${CHARACTERS}A/b`,
    'a b': `${CHARACTERS}a b`,
    'busybox:latest': `${CHARACTERS}busybox:latest`,
    'quay.io/a:1': `${CHARACTERS}a:1`,
    [`busybox@${DIGEST}`]: `${CHARACTERS}busybox@${DIGEST}`,
    'a?b': `${CHARACTERS}a?b`,
    'a%2e': `${CHARACTERS}a%2e`,
    'a\n': `${CHARACTERS}a\n`,
    'user:secret@host': `${CHARACTERS}***@host`,
    'quay.io/user:secret@host/a': `${CHARACTERS}***@host/a`,
    '': 'may not be empty',
    'quay.io/': 'may not be empty',
    'https://quay.io': 'there is only a host in the URL',
    'https://user:secret@quay.io': 'there is only a host in the URL',
    'https://user:secret@quay.io/a': 'may not contain user info',
    'user:secret@quay.io/a': 'may not contain user info',
    'https:///a': 'bad host: ',
    'h:70000/a': 'bad host: h:70000',
    'h:/a': 'bad host: h:',
    '../a': 'bad host: ..',
    './a': 'bad host: .',
    'x..y/a': 'bad host: x..y',
    '[::1/a': 'bad host: [::1',
    '[1.2.3]/a': 'bad host: [1.2.3]',
    '127.0.0.256/a': 'bad host: 127.0.0.256',
    'a/': `${SLASHES}a/`,
    '/a': `${SLASHES}/a`,
    'a//b': `${SLASHES}a//b`,
    'a/..': `${SEPARATORS}a/..`,
    'a/../b': `${SEPARATORS}a/../b`,
    'a/./b': `${SEPARATORS}a/./b`,
    '-a': `${SEPARATORS}-a`,
    a___b: `${SEPARATORS}a___b`,
    'a.-b': `${SEPARATORS}a.-b`,
    'ftp://quay.io/a': 'may only begin with http:// or https://, not: ftp://',
    'http://docker.io/a': 'docker.io is not asked without encryption',
    [LONG]: `may not have more than 255 characters: ${LONG.slice(0, 255)}`,
    [`${'h'.repeat(254)}:1/a`]: `bad host: ${'h'.repeat(254)}:`,
};

void t.test('what is no name of a repository', async (t) => {
    for (const [name, message] of Object.entries(REFUSED)) {
        t.throws(
            () => parseRepository(name),
            { name: 'RepositoryNameError', message: `invalid repository name, ${message}` },
            name,
        );
    }
});

void t.test('references', async (t) => {
    const rows: readonly (readonly [string, string, string | undefined, string | undefined, string])[] = [
        ['busybox', 'docker.io/busybox', undefined, undefined, 'latest'],
        ['busybox:1.0', 'docker.io/busybox', '1.0', undefined, '1.0'],
        [`busybox@${DIGEST}`, 'docker.io/busybox', undefined, DIGEST, DIGEST],
        [`a/b:c@${DIGEST}`, 'docker.io/a/b', 'c', DIGEST, DIGEST],
        ['localhost:5', 'docker.io/localhost', '5', undefined, '5'],
        ['localhost:5/a', 'localhost:5/a', undefined, undefined, 'latest'],
        ['http://127.0.0.1:5/a/b:T_1', '127.0.0.1:5/a/b', 'T_1', undefined, 'T_1'],
    ];
    for (const [text, name, tag, digest, reference] of rows) {
        const { repository, ...rest } = parseReference(text);
        t.equal(repository.canonicalName, name, text);
        const parts = {
            ...(tag === undefined ? {} : { tag }),
            ...(digest === undefined ? {} : { digest }),
            reference,
        };
        t.strictSame(rest, parts, text);
    }
});

void t.test('what is no reference', async (t) => {
    const tag = 'invalid tag, may only have 128 [A-Za-z0-9_.-] characters: ';
    const digest = 'invalid digest, must be "sha256:" and 64 hexadecimal digits: ';
    const rows: Readonly<Record<string, string>> = {
        'a:': tag,
        'a:-b': `${tag}-b`,
        'a:..': `${tag}..`,
        'a:b:c': `${tag}b:c`,
        [`a:${'b'.repeat(129)}`]: tag + 'b'.repeat(129),
        'a@': digest,
        [`a@${DIGEST.toUpperCase()}`]: digest + DIGEST.toUpperCase(),
        [`a@${DIGEST}0`]: `${digest}${DIGEST}0`,
        'user:secret@host/a:1': 'invalid repository name, may not contain user info',
        'user:secret@host': `${digest}host`,
        ':1': 'invalid repository name, may not be empty',
        'X!:1': `invalid repository name, ${CHARACTERS}X!`,
    };
    for (const [text, message] of Object.entries(rows)) {
        t.throws(() => parseReference(text), { name: 'RepositoryNameError', message }, text);
    }
});

void t.test('tags and digests', async (t) => {
    for (const good of ['latest', '1', '_', 'A.b-c_d', 'x'.repeat(128)]) {
        t.ok(isTag(good), good);
    }
    for (const bad of ['', '.', '..', '.a', '-a', 'a/b', 'a b', 'a\n', 'é', 'x'.repeat(129), 1, undefined]) {
        t.notOk(isTag(bad), String(bad));
    }
    t.ok(isDigest(DIGEST));
    for (const bad of [
        '',
        DIGEST.slice(7),
        `${DIGEST}\n`,
        DIGEST.replace('0', 'A'),
        `sha512:${'0'.repeat(128)}`,
    ]) {
        t.notOk(isDigest(bad), bad);
    }
    t.equal(shortIdOf(DIGEST), '0123456789ab');
});

void t.test('whatever is accepted is safe in a URL', async (t) => {
    const piece = fc.constantFrom(
        'a',
        'b1',
        '.',
        '..',
        '_',
        '__',
        '-',
        '/',
        '//',
        ':',
        '@',
        ':5',
        'localhost',
        '%2f',
    );
    const scheme = fc.constantFrom('', '', 'a', 'quay.io/a', 'https://', 'http://', 'ftp://');
    const named = fc
        .tuple(
            scheme,
            fc.array(fc.oneof({ weight: 9, arbitrary: piece }, fc.string({ maxLength: 3 })), {
                maxLength: 5,
            }),
        )
        .map(([first, pieces]) => first + pieces.join(''));
    const seen = { accepted: 0, refused: 0 };
    fc.assert(
        fc.property(named, (text) => {
            let parsed;
            try {
                parsed = parseReference(text);
            } catch (error) {
                seen.refused += 1;
                return error instanceof RepositoryNameError && error.message.length < 500;
            }
            seen.accepted += 1;
            const { repository, reference } = parsed;
            const path = `/v2/${repository.remoteName}/manifests/${reference}`;
            const url = new URL(`${repository.baseUrl}${path}`);
            // A host that only its scheme tells from a name is lost with it.
            const isRepeatable = !repository.isSchemeGiven || /[.:]/.test(repository.registry);
            const again = isRepeatable ? parseRepository(repository.canonicalName) : repository;
            return (
                url.pathname === path &&
                url.username === '' &&
                url.search === '' &&
                (isTag(reference) || isDigest(reference)) &&
                again.remoteName === repository.remoteName &&
                again.localName === repository.localName
            );
        }),
        { numRuns: 5000 },
    );
    t.ok(seen.accepted > 100, `${seen.accepted} accepted`);
    t.ok(seen.refused > 100, `${seen.refused} refused`);
});
