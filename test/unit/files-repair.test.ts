import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { AdminTool } from '../helpers/admin-tool.js';
import { ImageServerDouble } from '../doubles/image-server/image-server-double.js';
import { changes, DamagedTree, kindsOf, parseFindings } from '../helpers/damaged-tree.js';
import { gzipFile, md5Base64, PNG, sha1Hex, USERS } from '../helpers/images.js';

t.setTimeout(120_000);

const FILE = gzipFile('the file of an image');
const OTHER = Buffer.from('x'.repeat(FILE.length));
/** Who the server runs as, where root runs the tool. */
const NOBODY = 65_534;

/** Makes {@link FILE} the file of an image, with a record that says so. */
function described(tree: DamagedTree, facts: Readonly<Record<string, unknown>> = {}): string {
    const entry = {
        sha1: sha1Hex(FILE),
        size: FILE.length,
        contentMD5: md5Base64(FILE),
        mtime: '2012-11-01T10:00:00.000Z',
        stor: 'local',
        compression: 'gzip',
        ...facts,
    };
    return tree.record({ more: { files: [entry] } });
}

void t.test('each file is put in its place, each manifest right, and nothing else is touched', async (t) => {
    const tree = new DamagedTree(t);
    tree.many(3);
    const upload = `file0.${newUuid()}`;
    const recoverable = described(tree);
    const temporary = tree.put(tree.path(recoverable, upload), FILE);
    const corrupt = described(tree);
    tree.put(tree.path(corrupt, 'file0'), OTHER);
    const good = tree.put(tree.path(corrupt, upload), FILE);
    const legacy = described(tree);
    const old = tree.put(`images/${legacy}/file0`, FILE);
    const wrong = described(tree, { size: 5, contentMD5: 'AAAAAAAAAAAAAAAAAAAAAA==' });
    tree.put(tree.path(wrong, 'file0'), FILE);
    const oldForm = described(tree, { size: 7 });
    tree.put(tree.path(oldForm, 'file0'), FILE);
    const record = tree.json(`manifests/${oldForm}.raw`);
    tree.put(
        `manifests/${oldForm}.raw`,
        JSON.stringify({ ...record, activated: 'true', disabled: 'false', acl: USERS.vader }),
    );
    mkdirSync(join(tree.base, 'images/fff'));
    const missing = described(tree);
    const before = tree.snapshot();

    const rehearsal = await tree.run('repair', '-n', '-j');
    t.equal(rehearsal.code, 1, rehearsal.stderr);
    t.same(changes(before, tree.snapshot()), []);
    const run = await tree.run('repair', '-y', '-j');
    t.equal(run.code, 1, run.stderr);
    const { findings, summary } = parseFindings(run.stdout);
    t.same(
        kindsOf(tree.base, findings),
        [
            'empty images/fff',
            `legacy ${old}`,
            `manifest ${tree.path(oldForm, 'file0')}`,
            `manifest ${tree.path(wrong, 'file0')}`,
            `missing ${tree.path(missing, 'file0')}`,
            `recoverable ${good}`,
            `recoverable ${temporary}`,
        ].sort(),
    );
    t.match(summary, { results: { repaired: 6, left: 1 } });
    const lost = findings.find(({ kind }) => kind === 'missing');
    t.same(lost?.['commands'], [`imgapi-cli delete ${missing}`, `imgapi-cli import ${missing} -S URL`]);
    const after = tree.snapshot();
    t.same(
        changes(before, after).filter((change) => !change.startsWith('+archive/')),
        [
            `+${tree.path(legacy, 'file0')}`,
            `+${tree.path(recoverable, 'file0')}`,
            `-${old}`,
            `-${temporary}`,
            `-${good}`,
            `~${tree.path(corrupt, 'file0')}`,
            `~manifests/${wrong}.raw`,
            `~manifests/${oldForm}.raw`,
        ].sort((a, b) => (a.slice(1) < b.slice(1) ? -1 : 1)),
    );
    for (const [uuid, from] of [
        [legacy, old],
        [recoverable, temporary],
        [corrupt, good],
    ] as const) {
        t.equal(after.get(tree.path(uuid, 'file0')), before.get(from), 'bytes, time and mode');
    }
    t.notOk(existsSync(join(tree.base, 'images', legacy)));
    for (const uuid of [wrong, oldForm]) {
        t.match(tree.json(`manifests/${uuid}.raw`), {
            files: [{ size: FILE.length, contentMD5: md5Base64(FILE), mtime: '2012-11-01T10:00:00.000Z' }],
        });
    }
    t.match(tree.json(`manifests/${oldForm}.raw`), { activated: true, disabled: false, acl: [USERS.vader] });
    const again = await tree.run('repair', '-y', '-j');
    t.same(kindsOf(tree.base, parseFindings(again.stdout).findings), [
        `missing ${tree.path(missing, 'file0')}`,
    ]);
    t.same(changes(after, tree.snapshot()), []);
});

void t.test('missing and corrupt files are fetched, if the source has the right ones', async (t) => {
    const tree = new DamagedTree(t);
    const source = await new ImageServerDouble().start();
    t.teardown(() => source.stop());
    const missing = described(tree);
    const corrupt = described(tree);
    tree.put(tree.path(corrupt, 'file0'), OTHER);
    const different = described(tree);
    const icon = tree.record({ file: FILE, icon: PNG });
    tree.put(tree.path(icon, 'file0'), FILE);
    source.add({ uuid: missing }, [{ bytes: FILE, cut: { after: 10, times: 1 } }]);
    source.add({ uuid: corrupt }, [FILE]);
    source.add({ uuid: different }, [OTHER]);
    const before = tree.snapshot();
    const all = [missing, corrupt, different, icon];
    const run = await tree.run('repair', '-y', '-j', '--source', source.url, ...all);
    t.equal(run.code, 1, run.stderr);
    const results = parseFindings(run.stdout).findings.map(({ uuid, result }) => [uuid, result]);
    t.strictSame(
        new Map(results as [string, string][]),
        new Map([
            [missing, 'repaired'],
            [corrupt, 'repaired'],
            [different, 'failed'],
            [icon, 'failed'],
        ]),
    );
    t.match(run.stdout.join('\n'), /the source has another file0/);
    const after = tree.snapshot();
    t.same(changes(before, after), [
        ...[missing, corrupt]
            .map((uuid) => `${uuid === missing ? '+' : '~'}${tree.path(uuid, 'file0')}`)
            .sort((a, b) => (a.slice(1) < b.slice(1) ? -1 : 1)),
    ]);
    for (const uuid of [missing, corrupt]) t.equal(tree.text(tree.path(uuid, 'file0')), FILE.toString());
    const unknown = await tree.run('repair', '-y', newUuid());
    t.equal(unknown.code, 252);
    t.match(unknown.stderr, /there is no image/);
});

void t.test('manifests are made again of archived ones', async (t) => {
    const tree = new DamagedTree(t);
    tree.many(5);
    const orphan = newUuid();
    const files = [tree.put(tree.path(orphan, 'file0'), FILE), tree.put(tree.path(orphan, 'icon'), PNG)];
    const archived = (uuid: string, sha1: string): string =>
        tree.put(
            `archive/${uuid.slice(0, 3)}/${uuid}.json`,
            JSON.stringify({
                v: 2,
                uuid,
                owner: USERS.vader,
                name: 'again',
                version: '1.2.3',
                state: 'active',
                disabled: false,
                public: false,
                published_at: '2015-01-02T03:04:05.000Z',
                type: 'zone-dataset',
                os: 'smartos',
                files: [{ sha1, size: FILE.length, compression: 'gzip', dataset_guid: '42' }],
                icon: true,
                acl: [USERS.vader],
                tags: { role: 'db' },
            }),
        );
    archived(orphan, sha1Hex(FILE));
    const damaged = described(tree);
    tree.put(tree.path(damaged, 'file0'), FILE);
    tree.put(`manifests/${damaged}.raw`, '{"uuid": "');
    archived(damaged, sha1Hex(FILE));
    const other = newUuid();
    tree.put(tree.path(other, 'file0'), OTHER);
    archived(other, sha1Hex(FILE));
    const before = tree.snapshot();
    const plain = await tree.run('repair', '-y', orphan);
    t.equal(plain.code, 0, 'an orphan is for gc, unless it is to be an image again');
    const run = await tree.run('repair', '-y', '-j', '--from-archive', orphan, damaged, other);
    t.equal(run.code, 1, run.stderr);
    t.match(run.stdout.join('\n'), /file0 is not that of the archived manifest/);
    const quarantined = readdirSync(join(tree.base, 'quarantine'));
    t.match(quarantined, [new RegExp(`^${damaged}\\.raw\\.\\d{8}T\\d{6}Z$`)]);
    t.equal(tree.text(`quarantine/${quarantined[0] ?? ''}`), '{"uuid": "');
    t.same(
        changes(before, tree.snapshot()).filter((change) => !/^~archive/.test(change)),
        [`+manifests/${orphan}.raw`, `~manifests/${damaged}.raw`, `+quarantine/${quarantined[0] ?? ''}`].sort(
            (a, b) => (a.slice(1) < b.slice(1) ? -1 : 1),
        ),
    );
    t.match(tree.json(`manifests/${orphan}.raw`), {
        uuid: orphan,
        state: 'disabled',
        activated: true,
        disabled: true,
        published_at: '2015-01-02T03:04:05.000Z',
        acl: [USERS.vader],
        tags: ['role=db'],
        tagsObj: { role: 'db' },
        files: [
            {
                sha1: sha1Hex(FILE),
                size: FILE.length,
                contentMD5: md5Base64(FILE),
                stor: 'local',
                compression: 'gzip',
                dataset_guid: '42',
            },
        ],
        icon: { sha1: sha1Hex(PNG), contentType: 'image/png', contentMD5: md5Base64(PNG) },
    });
    t.match(tree.json(`manifests/${damaged}.raw`), { state: 'active', activated: true, disabled: false });
    t.same(
        files.map((path) => existsSync(join(tree.base, path))),
        [true, true],
    );
    t.match(await tree.run('repair', '-y', '--from-archive'), { code: 251, stderr: /which images/ });
});

void t.test(
    'of an archived manifest comes a record in its channels, where a server has channels',
    async (t) => {
        const channels = ['dev', 'release'].map((name) => ({
            name,
            description: name,
            default: name === 'dev',
        }));
        for (const [config, archived, expected] of [
            [{ channels }, { channels: ['release', 'dev'] }, ['release', 'dev']],
            [{ channels }, {}, []],
            [{}, { channels: ['release'] }, undefined],
        ] as const) {
            const tree = new DamagedTree(t, config);
            const lost = newUuid();
            tree.put(tree.path(lost, 'file0'), FILE);
            const manifest = {
                v: 2,
                uuid: lost,
                owner: USERS.sdc,
                name: 'lost',
                version: '1',
                state: 'active',
            };
            const more = { disabled: false, public: false, type: 'zone-dataset', os: 'smartos', ...archived };
            tree.put(`archive/${lost.slice(0, 3)}/${lost}.json`, JSON.stringify({ ...manifest, ...more }));
            const run = await tree.run('repair', '-y', '--from-archive', lost);
            t.equal(run.code, 0, run.stderr);
            t.strictSame(tree.json(`manifests/${lost}.raw`)['channels'], expected);
        }
    },
);

void t.test('what keeps the server out', async (t) => {
    const isRoot = process.getuid?.() === 0;
    const tree = new DamagedTree(t);
    const uuid = described(tree);
    const file = tree.put(tree.path(uuid, 'file0'), FILE);
    const full = join(tree.base, file);
    chmodSync(full, 0);
    if (!isRoot) {
        const run = await tree.run('repair', '-y');
        t.equal(run.code, 1, run.stderr);
        t.match(run.stdout, [/^permission +local /, `    Fix: chmod 0640 ${full}`]);
        t.equal(statSync(full).mode & 0o777, 0);
        return;
    }
    const giveAll = (path: string): void => {
        chownSync(path, NOBODY, NOBODY);
        if (lstatSync(path).isDirectory()) readdirSync(path).forEach((name) => giveAll(join(path, name)));
    };
    giveAll(tree.base);
    chownSync(full, 0, 0);
    const before = tree.snapshot();
    const look = await tree.run('repair', '-n');
    t.equal(look.code, 1, look.stderr);
    t.match(look.stdout.join('\n'), `Fix: chown ${NOBODY}:${NOBODY} ${full}`);
    t.same(changes(before, tree.snapshot()), []);
    const run = await tree.run('repair', '-y');
    t.equal(run.code, 0, run.stderr);
    const { uid, gid, mode } = statSync(full);
    t.same([uid, gid, mode & 0o777], [NOBODY, NOBODY, 0o640]);
    t.same(changes(before, tree.snapshot()), [`~${file}`]);
});

void t.test('kill -9 in the middle, then again', async (t: Test) => {
    const tree = new DamagedTree(t);
    const uuids = Array.from({ length: 150 }, () => described(tree));
    const [olds, temporaries] = [uuids.slice(0, 75), uuids.slice(75)];
    for (const uuid of olds) tree.put(`images/${uuid}/file0`, FILE);
    for (const uuid of temporaries) tree.put(tree.path(uuid, 'file0.req'), FILE);
    const first = new AdminTool(['repair', '-y', '-j', '-c', tree.configPath], tree.environment);
    await first.printed(10);
    first.signal('SIGKILL');
    t.equal((await first.exited).signal, 'SIGKILL');
    const second = await tree.run('repair', '-y');
    t.equal(second.code, 0, second.stderr);
    const after = tree.snapshot();
    const files = [...after].filter(([path, text]) => path.startsWith('images/') && text !== 'directory');
    t.same(files.map(([path]) => path).sort(), uuids.map((uuid) => tree.path(uuid, 'file0')).sort());
    t.equal(new Set(files.map(([, text]) => text.split(' ').at(-1))).size, 1, 'all have the right bytes');
});
