// Whatever a manifest holds, the pages for browsers have the same markup as with harmless values.
import fc from 'fast-check';
import t from 'tap';
import { imageListPage } from '#lib/http/pages/image-list-page.js';
import { imagePage } from '#lib/http/pages/image-page.js';
import { pageText, queryText } from '#lib/http/pages/page.js';
import type { JsonObject } from '#lib/manifest/types.js';

const UUID = '1c58161c-2547-41e2-a75e-9fdca1940570';

/** Tags and the names of their attributes, in order. */
function markup(html: string): readonly string[] {
    return (html.match(/<[^>]*>/g) ?? []).map((tag) => tag.replace(/"[^"]*"/g, '""'));
}

/** Texts that would be markup, templates or ends of attributes if they could. */
const hostile = fc
    .array(
        fc.oneof(
            fc.constantFrom('<', '>', '"', "'", '&', '`', '=', '/', '{{', '}}', '{{{', '{{#', '&quot;', '\0'),
            fc.constantFrom('<script>', '</pre>', '-->', '<!--', ' onload="', '{{{body}}}', '{{>x}}', 'a'),
            fc.string({ minLength: 1, maxLength: 5, unit: 'binary' }),
        ),
        { minLength: 1, maxLength: 12 },
    )
    .map((parts) => `x${parts.join('')}`);

const KEYS = ['name', 'version', 'type', 'os', 'owner', 'published_at', 'homepage', 'origin', 'description'];

const manifests = fc.record({
    ...Object.fromEntries(KEYS.map((key) => [key, hostile])),
    tags: fc.dictionary(hostile, hostile, { minKeys: 1, maxKeys: 3 }),
    error: fc.record({ message: hostile }),
    inherited_directories: fc.array(hostile, { minLength: 1, maxLength: 3 }),
    sha1: hostile,
});

function manifestOf({ sha1, ...rest }: Record<string, unknown>): JsonObject {
    const files = [{ sha1, size: 1234, compression: 'gzip' }];
    return { uuid: UUID, state: 'active', public: true, icon: true, ...rest, files } as JsonObject;
}

const HARMLESS = manifestOf({
    ...Object.fromEntries(KEYS.map((key) => [key, 'x'])),
    tags: { x: 'x' },
    error: { message: 'x' },
    inherited_directories: ['x'],
    sha1: 'x',
});

const listOf = (manifest: JsonObject, name: string): string =>
    pageText(
        imageListPage({
            manifests: [manifest],
            filters: { name, account: name, channel: name, os: name },
            channels: [name],
            channel: 'dev',
            mayChooseState: true,
            hasPublicImages: true,
            isContinued: true,
            nextMarker: UUID,
        }),
    );
const pageOf = (manifest: JsonObject, channel: string): string =>
    pageText(imagePage({ manifest, channel, account: channel, via: channel, hasChannels: true }));

await t.test('texts stay texts', (t) => {
    const list = markup(listOf(HARMLESS, 'x'));
    const page = markup(pageOf(HARMLESS, 'x'));
    fc.assert(
        fc.property(manifests, hostile, (values, given) => {
            const manifest = manifestOf(values);
            t.strictSame(markup(listOf(manifest, given)), list);
            t.strictSame(markup(pageOf(manifest, given)), page);
        }),
        { numRuns: 200 },
    );
    t.end();
});

await t.test('only addresses of pages are links', (t) => {
    const rows: readonly (readonly [string, boolean])[] = [
        ['https://example.com/a', true],
        ['HTTP://example.com/a', true],
        [' http://example.com/a', true],
        ['javascript:alert(1)', false],
        ['data:text/html,<script>', false],
        ['http:javascript', false],
        ['/images', false],
    ];
    for (const [homepage, isLink] of rows) {
        const html = pageOf({ ...HARMLESS, homepage }, 'x');
        t.equal(/homepage<\/th><td><a /.test(html), isLink, homepage);
    }
    t.end();
});

await t.test('records with less, or with values of other types', (t) => {
    const odd = {
        uuid: UUID,
        name: 5,
        published_at: 7,
        state: 'failed',
        error: 'x',
        tags: null,
    } as JsonObject;
    t.match(listOf(odd, 'x'), '<td></td><td></td>');
    t.match(listOf(odd, 'x'), 'failed');
    const html = pageOf(odd, 'x');
    t.match(html, '<th scope="row">name</th><td>5</td>');
    t.notMatch(html, 'imgadm import', 'nothing to import');
    t.notMatch(html, '<h2>Files');
    t.end();
});

await t.test('sizes', (t) => {
    const sizes = (...all: readonly unknown[]): JsonObject =>
        ({ ...HARMLESS, files: all.map((size) => ({ sha1: 'x', compression: 'none', size })) }) as JsonObject;
    const rows: readonly (readonly [readonly unknown[], string])[] = [
        [[], ''],
        [[1, 2], '3 B'],
        [['1000', '1000'], '2.0 KiB'],
        [['abc'], ''],
        [[-5], ''],
        [[undefined, 7], ''],
    ];
    for (const [all, text] of rows) {
        t.match(listOf(sizes(...all), 'x'), `<td>${text}</td></tr>`, JSON.stringify(all));
    }
    const html = pageOf(sizes(5, 2048), 'x');
    t.match(html, '<td>2.0 KiB (2048)</td>');
    t.match(html, `${UUID}-1</a>`, 'the second file');
    t.match(html, 'index&#x3D;1');
    t.end();
});

await t.test('other things than texts', (t) => {
    const html = pageOf({ ...HARMLESS, description: ['a', 'b'], users: [{ name: 'root' }] }, 'x');
    t.match(html, '<p class="text">a, b</p>');
    t.match(html, /<pre>\[\s*\{\s*&quot;name&quot;: &quot;root&quot;/);
    t.end();
});

await t.test('what a compute node imports', (t) => {
    const command = `imgadm import ${UUID}`;
    const rows: readonly (readonly [string, JsonObject, boolean])[] = [
        ['active', {}, true],
        ['disabled', { state: 'disabled' }, false],
        ['lxd', { type: 'lxd' }, false],
        ['no file', { files: [] }, false],
    ];
    for (const [what, changes, isShown] of rows) {
        const facts = { manifest: { ...HARMLESS, ...changes }, hasChannels: true };
        t.equal(pageText(imagePage(facts)).includes(command), isShown, what);
        t.notMatch(pageText(imagePage({ ...facts, channel: 'dev' })), 'imgadm', `${what}, in a channel`);
    }
    t.end();
});

await t.test('query strings', (t) => {
    t.equal(queryText({}), '');
    t.equal(queryText({ a: undefined, b: '' }), '');
    t.equal(queryText({ a: 'x y', b: '&' }), '?a=x+y&b=%26');
    t.end();
});
