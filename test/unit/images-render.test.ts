import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { DocumentRenderer, type RenderForm } from '#lib/images/render.js';
import { toApiManifest } from '#lib/manifest/serialize.js';
import type { RawImage } from '#lib/manifest/types.js';
import { validateRaw } from '#lib/manifest/validate.js';
import { rawRecord } from '../helpers/images.js';

const FORM: RenderForm = { mode: 'private', version2: false, inclAdminFields: false };

function image(more: Readonly<Record<string, unknown>> = {}, uuid = newUuid()): RawImage {
    const file = { sha1: 'a'.repeat(40), size: 1, compression: 'none', stor: 'local' };
    const record = rawRecord({ uuid, name: 'n', more: { files: [file], ...more } });
    return validateRaw(record, { mode: 'private', channels: false }, 'lenient');
}

function text(parts: readonly Buffer[]): string {
    return Buffer.concat(parts).toString();
}

function expectedList(raws: readonly RawImage[], form: RenderForm): string {
    return JSON.stringify(
        raws.map((raw) => toApiManifest(raw, form)),
        null,
        2,
    );
}

const anyForm: fc.Arbitrary<RenderForm> = fc.record({
    mode: fc.constantFrom('public' as const, 'private' as const, 'dc' as const),
    version2: fc.boolean(),
    inclAdminFields: fc.boolean(),
});

const anyImage = fc
    .record(
        {
            description: fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
            tagsObj: fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })),
            users: fc.array(fc.record({ name: fc.string({ unit: 'grapheme' }) })),
            traits: fc.dictionary(fc.string(), fc.boolean()),
            requirements: fc.constantFrom({}, { brand: 'lx', min_ram: 5 }),
        },
        { requiredKeys: [] },
    )
    .map((more) => image({ ...more, ...(more.tagsObj === undefined ? {} : { tags: [] }) }));

void t.test('documents and lists are what JSON.stringify makes of them', async (t) => {
    const small = new DocumentRenderer({ maxBytes: 8000 });
    const large = new DocumentRenderer();
    const images = fc.sample(anyImage, 50);
    await fc.assert(
        fc.asyncProperty(fc.subarray(images, { minLength: 0 }), anyForm, async (raws, form) => {
            for (const renderer of [small, large]) {
                for (const raw of raws) {
                    const { text: sent, etag } = renderer.document(raw, form);
                    const manifest = toApiManifest(raw, form);
                    if (sent.toString() !== JSON.stringify(manifest, null, 2)) return false;
                    const hash = createHash('sha1').update(JSON.stringify(manifest), 'utf8').digest('hex');
                    if (etag !== hash) return false;
                }
                if (text(renderer.list(raws, form)) !== expectedList(raws, form)) return false;
            }
            return small.bytes <= 8000;
        }),
        { numRuns: 100 },
    );
    t.equal(text(small.list([], FORM)), '[]');
    const twoLines = [image({ description: 'two\nlines' }), image()];
    t.equal(text(small.list(twoLines, FORM)), expectedList(twoLines, FORM));
});

void t.test('long lists come in large parts', async (t) => {
    const renderer = new DocumentRenderer();
    const raws = Array.from({ length: 2000 }, () => image({ description: 'd'.repeat(1000) }));
    const parts = renderer.list(raws, FORM);
    t.equal(text(parts), expectedList(raws, FORM));
    t.ok(parts.length < 15 && parts.every((part) => part.length < 300_000), `${parts.length} parts`);
});

void t.test('texts are kept with their record', async (t) => {
    const renderer = new DocumentRenderer();
    const uuid = newUuid();
    const raw = image({ description: 'old' }, uuid);
    const first = renderer.document(raw, FORM);
    t.equal(renderer.document(raw, FORM), first, 'the very same');
    renderer.list([raw], FORM);
    t.equal(renderer.document(raw, FORM), first, 'also beside a list');
    t.not(renderer.document(raw, { ...FORM, inclAdminFields: true }).etag, first.etag, 'forms differ');
    const changed = image({ description: 'new' }, uuid);
    t.match(renderer.document(changed, FORM).text.toString(), /"new"/);
    t.match(text(renderer.list([changed], FORM)), /"new"/);
    t.match(renderer.document(raw, FORM).text.toString(), /"old"/, 'an older record still held by a request');
    renderer.clear();
    t.equal(renderer.bytes, 0);
    t.not(renderer.document(raw, FORM), first);
});

void t.test('the bytes kept are bounded', async (t) => {
    const maxBytes = 50_000;
    const renderer = new DocumentRenderer({ maxBytes });
    const raws = Array.from({ length: 200 }, () => image({ description: 'd'.repeat(1000) }));
    const [hot] = raws;
    if (hot === undefined) throw new Error('no image');
    const kept = renderer.document(hot, FORM);
    for (const raw of raws.slice(1)) {
        renderer.document(raw, FORM);
        t.equal(renderer.document(hot, FORM), kept, 'what is used stays');
        if (renderer.bytes > maxBytes) t.fail(`${renderer.bytes} bytes`);
    }
    renderer.list(raws, FORM);
    const [sent] = renderer.list(raws.slice(0, 1), FORM);
    t.ok(sent);
    t.ok(renderer.bytes <= maxBytes, `${renderer.bytes} bytes`);
    const nothing = new DocumentRenderer({ maxBytes: 0 });
    t.same(nothing.document(hot, FORM).text, kept.text);
    t.equal(nothing.bytes, 0);
    const huge = image({ description: 'd'.repeat(10_000) });
    const tiny = new DocumentRenderer({ maxBytes: 5000 });
    tiny.document(huge, FORM);
    t.equal(tiny.bytes, 0, 'what does not fit at all throws nothing else out');
});

void t.test('a list longer than the cache still finds part of itself there', async (t) => {
    const renderer = new DocumentRenderer({ maxBytes: 100_000 });
    const raws = Array.from({ length: 200 }, () => image({ description: 'd'.repeat(1000) }));
    renderer.list(raws, FORM);
    const before = renderer.bytes;
    const serialised = { count: 0 };
    const originalStringify = JSON.stringify;
    t.teardown(() => (JSON.stringify = originalStringify));
    JSON.stringify = ((...args: Parameters<typeof originalStringify>) => {
        serialised.count += 1;
        return originalStringify(...args);
    }) as typeof originalStringify;
    renderer.list(raws, FORM);
    JSON.stringify = originalStringify;
    t.ok(before > 50_000);
    t.ok(serialised.count < 180, `${serialised.count} of 200 rendered again`);
});
