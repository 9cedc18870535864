import * as fc from 'fast-check';
import { NOBODY, USERS } from '../helpers/images.js';
import { serialise, type Seed } from './fuzz-requests.js';

const { vader, luke } = USERS;
const JSON_TYPE = { 'content-type': 'application/json' };

const get = (target: string): Seed => ({ method: 'GET', target });
const send = (method: string, target: string, value: unknown): Seed => ({
    method,
    target,
    headers: JSON_TYPE,
    body: JSON.stringify(value),
});

const MANIFEST = {
    v: 2,
    owner: vader,
    name: 'fuzz',
    version: '1.0.0',
    type: 'zone-dataset',
    os: 'smartos',
};

/** Requests that only a datacenter, or a server with accounts, understands. */
export function datacenterSeeds(uuid: string): readonly Seed[] {
    return [
        { method: 'POST', target: `/images/${uuid}/clone?account=${luke}&unshare=true` },
        get(`/images/${uuid}/ancestors?account=${luke}&depth=5&channel=*`),
        get(`/images/${uuid}/dependents?account=${vader}&depth=3`),
        get(`/images/${uuid}/clones?account=${vader}`),
        get(`/images/${uuid}/usage?account=${vader}&dependents=true`),
        get(`/accounts/${luke}/image-sharing?account=${luke}`),
        send('PUT', `/accounts/${luke}/image-sharing`, { trusted_accounts: [vader] }),
        get(`/images/${uuid}?account=${luke}&via=${uuid}&inclProvenance=true&inclShareInfo=true`),
        get(`/images/${uuid}/file?account=${luke}&via=${uuid}`),
        get(`/images?account=${luke}&source_image=${uuid}&inclShareInfo=true&inclProvenance=true`),
        get(`/images?account=${luke}&name=~a&version=~1&type=!zvol&os=smartos&state=all&limit=20`),
        get(`/images?marker=${uuid}&limit=3&sort=published_at.desc&tag.role=db&billing_tag=a`),
        send('POST', `/images/${uuid}?action=import&skip_owner_check=true`, { ...MANIFEST, uuid }),
        send('POST', `/images?account=${vader}`, { ...MANIFEST, origin: uuid, tags: { role: 'db' } }),
        send('POST', `/images/${uuid}?action=update&account=${vader}`, {
            billing_tags: ['a'],
            urn: 'a:b:c:d',
        }),
        send('POST', `/images/${uuid}/acl?action=add&account=${vader}`, [luke, NOBODY]),
    ];
}

/** Values that filters, index columns and texts of databases stumble over. */
const ODD = [
    '',
    ' ',
    '\0',
    'a\0b',
    '\\',
    'a\\',
    '\\2a',
    '\\zz',
    '*',
    '*a*',
    '(',
    ')',
    ')(uuid=*)',
    '*)(|(owner=*',
    '&',
    '|',
    '!',
    '!!',
    '!\\',
    '~',
    '~*',
    '~%',
    '~_',
    '~\\',
    '~(',
    '~ a ',
    '=',
    'a=',
    '=b',
    'a=b',
    '>=',
    '<=1',
    '~=',
    ':=',
    ':caseIgnoreMatch:=a',
    '%',
    '%%',
    "'",
    '"',
    "'; DROP TABLE imgapi_images; --",
    '{}',
    '{a,b}',
    '{"a"}',
    ',',
    'NULL',
    'null',
    'undefined',
    '__proto__',
    'constructor',
    'toString',
    '\n',
    '\t\r\n',
    '\u007f',
    '\u00e9',
    'e\u0301',
    '\u2028',
    '\ufeff',
    '\uffff',
    '\ud83d\ude00',
    '\ud800',
    '\udc00a',
    '-1',
    '0',
    '1e9',
    '1001',
    '9007199254740993',
    '9999-12-31T23:59:59.999Z',
    '0000-01-01T00:00:00Z',
    '-000001-01-01T00:00:00Z',
    '+275760-09-13T00:00:00.000Z',
    'a'.repeat(512),
    // Together still short enough for an entry of an index (backends 4.3).
    'b'.repeat(1200),
] as const;

const PARAMETERS = [
    'account',
    'channel',
    'owner',
    'name',
    'version',
    'os',
    'type',
    'state',
    'public',
    'marker',
    'limit',
    'sort',
    'tag.role',
    'tag.',
    'tag.a=',
    'tag.*',
    'tag.\\',
    'tag.\0',
    'billing_tag',
    'via',
    'inclProvenance',
    'inclShareInfo',
    'inclAdminFields',
    'source_image',
    'depth',
    'dependents',
    'unshare',
    'skip_owner_check',
    'index',
    'action',
    'expand',
] as const;

/** Text no generator thinks of, and text that one does. */
const oddText = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom<string>(...ODD) },
    {
        weight: 1,
        arbitrary: fc.tuple(fc.constantFrom(...ODD), fc.constantFrom(...ODD)).map((two) => two.join('')),
    },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
);

/** As the bytes of a query: an unpaired surrogate becomes what is no UTF-8. */
function encode(text: string): string {
    const bytes = Array.from(text).flatMap((character) => {
        const code = character.codePointAt(0) ?? 0;
        const isUnpaired = code >= 0xd800 && code <= 0xdfff;
        return isUnpaired
            ? [0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)]
            : [...Buffer.from(character)];
    });
    return bytes.map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
}

/** Queries with known names and odd values. */
const oddQuery = fc
    .array(fc.tuple(fc.constantFrom(...PARAMETERS), oddText), { minLength: 1, maxLength: 4 })
    .map((pairs) => pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&'));

/** A manifest with odd values where a database has columns. */
const oddManifest = fc
    .record(
        {
            name: oddText,
            version: oddText,
            owner: oddText,
            origin: oddText,
            os: oddText,
            type: oddText,
            state: oddText,
            urn: oddText,
            description: oddText,
            published_at: oddText,
            expires_at: oddText,
            acl: fc.oneof(oddText, fc.array(oddText, { maxLength: 3 })),
            billing_tags: fc.oneof(oddText, fc.array(oddText, { maxLength: 3 })),
            tags: fc.dictionary(oddText, fc.oneof(oddText, fc.jsonValue()), { maxKeys: 4 }),
            requirements: fc.dictionary(oddText, fc.jsonValue(), { maxKeys: 2 }),
            traits: fc.dictionary(oddText, fc.jsonValue(), { maxKeys: 2 }),
            public: fc.oneof(fc.boolean(), oddText),
            disabled: fc.oneof(fc.boolean(), oddText),
        },
        { requiredKeys: [] },
    )
    .map((fields) => {
        // Few at a time, else nothing would ever pass the rules.
        const [first, second] = Object.entries(fields);
        return Object.fromEntries([first, second].filter((field) => field !== undefined));
    });

/** Complete requests whose only oddity is their values. */
export function oddRequests(uuid: string): fc.Arbitrary<Buffer> {
    const paths = ['ancestors', 'dependents', 'clones', 'usage', 'file', 'icon', ''].map(
        (end) => `/images/${uuid}${end === '' ? '' : `/${end}`}`,
    );
    const reads = fc
        .tuple(fc.constantFrom('/images', '/images', '/images', ...paths), oddQuery)
        .map(([path, query]) => serialise(get(`${path}?${query}`)));
    const writes = fc
        .tuple(
            fc.constantFrom('/images?', `/images?account=${vader}`, `/images/${uuid}?action=update`),
            oddManifest,
        )
        .map(([target, odd]) => {
            const value = target.startsWith('/images?') ? { ...MANIFEST, ...odd } : odd;
            return serialise(send('POST', target, value));
        });
    const changes = fc
        .tuple(fc.constantFrom('clone', 'acl', 'icon'), oddQuery, oddText)
        .map(([end, query, text]) => serialise(send('POST', `/images/${uuid}/${end}?${query}`, [text])));
    const sharing = fc
        .tuple(fc.constantFrom(luke, vader), oddQuery, fc.array(oddText, { maxLength: 3 }))
        .map(([account, query, trusted]) =>
            serialise(
                send('PUT', `/accounts/${account}/image-sharing?${query}`, { trusted_accounts: trusted }),
            ),
        );
    return fc.oneof(
        { weight: 5, arbitrary: reads },
        { weight: 4, arbitrary: writes },
        { weight: 2, arbitrary: changes },
        { weight: 1, arbitrary: sharing },
    );
}
