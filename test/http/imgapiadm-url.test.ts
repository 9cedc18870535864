// imgapiadm stats, fsck and export-manifests through the API of a running server (operations 2.2, 2.3).
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { exportManifests } from '#lib/cli/imgapiadm/export-manifests.js';
import { fsckCommand } from '#lib/cli/imgapiadm/fsck.js';
import { statsCommand } from '#lib/cli/imgapiadm/stats.js';
import { runTool } from '../helpers/admin-tool.js';
import { startDatacenter } from '../helpers/datacenter.js';
import type { Document } from '../helpers/http-client.js';
import { gzipFile, imageDirectory, PNG, USERS, writeFixtures, type Fixture } from '../helpers/images.js';
import { makeMantaKey } from '../helpers/manta-keys.js';
import { startMorayPlace } from '../helpers/moray-place.js';
import { ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { expectCleanEnd } from '../helpers/start-server.js';
import { runHere } from '../helpers/subcommand-run.js';

t.setTimeout(120_000);

const BY_ALL = '--by=owner,type,os,state,channel,stor';
const PUBLISHED_AT = '2020-01-01T00:00:00.000Z';

/** An image that can be used, named after what is the matter with it. */
function image(name: string, changes: Partial<Fixture> = {}): Fixture {
    const isActivated = changes.activated !== false;
    return {
        uuid: newUuid(),
        name,
        file: gzipFile(name),
        activated: true,
        public: true,
        ...(isActivated ? { published_at: PUBLISHED_AT } : {}),
        ...changes,
    };
}

function documents({ stdout }: { readonly stdout: readonly string[] }): {
    lines: readonly Document[];
    summary: Document;
} {
    const lines = stdout.map((line) => JSON.parse(line) as Document);
    return { lines, summary: lines.pop()?.['summary'] as Document };
}

/** What a run has found, in no order. */
function found(lines: readonly Document[], isAsked: (check: string) => boolean): readonly string[] {
    return lines
        .filter((line) => isAsked(String(line['check'])))
        .map(({ uuid, check, severity, message }) =>
            // A server has its own words for what is wrong with a file.
            JSON.stringify([uuid, check, severity, ...(check === 'stored-files' ? [] : [message])]),
        )
        .sort();
}

const SUBCOMMANDS = { stats: statsCommand, fsck: fsckCommand, 'export-manifests': exportManifests };

type Name = keyof typeof SUBCOMMANDS;

/** Runs the tool on a server with and without its API; in this process, which is quicker, unless told otherwise. */
function sidesOf(server: ServerProcess, access: readonly string[]) {
    const own = ['--url', server.url, ...access];
    return {
        asProcess: (name: Name, ...args: string[]) => runTool([name, ...args, ...own]),
        through: (name: Name, ...args: string[]) => runHere(SUBCOMMANDS[name], [...args, ...own]),
        onData: (name: Name, ...args: string[]) => {
            // As the server is told where its data are.
            process.env['IMGAPITEST_LOCAL_BASE_DIR'] = server.baseDir;
            return runHere(SUBCOMMANDS[name], [...args, '-c', server.configPath]);
        },
    };
}

/** A public server with channels that wants signatures, and has images with and without faults. */
async function startPublic(t: Test) {
    const baseDir = temporaryDirectory();
    const key = makeMantaKey(baseDir, 'ecdsa');
    const base = image('base');
    const absent = newUuid();
    const idle = image('idle', { activated: false });
    const elsewhere = image('elsewhere', { more: { files: [entry('s3')] } });
    const short = image('short');
    const gone = image('gone', { tags: { a: 'b' } });
    const images: readonly Fixture[] = [
        base,
        image('apps', { more: { origin: base.uuid, channels: ['dev', 'release'] } }),
        image('lost', { more: { origin: absent } }),
        idle,
        image('on-idle', { more: { origin: idle.uuid } }),
        image('twin'),
        image('twin'),
        image('odd', { disabled: true, state: 'active' }),
        image('strange', { more: { channels: ['dev', 'nightly'] } }),
        elsewhere,
        short,
        gone,
    ].map((one: Fixture) => ({ ...one, more: { channels: ['dev'], ...one.more } }));
    writeFixtures(baseDir, images);
    writeFileSync(join(imageDirectory(baseDir, short.uuid), 'file0'), 'short');
    rmSync(join(imageDirectory(baseDir, gone.uuid), 'file0'));
    for (const name of [newUuid(), newUuid()]) writeFileSync(join(baseDir, 'manifests', `${name}.raw`), '{');
    writeFileSync(join(baseDir, 'manifests', 'notes.txt'), 'no record');
    const server = await ServerProcess.start({
        baseDir,
        config: {
            mode: 'public',
            authType: 'signature',
            authKeys: { operator: [key.publicLine] },
            channels: [
                { name: 'dev', description: 'd', default: true },
                { name: 'release', description: 'r' },
            ],
        },
    });
    t.teardown(() => expectCleanEnd(server).finally(() => rmSync(baseDir, { recursive: true, force: true })));
    const access = ['-u', 'operator', '-i', key.file];
    return { server, baseDir, base, absent, images, ...sidesOf(server, access) };
}

function entry(stor: string): Document {
    return { sha1: 'da39a3ee5e6b4b0d3255bfef95601890afd80709', size: 7, compression: 'none', stor };
}

void t.test('a public server, with a key', async (t) => {
    const { server, baseDir, base, absent, images, asProcess, through, onData } = await startPublic(t);

    await t.test('stats', async (t) => {
        const [there, here] = await Promise.all([
            asProcess('stats', '-j', BY_ALL),
            onData('stats', '-j', BY_ALL),
        ]);
        t.equal(there.code, 0, there.stderr);
        t.equal(here.code, 0);
        const [told, stored] = [documents(there), documents(here)];
        const seen = stored.lines.filter((line) => !('strays' in line || 'directory' in line));
        t.strictSame(told.lines, seen, 'the same counts');
        const { images: count, bytes, unreadable, deadOrigins } = stored.summary;
        t.match(told.summary, { images: count, bytes, unreadable, deadOrigins, interrupted: false });
        t.equal(count, images.length);
        t.equal(unreadable, 2);
        t.strictSame(told.summary['leftOut'], ['icons', 'strays', 'directories']);
        t.equal(told.summary['totalBytes'], stored.summary['totalBytes']);
        t.type(told.summary['freeBytes'], 'number');
        t.notHas(told.summary, { damagedFiles: 0 }, 'nobody has looked');

        const [text, whole] = await Promise.all([through('stats'), onData('stats')]);
        const from = (lines: readonly string[], end: string) => lines.slice(0, lines.indexOf(end));
        t.strictSame(from(text.stdout, 'Free:'), from(whole.stdout, 'Files that no manifest names:'));
        t.equal(
            text.stdout.at(-1),
            'Not told by the API: bytes of icons (there are none); files that no manifest names, and damaged ones; directories',
        );
        const [one, same] = await Promise.all([
            through('stats', '-j', '-C', 'release'),
            onData('stats', '-j', '-C', 'release', '--no-files'),
        ]);
        t.match(documents(one).summary, { images: 1, deadOrigins: 0 });
        t.strictSame(documents(one).lines, documents(same).lines, 'the origin is in another channel');
    });

    await t.test('fsck', async (t) => {
        const [there, here] = await Promise.all([
            asProcess('fsck', '-j', '--simple'),
            onData('fsck', '-j', '--simple'),
        ]);
        t.equal(there.code, 1, there.stderr);
        const [told, stored] = [documents(there), documents(here)];
        const leftOut = told.summary['leftOut'] as readonly string[];
        const isMade = (check: string) =>
            !leftOut.includes(check) && !['unchecked', 'unparsable'].includes(check);
        t.strictSame(found(told.lines, isMade), found(stored.lines, isMade));
        for (const check of ['origin', 'duplicate-name', 'state', 'channels', 'file-entry', 'stored-files']) {
            t.ok(
                told.lines.some((line) => line['check'] === check),
                check,
            );
        }
        t.equal(stored.lines.filter(({ check }) => check === 'unparsable').length, 2);
        t.match(
            told.lines.filter(({ check }) => check === 'unchecked'),
            [
                {
                    severity: 'warn',
                    message: 'the server leaves out 2 records: fsck without --url tells which',
                },
            ],
        );
        t.strictSame(
            stored.lines.filter(({ check }) => leftOut.includes(String(check))).map(({ check }) => check),
            ['foreign'],
        );
        t.match(told.summary, {
            records: images.length,
            partly: ['unparsable', 'state', 'file-entry', 'channels', 'origin', 'stored-files'],
            leftOut: ['foreign', 'unfinished', 'invalid', 'uuid'],
            fixed: 0,
        });

        const text = await through('fsck', base.uuid, absent);
        t.equal(text.code, 1);
        t.strictSame(text.stdout.slice(0, 3), [
            'warning: unchecked: the server leaves out 2 records: fsck without --url tells which',
            `${absent}: error: absent: there is no such image`,
            `    Fix: imgapiadm repair --from-archive ${absent}`,
        ]);
        t.match(
            text.stdout[3],
            /^left out, as the API does not show it: foreign, .*; checked in part: unparsable, /,
        );
        t.match(text.stdout[4], /^\d+ records: 1 error, 1 warning, 0 notes$/);
        const other = await through('fsck', '-j', '-C', 'release');
        t.strictSame(
            documents(other).lines.map(({ check }) => check),
            ['unchecked'],
            'the only image there is good',
        );
    });

    await t.test('what a server is not asked to do', async (t) => {
        for (const option of ['--fix-safe', '--assign-default-channel']) {
            const { code, stdout, stderr } = await through('fsck', option);
            t.equal(code, 251);
            t.same(stdout, []);
            t.match(stderr[0], `${option} changes records as they are stored, which the API does not`);
        }
        const commands: (readonly [Name, ...string[]])[] = [
            ['stats'],
            ['fsck'],
            ['export-manifests', '-d', join(baseDir, 'refused')],
        ];
        for (const [name, ...args] of commands) {
            const { code, stdout, stderr } = await runHere(SUBCOMMANDS[name], [...args, '--url', server.url]);
            t.equal(code, 252, name);
            t.same(stdout, []);
            t.match(stderr[0], /Unauthorized.*: give --user and --identity/);
        }
        t.match(await runHere(fsckCommand, ['--url', 'http://127.0.0.1:1']), { code: 252, stdout: [] });
        t.notOk(readdirSync(baseDir).includes('refused'));
    });

    await t.test('export-manifests', async (t) => {
        const [a, b] = [join(baseDir, 'a'), join(baseDir, 'b')];
        const [there, here] = await Promise.all([
            asProcess('export-manifests', '-j', '-d', a),
            onData('export-manifests', '-q', '-d', b),
        ]);
        t.equal(there.code, 1, 'not everything could be written');
        t.equal(here.code, 1);
        t.strictSame(readdirSync(a), readdirSync(b));
        for (const name of readdirSync(b)) {
            t.equal(readFileSync(join(a, name), 'utf8'), readFileSync(join(b, name), 'utf8'), name);
        }
        const told = documents(there);
        t.match(told.summary, { exported: images.length, unusable: 1 });
        t.match(told.lines.at(-1), {
            file: 'manifests/',
            result: 'unusable',
            reason: '2 records that the server cannot use',
        });
        const again = await through('export-manifests', '-d', a, base.uuid, absent);
        t.equal(again.code, 1);
        t.strictSame(again.stdout, [
            `${absent}: no such image`,
            '2 records, 1 there already, 1 no such image',
        ]);
    });
});

void t.test('a datacenter on Moray, without signatures', async (t) => {
    const owned = { owner: USERS.vader };
    const base = image('base', { ...owned, icon: PNG });
    const images = [
        base,
        image('apps', { ...owned, more: { origin: base.uuid } }),
        image('lost', { ...owned, more: { origin: newUuid() } }),
        image('orphaned', { owner: newUuid() }),
    ];
    const { server } = await startDatacenter(t, { images, moray: await startMorayPlace(t) });
    const { through, onData } = sidesOf(server, []);

    const [there, here] = await Promise.all([through('stats', '-j'), onData('stats', '-j')]);
    t.equal(there.code, 0, there.stderr.join());
    const [told, stored] = [documents(there).summary, documents(here).summary];
    t.equal(told['images'], images.length);
    t.equal(Number(told['bytes']) + PNG.length, stored['bytes'], 'all but the icon');
    t.equal(told['untoldIcons'], 1);
    t.match(told, { deadOrigins: 1, unreadable: 0 });

    const [seen, checked] = await Promise.all([through('fsck', '-j'), onData('fsck', '-j')]);
    const { lines, summary } = documents(seen);
    const leftOut = summary['leftOut'] as readonly string[];
    t.ok(leftOut.includes('owner'), 'the user database is not asked');
    t.ok(leftOut.includes('unparsable'));
    t.strictSame(
        found(lines, () => true),
        found(documents(checked).lines, (check) => !leftOut.includes(check)),
    );
    t.match(lines, [{ check: 'origin', advice: [/^sdc-imgadm import /] }]);

    const directory = join(server.baseDir, 'exported');
    const { code, stderr } = await through('export-manifests', '-d', directory);
    t.equal(code, 252);
    t.match(stderr[0], /this server does not show its records: .* without --url/);
    t.notOk(readdirSync(server.baseDir).includes('exported'));
});

void t.test('a server that keeps its state to itself, and one that is away for a moment', async (t) => {
    const base = await startPublic(t);
    let hiccups = 1;
    // Shows images only, and fails once behind the first page.
    const proxy = createServer((request, response) => {
        const url = request.url ?? '';
        if (url.startsWith('/state')) {
            response.writeHead(404, { 'content-type': 'application/json' });
            response.end(JSON.stringify({ code: 'ResourceNotFound', message: 'not here' }));
            return;
        }
        if (url.includes('marker=') && hiccups > 0) {
            hiccups -= 1;
            response.writeHead(503).end();
            return;
        }
        const headers = signedPartOf(request);
        void fetch(base.server.url + url, { headers }).then(async (answer) => {
            response.writeHead(answer.status, { 'content-type': 'application/json' });
            response.end(await answer.text());
        });
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    t.teardown(() => proxy.close());
    const address = proxy.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const key = join(base.baseDir, 'manta-ecdsa.key');
    const access = ['--url', `http://127.0.0.1:${port}`, '-u', 'operator', '-i', key];
    const stats = await runHere(statsCommand, ['-j', ...access]);
    const fsck = await runHere(fsckCommand, ['-j', ...access]);
    t.equal(stats.code, 0, stats.stderr.join());
    t.equal(hiccups, 0, 'the page was asked for again');
    t.match(stats.stderr[0], 'the server does not show its state: not here (ResourceNotFound)');
    t.match(documents(stats).summary, {
        images: base.images.length,
        leftOut: ['icons', 'strays', 'directories', 'unreadable', 'space'],
    });
    const { leftOut } = documents(fsck).summary as { readonly leftOut: readonly string[] };
    t.ok(
        ['unparsable', 'channels', 'owner'].every((check) => leftOut.includes(check)),
        leftOut.join(),
    );
});

/** What a request is signed with, and what version of the API it asks for. */
function signedPartOf({ headers }: IncomingMessage): Record<string, string> {
    return Object.fromEntries(
        ['date', 'authorization', 'accept-version'].flatMap((name) => {
            const value = headers[name];
            return typeof value === 'string' ? [[name, value]] : [];
        }),
    );
}
