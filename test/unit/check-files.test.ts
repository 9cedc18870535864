// imgapiadm check-files on data directories: what is found, remembered, and said (operations 2.1-2.3).
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { checkFilesCommand } from '#lib/cli/imgapiadm/check-files.js';
import { parseReport, runTool } from '../helpers/admin-tool.js';
import { checkFiles, fileOf, GZIP, PLAIN } from '../helpers/check-files-run.js';
import {
    changed,
    goodFile,
    packed,
    pathOf,
    plantAll,
    planted,
    type PlantedImage,
    writeRecord,
} from '../helpers/checked-images.js';
import { datacenterConfig } from '../helpers/datacenter.js';
import { md5Base64, PNG, sha1Hex } from '../helpers/images.js';
import { runHere, type SubcommandExit } from '../helpers/subcommand-run.js';

const SEE = 'https://smartos.org/bugview/IMGAPI-515';

void t.test('good files, and all that can be wrong with one', async (t) => {
    const base = t.testdir({});
    const [bzip2, xz] = [packed('bzip2', PLAIN), packed('xz', PLAIN)];
    const here = [
        goodFile(GZIP, 'gzip'),
        ...(bzip2 === undefined ? [] : [goodFile(bzip2, 'bzip2')]),
        ...(xz === undefined ? [] : [goodFile(xz, 'xz')]),
    ];
    const good = planted('good', [goodFile(PLAIN), goodFile(Buffer.from('small'))]);
    const archives = here.map((file) => planted('archive', [file]));
    const linked = planted('linked', [{ bytes: GZIP, stored: undefined, compression: 'gzip' }]);
    const bad: Record<string, [PlantedImage, string, string | RegExp]> = {
        short: [
            planted('short', [{ bytes: PLAIN, stored: PLAIN.subarray(1) }]),
            'file corruption',
            `invalid size (actual ${PLAIN.length - 1} != manifest ${PLAIN.length})`,
        ],
        other: [
            planted('other', [{ bytes: PLAIN, stored: changed(PLAIN) }]),
            'file corruption',
            `invalid sha1 (actual ${sha1Hex(changed(PLAIN))} != manifest ${sha1Hex(PLAIN)})`,
        ],
        sha256: [
            planted('sha256', [{ ...goodFile(PLAIN), more: { sha256: 'a'.repeat(64) } }]),
            'file corruption',
            /^invalid sha256 /,
        ],
        md5: [
            planted('md5', [{ ...goodFile(PLAIN), more: { contentMD5: md5Base64('x') } }]),
            'file corruption',
            `invalid md5 (actual ${md5Base64(PLAIN)} != manifest ${md5Base64('x')})`,
        ],
        archive: [planted('archive', [goodFile(PLAIN, 'gzip')]), 'file corruption', 'invalid gzip archive'],
        missing: [
            planted('missing', [{ bytes: PLAIN, stored: undefined }]),
            'file missing',
            'ENOENT: no such file or directory',
        ],
        directory: [planted('directory', [{ bytes: PLAIN, stored: undefined }]), 'file missing', /ENOENT/],
        dangling: [planted('dangling', [{ bytes: PLAIN, stored: undefined }]), 'file missing', /ENOENT/],
        circle: [planted('circle', [{ bytes: PLAIN, stored: undefined }]), 'file corruption', /^ELOOP: /],
        second: [
            planted('second', [goodFile(PLAIN), { bytes: PLAIN, stored: undefined }]),
            'file missing',
            /ENOENT/,
        ],
    };
    const config = plantAll(base, [good, linked, ...archives, ...Object.values(bad).map(([image]) => image)]);
    writeFileSync(join(base, 'elsewhere'), GZIP);
    symlinkSync(join(base, 'elsewhere'), pathOf(base, linked));
    for (const [name, target] of [
        ['dangling', 'nothing'],
        ['circle', 'file0'],
    ] as const) {
        symlinkSync(target, pathOf(base, bad[name]?.[0] ?? good));
    }
    mkdirSync(pathOf(base, bad['directory']?.[0] ?? good));
    const run = await checkFiles(config, ['--deep']);
    t.equal(run.code, Object.keys(bad).length);
    t.match(run.summary, {
        images: 12 + archives.length,
        good: 2 + archives.length,
        bad: 10,
        failed: 0,
        skipped: 0,
        complete: true,
    });
    t.equal(run.images.size, 10, 'good ones are only counted');
    for (const [name, [image, state, reason]] of Object.entries(bad)) {
        const index = name === 'second' ? 1 : 0;
        const path = pathOf(base, image, `file${index}`);
        t.match(fileOf(run, image), { state, reason, index, stor: 'local', path }, name);
        t.match(run.images.get(image.uuid), { result: 'bad', name, version: '1.0.0', see: SEE });
    }
    const repair = (image: PlantedImage | undefined): unknown =>
        (run.images.get(image?.uuid ?? '')?.['fix'] as string[])[0];
    t.equal(repair(bad['md5']?.[0]), `imgapiadm repair ${bad['md5']?.[0].uuid}`, 'the record is wrong');
    t.match(repair(bad['other']?.[0]), /^# Delete /);

    t.equal((await checkFiles(config)).code, 9, 'all but SHA-256');
    const simple = await checkFiles(config, ['-s', '-f']);
    t.equal(simple.code, 6, 'existence and size');
    t.equal(simple.summary['bytes'], 0);
    const one = await checkFiles(config, [good.uuid, linked.uuid]);
    t.match(one, { code: 0, summary: { images: 2, good: 2, bad: 0 } });
});

void t.test('the text of a report', async (t) => {
    const base = t.testdir({});
    const top = planted('top', [goodFile(PLAIN)]);
    const middle = planted('middle', [{ bytes: GZIP, stored: undefined, compression: 'gzip' }], {
        origin: top.uuid,
        version: '2',
    });
    const child = planted('child', [goodFile(PLAIN)], { origin: middle.uuid });
    const [first, second] = [1, 2].map((n) =>
        planted(`grandchild${n}`, [goodFile(PLAIN)], {
            origin: child.uuid,
            ...(n === 2 ? { state: 'disabled', disabled: true } : {}),
        }),
    ) as [PlantedImage, PlantedImage];
    const config = plantAll(base, [top, middle, child, first, second]);
    const path = pathOf(base, middle);
    const run = (...args: string[]): Promise<SubcommandExit> =>
        runHere(checkFilesCommand, ['-c', config, ...args]);
    const { code, stdout, stderr } = await run();
    t.equal(code, 1);
    t.same(stderr, []);
    const order =
        stdout.findIndex((line) => line.includes(first.uuid)) <
        stdout.findIndex((line) => line.includes(second.uuid))
            ? [first, second]
            : [second, first];
    t.same(stdout.slice(0, -1), [
        ` Image: ${middle.uuid} (middle@2)`,
        ' State: file missing',
        ` Where: local, ${path}, file 0`,
        'Reason: ENOENT: no such file or directory',
        `   See: ${SEE}`,
        '   Fix: # Delete image and its offspring for re-import',
        ...order.map(({ uuid }) => `   Fix: imgapi-cli delete ${uuid}`),
        `   Fix: imgapi-cli delete ${child.uuid}`,
        `   Fix: imgapi-cli delete ${middle.uuid}`,
        ...order.map(
            ({ uuid, name }) => `Impact: Provisioning with head image ${uuid} (${name}@1.0.0) will fail`,
        ),
        '',
    ]);
    t.match(stdout.at(-1), /^checked 5 files of 5 images \(3\.5 MiB read\) in \d+s: 4 good, 1 bad$/);

    const temporary = `${path}.${newUuid()}`;
    writeFileSync(temporary, GZIP);
    t.ok((await run()).stdout.includes(`   Fix: imgapiadm repair ${middle.uuid}`), 'a good temporary file');
    t.ok((await run()).stdout.includes('   Fix: # Or delete image and its offspring for re-import'));
    rmSync(temporary);
    const from = 'https://images.example.com';
    const provenance = { kind: 'import', source_image: middle.uuid, source_url: from, at: '2020-01-01' };
    writeRecord(base, { ...middle, more: { origin: top.uuid, x_imgapi: { provenance } } });
    const source = `   Fix: imgapiadm repair ${middle.uuid} --source ${from}`;
    t.ok((await run()).stdout.includes(source), 'a known source');

    writeFileSync(path, GZIP);
    const good = await run();
    t.equal(good.code, 0);
    t.equal(good.stdout.length, 1);
    t.match(good.stdout[0], /: 5 good, 0 bad, 4 files known to be good$/);
    const ufds = { url: 'ldap://127.0.0.1:1', bindDN: 'cn=root', bindPassword: 'x' };
    writeFileSync(config, JSON.stringify({ ...datacenterConfig(ufds), dataDir: base }));
    rmSync(path);
    t.ok((await run('-q')).stdout.includes(`   Fix: sdc-imgadm delete ${child.uuid}`), 'in a datacenter');
});

void t.test('which images and files', async (t) => {
    const base = t.testdir({});
    const tags = (id: string) => ({ tags: [`docker:id=${id}`], tagsObj: { 'docker:id': id } });
    const missing = { bytes: PLAIN, stored: undefined };
    const docker = planted('docker', [missing], tags('sha256:1'));
    const oldDocker = planted('old-docker', [missing], tags('1234'));
    const disabled = planted('disabled', [missing], { state: 'disabled', disabled: true });
    const facts = { sha1: sha1Hex(PNG), size: PNG.length, contentMD5: md5Base64(PNG), stor: 'local' };
    const icon = planted('icon', [goodFile(PLAIN)], { icon: { ...facts, contentType: 'image/png' } });
    const away = planted('away', [{ bytes: PLAIN, stored: undefined, stor: 'manta' }], { channels: ['b'] });
    const fileless = planted('fileless', [], {
        activated: false,
        state: 'unactivated',
        published_at: undefined,
        files: undefined,
    });
    const channels = ['a', 'b'].map((name) => ({ name, description: name }));
    const all = [docker, oldDocker, disabled, icon, fileless].map((image) => ({
        ...image,
        more: { channels: ['a'], ...image.more },
    }));
    const config = plantAll(base, [...all, away], { channels });
    const bad = async (...args: string[]): Promise<unknown[]> => {
        const { images } = await checkFiles(config, ['--no-cache', ...args]);
        return [...images.values()]
            .filter(({ result }) => result === 'bad')
            .map(({ name }) => name)
            .sort();
    };
    t.same(await bad(), ['disabled', 'docker', 'old-docker']);
    t.same(await bad('-d'), ['docker']);
    t.same(await bad('--state', 'disabled'), ['disabled']);
    t.same(await bad('--stor', 'manta'), []);
    t.same(await bad('--icons', '--stor', 'local'), ['disabled', 'docker', 'icon', 'old-docker']);
    t.same(await bad('--channel', 'b'), []);
    t.notOk(existsSync(join(base, 'run/check-files.json')), 'nothing is remembered');
    const run = await checkFiles(config, ['--icons', icon.uuid]);
    t.same(run.images.get(icon.uuid)?.['fix'], [
        '# Delete the icon, and add it again',
        `imgapi-cli delete-icon ${icon.uuid}`,
    ]);
    t.same(run.images.get(icon.uuid)?.['impact'], []);
    t.match(fileOf(run, icon), { index: 'icon', state: 'file missing' });

    const unknown = await checkFiles(config, [away.uuid]);
    t.equal(unknown.code, 252, 'what cannot be checked is not good');
    t.match(unknown.images.get(away.uuid), { result: 'failed', files: [{ state: 'not checked' }] });
    t.match(unknown.stderr.join(), /files in manta: not checked: storage "manta": not configured/);
});

void t.test('a wrong command line, or no way to run', async (t) => {
    const base = t.testdir({});
    const image = planted('good', [goodFile(PLAIN)]);
    const config = plantAll(base, [image]);
    const nobody = newUuid();
    const cases: [string[], number, RegExp][] = [
        [['x'], 251, /not a UUID: "x"/],
        [['--parallel', '0'], 251, /--parallel must be 1\.\.64: "0"/],
        [['--state', 'gone'], 251, /--state must be all, active, .*: "gone"/],
        [['--stor', 's3'], 251, /--stor must be local, manta: "s3"/],
        [['--limit-rate', '1k'], 251, /--limit-rate must be a number of bytes a second: "1k"/],
        [['--max-age', '-1'], 251, /--max-age must be 1\.\./],
        [['--simple', '--deep'], 251, /--simple and --deep cannot be used together/],
        [[image.uuid, nobody], 252, new RegExp(`no such image: ${nobody}`)],
    ];
    for (const [args, code, message] of cases) {
        const exit = await runHere(checkFilesCommand, ['-c', config, ...args]);
        t.match(exit, { code, stdout: [] }, args.join(' '));
        t.match(exit.stderr[0], message);
    }
    t.match(await runTool(['check-files', '-c', join(base, 'none.json')]), { code: 252, stdout: [] });
    const broken = join(base, 'manifests', `${newUuid()}.raw`);
    writeFileSync(broken, '{');
    const skipping = await checkFiles(config);
    t.match(skipping, { code: 0, summary: { good: 1, unreadableRecords: 1 } });
    t.match(skipping.stderr.join('\n'), /records? cannot be read|not all records can be read/);
});

void t.test('more bad images than an exit status can tell', async (t) => {
    const missing = Array.from({ length: 260 }, (_none, n) =>
        planted(`image${n}`, [{ bytes: PLAIN, stored: undefined }]),
    );
    const config = plantAll(t.testdir({}), missing);
    t.match(await checkFiles(config), { code: 250, summary: { bad: 260 } });
    t.match(
        await checkFiles(
            config,
            missing.slice(0, 250).map(({ uuid }) => uuid),
        ),
        { code: 250, summary: { bad: 250 } },
    );
});

void t.test('no programs to unpack with', async (t) => {
    const [bzip2, xz] = [packed('bzip2', PLAIN), packed('xz', PLAIN)];
    if (bzip2 === undefined || xz === undefined) {
        t.pass('no bzip2 or xz here', { skip: 'no bzip2 or xz here' });
        return;
    }
    const base = t.testdir({ empty: {} });
    const images = [
        planted('a', [goodFile(bzip2, 'bzip2')]),
        planted('b', [goodFile(xz, 'xz')]),
        planted('c', [goodFile(xz, 'xz')]),
        planted('d', [goodFile(GZIP, 'gzip')]),
    ];
    const config = plantAll(base, images);
    const { code, stdout, stderr } = await runTool(['check-files', '-c', config, '-j'], {
        PATH: join(base, 'empty'),
    });
    t.equal(code, 0);
    t.match(parseReport(stdout).summary, { good: 1, skipped: 3, bad: 0 });
    t.same(stderr.split('\n').slice(0, -1).sort(), [
        'imgapiadm check-files: files in local: archives not tested: no program "bzip2" to test the archive with',
        'imgapiadm check-files: files in local: archives not tested: no program "xz" to test the archive with',
    ]);
    t.match((await checkFiles(config)).summary, { good: 4, cachedFiles: 1 }, 'that was not remembered');
});
