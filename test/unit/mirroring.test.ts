import fc from 'fast-check';
import t from 'tap';
import { needOf, sourceUrlOf } from '#lib/cli/imgapiadm/mirroring/plan.js';
import { baseFirst, isUsable, latest } from '#lib/cli/imgapiadm/mirroring/selection.js';
import { bytesOfFiles, sha1OfFirstFile } from '#lib/manifest/document-files.js';
import { changedFields } from '#lib/manifest/copied-fields.js';

const FILE = { sha1: 'a'.repeat(40), size: 10 };
const IMAGE = { uuid: 'one', name: 'base', state: 'active', files: [FILE] };

void t.test('which fields follow the source', (t) => {
    const here = {
        ...IMAGE,
        description: 'old',
        homepage: 'https://a',
        acl: ['x', 'y'],
        owner: 'me',
        tags: {},
    };
    const there = { ...IMAGE, description: 'new', acl: ['y', 'x', 'y'], owner: 'you', published_at: 'later' };
    t.same(changedFields(here, there), { description: 'new', homepage: null });
    t.same(changedFields(there, here), { description: 'old', homepage: 'https://a' });
    t.same(changedFields(here, { ...here, tags: null, requirements: {}, acl: ['y', 'x'] }), {});
    t.same(changedFields({ ...here, tags: { a: { b: 1 } } }, { ...here, tags: { a: { b: 2 } } }), {
        tags: { a: { b: 2 } },
    });
    t.same(changedFields({ ...here, public: true }, { ...here, public: false }), { public: false });
    t.end();
});

void t.test('what there is to do for an image', (t) => {
    t.same(needOf(IMAGE, undefined), { kind: 'import' });
    t.same(needOf(IMAGE, { ...IMAGE, state: 'creating' }), { kind: 'import' });
    t.same(needOf(IMAGE, { ...IMAGE, state: 'unactivated' }), { kind: 'import' });
    t.same(needOf(IMAGE, { ...IMAGE, state: 'disabled' }), { kind: 'nothing' });
    t.same(needOf(IMAGE, { ...IMAGE, files: [{ ...FILE, sha1: 'b' }] }), { kind: 'differs' });
    t.same(
        needOf(IMAGE, { ...IMAGE, acl: ['someone'] }),
        { kind: 'nothing' },
        'who may use it is ours to say',
    );
    t.same(needOf({ ...IMAGE, os: 'linux' }, { ...IMAGE, acl: ['someone'], eula: 'https://e' }), {
        kind: 'update',
        fields: { os: 'linux', eula: null },
    });
    t.end();
});

void t.test('facts of documents of any form', (t) => {
    t.equal(bytesOfFiles({ files: [{ size: 1 }, { size: 2 }] }), 3);
    for (const files of [undefined, null, 'x', [], [{ size: 1 }, {}], [{ size: 'x' }], [null]]) {
        t.equal(bytesOfFiles({ files }), undefined);
    }
    t.equal(sha1OfFirstFile({ files: [{ sha1: 'a' }, { sha1: 'b' }] }), 'a');
    t.equal(sha1OfFirstFile({ files: [] }), undefined);
    t.equal(sourceUrlOf({ uuid: 'a', provenance: { source_url: 'http://s' } }), 'http://s');
    for (const provenance of [undefined, null, 'x', ['x'], {}, { source_url: 5 }]) {
        t.equal(sourceUrlOf({ uuid: 'a', ...(provenance === undefined ? {} : { provenance }) }), '');
    }
    t.same(
        ['active', 'disabled', 'unactivated', 'creating', 'failed'].map((state) =>
            isUsable({ uuid: 'a', state }),
        ),
        [true, true, false, false, false],
    );
    t.end();
});

void t.test('the newest of each name', (t) => {
    const images = [
        { uuid: '1', name: 'a', published_at: '2012-01-01T00:00:00Z' },
        { uuid: '2', name: 'b', published_at: '2012-01-02T00:00:00Z' },
        { uuid: '3', name: 'a', published_at: '2012-01-03T00:00:00Z' },
        { uuid: '4', name: 'a', published_at: '2012-01-02T00:00:00Z' },
    ];
    const newest = (count: number | undefined) => latest(images, count).map(({ uuid }) => uuid);
    t.same(newest(1), ['3', '2']);
    t.same(newest(2), ['3', '2', '4']);
    t.same(newest(9).length, 4);
    t.same(newest(undefined), ['1', '2', '3', '4']);
    t.end();
});

void t.test('any images are put behind those they are based on, each once', (t) => {
    const graph = fc.array(fc.integer({ min: -1, max: 11 }), { minLength: 1, maxLength: 12 });
    fc.assert(
        fc.property(graph, (origins) => {
            const images = origins.map((origin, index) => ({
                uuid: String(index),
                ...(origin === -1 ? {} : { origin: String(origin) }),
            }));
            const ordered = baseFirst(images).map(({ uuid }) => Number(uuid));
            t.same(
                [...ordered].sort((a, b) => a - b),
                images.map((_, index) => index),
            );
            const hasCircle = (start: number): boolean => {
                const seen = new Set<number>();
                let at: number | undefined = start;
                while (at !== undefined && at !== -1 && origins[at] !== undefined) {
                    if (seen.has(at)) return true;
                    seen.add(at);
                    at = origins[at];
                }
                return false;
            };
            return origins.every(
                (origin, index) =>
                    origin === -1 ||
                    origin >= origins.length ||
                    hasCircle(index) ||
                    ordered.indexOf(origin) < ordered.indexOf(index),
            );
        }),
        { numRuns: 300 },
    );
    t.end();
});
