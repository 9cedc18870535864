// imgapiadm check-files on files in Manta, records in Moray, and through a server (operations 2.2, 2.3).
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runTool, parseReport } from '../helpers/admin-tool.js';
import { checkFiles, fileOf, GZIP, PLAIN, type CheckFilesRun } from '../helpers/check-files-run.js';
import {
    changed,
    goodFile,
    pathOf,
    plantAll,
    planted,
    recordOf,
    type PlantedImage,
} from '../helpers/checked-images.js';
import { datacenterConfig } from '../helpers/datacenter.js';
import { md5Base64, PNG, sha1Hex } from '../helpers/images.js';
import { makeMantaKey } from '../helpers/manta-keys.js';
import { mantaClient, startManta } from '../helpers/manta-place.js';
import { startMorayPlace } from '../helpers/moray-place.js';
import { ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { expectCleanEnd } from '../helpers/start-server.js';

t.setTimeout(120_000);

const MISSING = { bytes: PLAIN, stored: undefined };

void t.test('files in Manta', async (t) => {
    const { double, root, config: manta, directory } = await startManta(t);
    const client = mantaClient(t, manta);
    const objectOf = ({ uuid }: PlantedImage): string =>
        `${root}/imgapi/images/${uuid.slice(0, 3)}/${uuid}/file0`;
    const put = async (image: PlantedImage, bytes: Buffer): Promise<void> => {
        const path = objectOf(image);
        await client.call('mkdirp', path.slice(0, path.lastIndexOf('/')));
        await client.put(path, bytes);
    };
    const away = (name: string): PlantedImage => planted(name, [goodFile(GZIP, 'gzip', 'manta')]);
    const [good, short, other, rotten, missing, here] = [
        away('good'),
        away('short'),
        away('other'),
        away('rotten'),
        away('missing'),
        away('here'),
    ] as const;
    const there = planted('there', [MISSING]);
    const base = t.testdir({});
    const images = [good, short, other, rotten, missing, here, there];
    const config = plantAll(base, images, { storageTypes: ['local', 'manta'], manta });
    await put(good, GZIP);
    await put(short, GZIP.subarray(1));
    await put(other, changed(GZIP));
    await put(rotten, GZIP);
    await put(there, PLAIN);
    writeFileSync(pathOf(base, here), GZIP);
    const entry = double.entry(objectOf(rotten));
    if (entry?.type !== 'object') throw new Error('no object');
    writeFileSync(join(directory, 'manta/blobs', entry.blob), changed(GZIP));

    const run = await checkFiles(config);
    t.match(run, { code: 5, summary: { good: 2, bad: 5, bytes: 0 } });
    const expected: [PlantedImage, string, RegExp][] = [
        [short, 'file corruption', /^invalid size /],
        [other, 'file corruption', /^invalid md5 /],
        [missing, 'file missing', /^ENOENT/],
        [here, 'file misplaced', /^ENOENT.*; it is good in local$/],
        [there, 'file misplaced', /; it is good in manta$/],
    ];
    for (const [image, state, reason] of expected) t.match(fileOf(run, image), { state, reason }, image.name);
    t.match(fileOf(run, short), { stor: 'manta', path: objectOf(short), index: 0 });
    const firstFix = (image: PlantedImage): unknown => (run.images.get(image.uuid)?.['fix'] as string[])[0];
    t.equal(firstFix(here), `imgapiadm repair ${here.uuid}`);
    t.match(firstFix(missing), /^# Delete /);

    t.match(await checkFiles(config, ['-s', '--no-cache']), { code: 4 }, 'by size only');
    double.clearRequests();
    const cached = await checkFiles(config, [good.uuid]);
    t.match(cached, { code: 0, summary: { cachedFiles: 1 } });
    const head = { method: 'HEAD', path: objectOf(good) };
    t.equal(double.requests(head).length, 0, 'what is known is not asked for');
    const deep = await checkFiles(config, ['--deep']);
    t.match(deep, { code: 6, summary: { good: 1, bad: 6, cachedFiles: 0 } }, 'not deep enough');
    t.match(fileOf(deep, rotten), { state: 'file corruption', reason: /^Content-MD5 is / });
    t.match(await checkFiles(config, ['--deep', good.uuid]), { code: 0, summary: { cachedFiles: 1 } });

    await double.stop();
    const dark = await checkFiles(config, ['-f', '--stor', 'manta', good.uuid]);
    t.match(dark, { code: 252, summary: { failed: 1, bad: 0 } });
    t.match(dark.images.get(good.uuid), { result: 'failed' });
});

void t.test('records in Moray', async (t) => {
    const moray = await startMorayPlace(t);
    const base = t.testdir({});
    const ufds = { url: 'ldap://127.0.0.1:1', bindDN: 'cn=root', bindPassword: 'x' };
    const missing = planted('missing', [MISSING]);
    const good = planted('good', [goodFile(PLAIN)], { origin: missing.uuid });
    const config = plantAll(base, [missing, good], datacenterConfig(ufds, { moray }));
    t.match(await checkFiles(config), { code: 0, summary: { images: 0 } }, 'nothing in the database');
    for (const image of [missing, good]) await moray.put(image.uuid, recordOf(image));
    const run = await checkFiles(config);
    t.match(run, { code: 1, summary: { good: 1, bad: 1 } });
    t.same(run.images.get(missing.uuid)?.['fix'], [
        '# Delete image and its offspring for re-import',
        `sdc-imgadm delete ${good.uuid}`,
        `sdc-imgadm delete ${missing.uuid}`,
    ]);
});

/** A server that wants signatures, and the options that let the tool in. */
async function startServer(t: Test, images: readonly PlantedImage[]) {
    const baseDir = temporaryDirectory();
    plantAll(baseDir, images);
    const key = makeMantaKey(baseDir, 'ecdsa');
    const server = await ServerProcess.start({
        baseDir,
        config: { authType: 'signature', authKeys: { operator: [key.publicLine] } },
    });
    t.teardown(() => expectCleanEnd(server).finally(() => rmSync(baseDir, { recursive: true, force: true })));
    const access = ['--url', server.url, '-u', 'operator', '-i', key.file];
    return { baseDir, server, access };
}

void t.test('through a server', async (t) => {
    const icon = {
        sha1: sha1Hex(PNG),
        size: PNG.length,
        contentMD5: md5Base64(PNG),
        contentType: 'image/png',
    };
    const good = planted('good', [goodFile(GZIP, 'gzip')], { icon: { ...icon, stor: 'local' } });
    const second = planted('second', [goodFile(PLAIN), { bytes: PLAIN, stored: changed(PLAIN) }]);
    const disabled = planted('disabled', [MISSING], { state: 'disabled', disabled: true, origin: good.uuid });
    const short = planted('short', [{ bytes: PLAIN, stored: PLAIN.subarray(1) }]);
    const archive = planted('archive', [goodFile(PLAIN, 'gzip')]);
    const { baseDir, server, access } = await startServer(t, [good, second, disabled, short, archive]);
    const check = async (...args: string[]): Promise<Omit<CheckFilesRun, 'stderr'> & { stderr: string }> => {
        const exit = await runTool(['check-files', '-j', ...access, ...args]);
        return { ...exit, code: exit.code ?? -1, ...parseReport(exit.stdout) };
    };
    const run = await check();
    t.match(run, { code: 4, summary: { good: 1, bad: 4, failed: 0, files: 6 } });
    t.match(fileOf(run, second), {
        state: 'file corruption',
        index: 1,
        path: `${server.url}/images/${second.uuid}/file?index=1`,
        reason: /^invalid (md5|sha1) /,
    });
    t.match(fileOf(run, disabled), { state: 'file missing' });
    t.match(fileOf(run, short), { state: 'file corruption', reason: /is corrupt in storage$/ });
    t.match(fileOf(run, archive), { reason: 'invalid gzip archive' });

    writeFileSync(pathOf(baseDir, good, 'icon'), PNG);
    t.match(await check('-s', '--icons'), { code: 2, summary: { bytes: 0, files: 7 } });
    t.match(await check('--icons', good.uuid), { code: 0, summary: { good: 1, files: 2 } });
    rmSync(pathOf(baseDir, good, 'icon'));
    t.match(await check('--icons', good.uuid), { code: 1, summary: { bad: 1 } });

    const offline = await runTool(['check-files', '-j', '-c', server.configPath], {
        IMGAPITEST_LOCAL_BASE_DIR: baseDir,
    });
    t.match(offline, { code: 4 }, 'the data beside the server');
    const nowhere = await runTool(['check-files', '--url', 'http://127.0.0.1:1']);
    t.match(nowhere, { code: 252, stdout: [] });
});
