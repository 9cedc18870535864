import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { ImageStatistics } from '#lib/cli/imgapiadm/statistics/image-statistics.js';
import { countedRecord } from '#lib/cli/imgapiadm/statistics/counted-image.js';
import { statsCommand } from '#lib/cli/imgapiadm/stats.js';
import type { RawImage } from '#lib/manifest/types.js';
import { runTool } from '../helpers/admin-tool.js';
import { gzipFile, imageDirectory, writeFixtures, type Fixture } from '../helpers/images.js';
import { record } from '../helpers/records.js';
import { runHere } from '../helpers/subcommand-run.js';

const file = (stor: string, size: number) => ({ sha1: 'x', size, stor, compression: 'none' });

function counted(records: readonly RawImage[]): ImageStatistics {
    const statistics = new ImageStatistics(['owner', 'channel', 'stor', 'state']);
    records.forEach((raw) => statistics.add(countedRecord(raw)));
    return statistics;
}

void t.test('images counted', (t) => {
    const [a, b, c] = [newUuid(), newUuid(), newUuid()];
    const statistics = counted([
        record({ uuid: a, channels: ['dev', 'release'], files: [file('local', 10), file('manta', 30)] }),
        record({
            uuid: b,
            owner: c,
            channels: undefined,
            files: [file('local', 100)],
            icon: { size: 5, sha1: 'x' },
        }),
        record({ uuid: c, files: [], state: 'unactivated', activated: false }),
    ]);
    t.same(statistics.total, { images: 3, bytes: 145 });
    t.same(statistics.by('channel'), [
        ['(none)', { images: 1, bytes: 105 }],
        ['dev', { images: 2, bytes: 40 }],
        ['release', { images: 1, bytes: 40 }],
    ]);
    t.same(statistics.by('stor'), [
        ['local', { images: 2, bytes: 115 }],
        ['manta', { images: 1, bytes: 30 }],
        ['(none)', { images: 1, bytes: 0 }],
    ]);
    t.same(statistics.by('owner')[0], [c, { images: 1, bytes: 105 }]);
    t.same(statistics.by('os'), [], 'not asked for');
    t.same(
        statistics.largest.map(({ uuid, bytes }) => [uuid, bytes]),
        [
            [b, 105],
            [a, 40],
        ],
    );
    const many = counted(
        Array.from({ length: 25 }, (_one, index) => record({ files: [file('local', index + 1)] })),
    );
    t.same(
        many.largest.map(({ bytes }) => bytes),
        [25, 24, 23, 22, 21, 20, 19, 18, 17, 16],
    );
    t.end();
});

void t.test('what images are based on', (t) => {
    const [base, middle, top, side, lost, gone, one, two, stale, onStale] = Array.from(
        { length: 10 },
        newUuid,
    );
    const statistics = counted([
        record({ uuid: top, origin: middle }),
        record({ uuid: middle, origin: base }),
        record({ uuid: base }),
        record({ uuid: side, origin: base }),
        record({ uuid: lost, origin: gone }),
        record({ origin: gone }),
        record({ uuid: one, origin: two }),
        record({ uuid: two, origin: one }),
        record({ origin: one }),
        record({ uuid: stale, disabled: true, state: 'disabled' }),
        record({ uuid: onStale, origin: stale }),
    ]);
    t.same(
        [...statistics.depths],
        [
            [0, 2],
            [1, 3],
            [2, 1],
            [undefined, 5],
        ],
    );
    t.same(statistics.deadOrigins, [
        { uuid: gone, reason: 'missing', images: 2 },
        { uuid: stale, reason: 'not active', images: 1 },
    ]);
    const chain = Array.from({ length: 20_000 }, newUuid);
    const long = counted(chain.map((uuid, index) => record({ uuid, origin: chain[index + 1] })));
    t.equal(long.depths.size, chain.length, 'a chain of any length');
    t.end();
});

void t.test('stats', async (t) => {
    const base = t.testdir({ etc: {} });
    const config = { dataDir: base, mode: 'private' };
    writeFileSync(join(base, 'etc/imgapi.config.json'), JSON.stringify(config));
    const [first, second, stray] = [newUuid(), newUuid(), newUuid()];
    const published = { activated: true, published_at: '2020-01-01T00:00:00.000Z' };
    const fixtures: readonly Fixture[] = [
        { uuid: first, name: 'base', file: gzipFile('a'), ...published },
        { uuid: second, name: 'apps', file: gzipFile('bcd'), ...published, more: { origin: stray } },
    ];
    writeFixtures(base, fixtures);
    const bytes = fixtures.reduce((sum, one) => sum + (one.file?.length ?? 0), 0);
    const put = (path: string, size: number): void => {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, Buffer.alloc(size));
        utimesSync(path, 1, 1);
    };
    put(join(imageDirectory(base, first), `file0.${newUuid()}`), 7);
    put(join(imageDirectory(base, stray), 'file0'), 11);
    put(join(base, 'archive', first.slice(0, 3), `${first}.json`), 13);
    put(join(base, 'trash', '20260101T000000Z', 'images', 'x', 'file0'), 17);
    put(join(base, 'manifests', `${newUuid()}.raw`), 3);

    const whole = await runTool(['stats', '--by', 'state,os'], { IMGAPI_DATA: base });
    t.equal(whole.code, 0);
    t.equal(whole.stderr, 'imgapiadm stats: skipped a file in the manifests directory\n');
    for (const line of [
        `2 images, ${bytes} B`,
        '1 record that cannot be read: see "imgapiadm fsck"',
        'By state:',
        `  active  2 images  ${bytes} B`,
        'By os:',
        'Largest:',
        `  ${second} apps@1.0.0  ${fixtures[1]?.file?.length ?? 0} B`,
        'By number of origins:',
        '  broken  1 image',
        'Dead origins:',
        `  ${stray}  missing  of 1 image`,
        '  temporary   1 file   7 B',
        '  orphan      1 file  11 B',
        '  archive      1 file  13 B',
        '  trash        1 file  17 B',
        'Free:',
    ]) {
        t.ok(whole.stdout.includes(line), line);
    }

    const json = await runHere(statsCommand, ['-j'], { IMGAPI_DATA: base });
    const told = json.stdout.map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const expected of [
        { by: 'stor', value: 'local', images: 2, bytes },
        { origins: null, images: 1 },
        { deadOrigin: { uuid: stray, reason: 'missing', images: 1 } },
        { strays: 'orphan', files: 1, bytes: 11 },
        { directory: 'trash', files: 1, bytes: 17 },
    ]) {
        t.ok(
            told.some((line) => JSON.stringify(line) === JSON.stringify(expected)),
            JSON.stringify(expected),
        );
    }
    t.match(told.at(-1), {
        summary: {
            images: 2,
            bytes,
            unreadable: 1,
            deadOrigins: 1,
            damagedFiles: 0,
            away: [],
            interrupted: false,
        },
    });
    const quick = await runHere(statsCommand, ['-j', '--no-files', '--by=type'], { IMGAPI_DATA: base });
    t.notMatch(quick.stdout.join('\n'), /"strays"|"directory"|damagedFiles/);
    t.match(await runHere(statsCommand, ['--by', 'state,name']), {
        code: 251,
        stderr: [/--by must be of owner, type, os, state, channel, stor: "name"/],
    });
    t.match(await runHere(statsCommand, ['x']), { code: 251 });
});
