import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CHECKS, fsckCommand } from '#lib/cli/imgapiadm/fsck.js';
import { runTool } from '../helpers/admin-tool.js';
import {
    BYTES,
    damagedUuid,
    DAMAGES,
    fileOf,
    goodRecord,
    longChain,
    plantArchived,
    plantConfig,
    plantRecord,
    type Damage,
} from '../helpers/damaged-records.js';
import { differences, treeOf } from '../helpers/data-tree.js';
import type { Document } from '../helpers/http-client.js';
import { imageDirectory, NOBODY } from '../helpers/images.js';
import { problemsForOthers, storedRecord } from '../helpers/record-rules.js';
import { ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import { runHere } from '../helpers/subcommand-run.js';

t.setTimeout(120_000);

/** An empty data directory with a configuration. */
function place(t: Test, config: Readonly<Record<string, unknown>> = {}) {
    const base = temporaryDirectory();
    t.teardown(() => rmSync(base, { recursive: true, force: true }));
    return { base, config: plantConfig(base, config) };
}

function damagedPlace(t: Test) {
    const made = place(t);
    for (const damage of DAMAGES) {
        const { record, archived, uuid } = damage;
        if (record !== undefined) plantRecord(made.base, fileOf(damage), record);
        if (archived !== undefined) plantArchived(made.base, uuid, archived);
    }
    // What the expired placeholder leaves behind if only its record goes.
    const left = imageDirectory(made.base, damagedUuid(40));
    mkdirSync(left, { recursive: true });
    writeFileSync(join(left, 'file0'), BYTES);
    return made;
}

/** What a run has said: findings by file or uuid, and the summary. */
function reported(lines: readonly string[]) {
    const documents = lines.map((line) => JSON.parse(line) as Document);
    const summary = documents.pop()?.['summary'] as Document;
    const of = (damage: Damage) =>
        documents.filter((one) =>
            damage.uuid === '' ? one['file'] === damage.file : one['uuid'] === damage.uuid,
        );
    return { documents, summary, of };
}

const fsck = (...args: string[]) => runHere(fsckCommand, args);

await t.test('each row of damage is found, and nothing is touched', async (t) => {
    const { base, config } = damagedPlace(t);
    const before = treeOf(base);
    const { code, stdout, stderr } = await fsck('-c', config, '-j', '-q');
    t.equal(code, 1, stderr.join('\n'));
    const { documents, summary, of } = reported(stdout);
    for (const damage of DAMAGES) {
        const found = of(damage);
        t.strictSame(
            found.map((one) => [one['check'], one['severity']]).sort(),
            damage.findings.map(([check, severity]) => [check, severity]).sort(),
            `${damage.name}: ${JSON.stringify(found)}`,
        );
        for (const [check, , message] of damage.findings) {
            const said = found.filter((one) => one['check'] === check).map((one) => String(one['message']));
            if (message !== undefined)
                t.ok(
                    said.some((one) => message.test(one)),
                    `${damage.name}: ${said.join()}`,
                );
        }
        t.ok(found.every((one) => one['result'] === 'found'));
    }
    const expected = DAMAGES.flatMap(({ findings }) => findings);
    t.equal(documents.length, expected.length, 'nothing else is found');
    const count = (severity: string) => expected.filter((one) => one[1] === severity).length;
    t.match(summary, {
        errors: count('error'),
        warnings: count('warn'),
        infos: count('info'),
        fixed: 0,
        interrupted: false,
    });
    const names = new Set(CHECKS.map(({ name }) => name));
    t.strictSame(
        documents.filter((one) => !names.has(String(one['check']))),
        [],
        'every check is in the help',
    );
    t.strictSame(differences(before, treeOf(base)), []);

    await t.test('in words, with what to do', async (t) => {
        const said = await fsck('-c', config, '-q', damagedUuid(2), damagedUuid(30));
        t.equal(said.code, 1);
        t.strictSame(said.stdout, [
            `${damagedUuid(2)}.raw: error: unparsable: ${String(of(DAMAGES[1] as Damage)[0]?.['message'])}`,
            `    Fix: imgapiadm repair --from-archive ${damagedUuid(2)}`,
            `${damagedUuid(30)} image-30@1.0.0: error: origin: origin 00000000-dead-4000-8000-000000000000 is missing`,
            '    Fix: imgapi-cli import -S URL 00000000-dead-4000-8000-000000000000',
            '    Fix: imgapiadm repair --from-archive 00000000-dead-4000-8000-000000000000',
            said.stdout.at(-1),
        ]);
        t.match(said.stdout.at(-1), /: 2 errors, 0 warnings, 0 notes$/);
    });
});

await t.test('what is safe is repaired as stated, and nothing else is touched', async (t) => {
    const { base, config } = damagedPlace(t);
    const before = treeOf(base);
    const shown = await fsck('-c', config, '-j', '-q', '--fix-safe', '-n');
    t.equal(shown.code, 1);
    t.strictSame(differences(before, treeOf(base)), [], 'a dry run changes nothing');
    const intended = reported(shown.stdout);
    t.equal(intended.summary['dryRun'], true);

    const { code, stdout, stderr } = await fsck('-c', config, '-j', '-q', '--fix-safe', '-y');
    t.equal(code, 1, stderr.join('\n'));
    const { of, summary } = reported(stdout);
    const changes: string[] = ['+ run/', '+ quarantine/'];
    for (const damage of DAMAGES) {
        const { name, uuid, record, fixed, left = [] } = damage;
        const path = `manifests/${fileOf(damage)}`;
        const results = Object.fromEntries(
            of(damage).map((one) => [one['check'], one['result']]),
        ) as Document;
        const wanted = damage.findings.map(([check]) => {
            const isFixed = fixed !== undefined && !left.includes(check);
            const isTried = left.includes(check) && check === 'state';
            return [check, isFixed ? 'fixed' : isTried ? 'failed' : 'found'];
        });
        t.strictSame(results, Object.fromEntries(wanted), name);
        const intent = intended.of(damage).filter((one) => one['result'] === 'would-fix');
        t.strictSame(
            intent.map((one) => one['check']).sort(),
            wanted
                .filter(([, result]) => result !== 'found')
                .map(([check]) => check)
                .sort(),
            `${name}: the dry run said so`,
        );
        if (fixed === 'gone') {
            changes.push(`- ${path}`);
        } else if (fixed !== undefined) {
            changes.push(`~ ${path}`);
            if (damage.archived === undefined) changes.push(`+ archive/bad/${uuid}.json`);
            const { raw, text } = storedRecord(base, uuid);
            t.strictSame(
                raw,
                typeof record === 'string' ? fixed : { ...record, ...fixed },
                `${name}: ${text}`,
            );
            t.equal(text, JSON.stringify(raw, null, 2));
            t.strictSame(
                problemsForOthers(raw, { mode: 'private', channels: false }),
                [],
                `${name}: fine for others`,
            );
        }
    }
    const directory = `images/bad/${damagedUuid(40)}`;
    changes.push(`- ${directory}/`, `- ${directory}/file0`, '+ run/deletes/', '+ run/uploads/');
    const found = differences(before, treeOf(base));
    const kept = found.filter((one) => one.startsWith('+ quarantine/bad'));
    t.equal(kept.length, 3, 'records that nobody could use are kept');
    for (const [index, n] of [6, 22, 23].entries()) {
        const copy = (kept[index] ?? '').slice('+ '.length);
        const { record } = DAMAGES.find(({ uuid }) => uuid === damagedUuid(n)) ?? {};
        const was = typeof record === 'string' ? record : JSON.stringify(record, null, 2);
        t.equal(readFileSync(join(base, copy), 'utf8'), was);
    }
    t.strictSame(found.filter((one) => !kept.includes(one)).sort(), [...new Set(changes)].sort());
    t.match(summary, {
        fixed: DAMAGES.filter(({ fixed }) => fixed !== undefined).flatMap(({ findings, left = [] }) =>
            findings.filter(([check]) => !left.includes(check)),
        ).length,
        failed: 1,
    });

    const again = reported((await fsck('-c', config, '-j', '-q')).stdout);
    for (const damage of DAMAGES) {
        const { name, findings, fixed, left } = damage;
        const expected = fixed === undefined ? findings.map(([check]) => check) : (left ?? []);
        t.strictSame(
            again
                .of(damage)
                .map((one) => one['check'])
                .sort(),
            [...expected].sort(),
            `${name} afterwards`,
        );
    }
    const once = treeOf(base);
    await fsck('-c', config, '-j', '-q', '--fix-safe', '-y');
    t.strictSame(differences(once, treeOf(base)), [], 'there is nothing left to repair');
});

await t.test('a chain of origins that is too long', async (t) => {
    const { base, config } = place(t);
    for (const record of longChain(103, 100)) plantRecord(base, `${String(record['uuid'])}.raw`, record);
    const { code, stdout } = await fsck('-c', config, '-j', '-q');
    t.equal(code, 1);
    const { documents } = reported(stdout);
    // The last of 103 has none, that before it one, and so on.
    t.strictSame(
        documents.map(({ uuid, check, severity }) => [uuid, check, severity]),
        [100, 101].map((n) => [damagedUuid(n), 'origin', 'error']),
    );
    t.match(documents[0]?.['message'], /longer than 100/);
});

const CHANNELS = [
    { name: 'dev', description: 'd', default: true },
    { name: 'release', description: 'r' },
];

await t.test('channels and owners of a public server', async (t) => {
    const { base, config } = place(t, { mode: 'public', channels: CHANNELS });
    const planted: readonly (readonly [number, Readonly<Record<string, unknown>>, readonly string[]])[] = [
        [1, { channels: ['dev'] }, []],
        [2, {}, ['channels error']],
        [3, { channels: [] }, ['channels error']],
        [4, { channels: ['release', 'gone'] }, ['channels error']],
        [5, { channels: ['gone'] }, ['channels error', 'channels error']],
        [6, { channels: ['dev'], owner: '930896af-bf8c-48d4-885c-6573a94b1853' }, ['owner warn']],
        [7, { channels: 'dev' }, ['invalid error']],
        [8, { channels: ['dev'], public: false }, ['invalid error']],
        [9, { channels: ['dev'], acl: NOBODY }, ['old-form info']],
    ];
    for (const [n, changes] of planted) {
        plantRecord(
            base,
            `${damagedUuid(n)}.raw`,
            goodRecord(n, { public: true, owner: NOBODY, ...changes }),
        );
    }
    const before = treeOf(base);
    const check = async (name: string, ...args: string[]) => {
        const { code, stdout, stderr } = await fsck('-c', config, '-j', '-q', ...args);
        t.equal(code, 1, `${name}: ${stderr.join('\n')}`);
        return reported(stdout).documents;
    };
    const kinds = (documents: readonly Document[], n: number) =>
        documents
            .filter(({ uuid }) => uuid === damagedUuid(n))
            .map(({ check: name, severity }) => `${String(name)} ${String(severity)}`);
    const found = await check('found');
    for (const [n, changes, expected] of planted)
        t.strictSame(kinds(found, n), expected, JSON.stringify(changes));
    t.strictSame(differences(before, treeOf(base)), []);
    const odd = ['-c', config, '-q', damagedUuid(6)] as const;
    for (const [more, code] of [
        [[], 1],
        [['--errors-only'], 0],
        [['--errors-only', damagedUuid(2)], 1],
    ] as const) {
        const run = await fsck(...odd, ...more);
        t.equal(run.code, code, more.join(' '));
        t.match(run.stdout.at(-1), / 1 warning, /, 'it is shown all the same');
    }

    await check('safe repairs', '--fix-safe', '-y');
    const channels = (n: number) => storedRecord(base, damagedUuid(n)).raw['channels'];
    t.strictSame([2, 3, 5].map(channels), [undefined, [], ['gone']], 'channels are not among them');
    t.strictSame(storedRecord(base, damagedUuid(9)).raw['acl'], [NOBODY]);

    const safe = treeOf(base);
    const assigned = await check('the default channel', '--assign-default-channel', '-y');
    t.strictSame([2, 3, 5].map(channels), [['dev'], ['dev'], ['gone', 'dev']]);
    t.strictSame(
        differences(safe, treeOf(base)).filter((one) => one.includes('manifests')),
        [2, 3, 5].map((n) => `~ manifests/${damagedUuid(n)}.raw`),
    );
    t.equal(assigned.filter(({ result }) => result === 'fixed').length, 3);
    const left = await check('afterwards');
    t.strictSame(kinds(left, 2), []);
    t.strictSame(kinds(left, 5), ['channels error'], 'the unknown channel stays for the operator');

    rmSync(config);
    plantConfig(base, { mode: 'public', channels: CHANNELS.slice(1) });
    t.match(await fsck('-c', config, '--assign-default-channel', '-n'), { code: 251 });
});

await t.test('files, when asked for', async (t) => {
    const { base, config } = place(t);
    const plant = (n: number, changes = {}) =>
        plantRecord(base, `${damagedUuid(n)}.raw`, goodRecord(n, changes));
    [1, 2, 3, 4].forEach((n) => plant(n));
    const icon = { sha1: 'ab', size: 3, contentType: 'image/png', contentMD5: 'x', stor: 'local' };
    plant(5, { icon });
    rmSync(join(imageDirectory(base, damagedUuid(2)), 'file0'));
    writeFileSync(join(imageDirectory(base, damagedUuid(3)), 'file0'), 'short');
    // Its size is right: nobody has read it.
    writeFileSync(join(imageDirectory(base, damagedUuid(4)), 'file0'), Buffer.alloc(BYTES.length));
    t.match(await fsck('-c', config, '-q'), {
        code: 0,
        stdout: ['5 records: 0 errors, 0 warnings, 0 notes'],
    });
    const { code, stdout } = await fsck('-c', config, '-q', '--simple');
    t.equal(code, 1);
    t.strictSame(
        stdout.filter((line) => !line.startsWith(' ')),
        [
            `${damagedUuid(2)} image-2@1.0.0: error: stored-files: file0 is not in storage "local"`,
            `${damagedUuid(3)} image-3@1.0.0: error: stored-files: file0 has 5 bytes in storage "local", not ${BYTES.length}`,
            `${damagedUuid(5)} image-5@1.0.0: error: stored-files: icon is not in storage "local"`,
            '5 records: 3 errors, 0 warnings, 0 notes',
        ],
    );
});

await t.test('exit statuses and command lines', async (t) => {
    const { base, config } = place(t);
    const status = async (...args: string[]) => (await fsck('-q', ...args)).code;
    mkdirSync(join(base, 'manifests'));
    t.equal(await status('-c', config), 0, 'there may be no image');
    plantRecord(base, `${damagedUuid(1)}.raw`, goodRecord(1, { acl: NOBODY }));
    t.equal(await status('-c', config), 0, 'a note alone');
    t.equal(await status('-c', config, '--fix-safe', '-y'), 0);
    plantRecord(base, `${damagedUuid(2)}.raw`, goodRecord(2, { tags: ['a=b'] }));
    t.equal(await status('-c', config), 1, 'a warning');
    t.equal(await status('-c', config, damagedUuid(1)), 0, 'of another image');
    t.equal(await status('-c', config, '--fix-safe', '-y'), 0, 'one that is repaired');
    const absent = await fsck('-c', config, '-q', damagedUuid(3));
    t.equal(absent.code, 1);
    t.match(absent.stdout[0], /error: absent: there is no such image/);
    t.equal(await status('-c', config, 'base'), 251);
    t.equal(await status('-c', config, '--fix-safe'), 251, 'there is nobody to ask');
    t.equal(await status('-c', join(base, 'none.json')), 252);
    writeFileSync(config, '{"mode": "strange"}');
    t.equal(await status('-c', config), 252);
});

await t.test('a running server: reading goes beside it, repairs do not', async (t) => {
    const server = await ServerProcess.start();
    t.teardown(() => server.kill());
    const { baseDir, configPath } = server;
    plantRecord(baseDir, `${damagedUuid(1)}.raw`, goodRecord(1, { tags: ['a=b'] }));
    const before = treeOf(join(baseDir, 'manifests'));
    const environment = { IMGAPITEST_LOCAL_BASE_DIR: baseDir };
    const [reading, dry, repairing, reindexing] = await Promise.all([
        runTool(['fsck', '-c', configPath], environment),
        runTool(['fsck', '-c', configPath, '--fix-safe', '-n'], environment),
        runTool(['fsck', '-c', configPath, '--fix-safe', '-y'], environment),
        runTool(['reindex', '-c', configPath, '-y'], environment),
    ]);
    t.equal(reading.code, 1, reading.stderr);
    t.match(reading.stdout.at(-1), '1 record: 0 errors, 1 warning, 0 notes; 1 can be fixed with --fix-safe');
    t.equal(dry.code, 1);
    t.match(dry.stdout[0], /would be fixed/);
    for (const { code, stderr } of [repairing, reindexing]) {
        t.equal(code, 252);
        t.match(stderr, /a server holds run\/imgapi.lock in .*: stop it, or use it with --url/);
    }
    t.strictSame(differences(before, treeOf(join(baseDir, 'manifests'))), []);
    await server.stop();
});
