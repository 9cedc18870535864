import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import sshpk from 'sshpk';
import t from 'tap';
import { datasetGuid } from '#lib/cli/imgapiadm/dataset-guid.js';
import { diffCommand } from '#lib/cli/imgapiadm/diff.js';
import { NoZfsStream, readZfsHeader } from '#lib/cli/imgapiadm/zfs/stream-header.js';
import { runTool } from '../helpers/admin-tool.js';
import { BASE_181, BASE_200, JOIN_US, NODEJS, rawRecord, type Fixture } from '../helpers/images.js';
import { startServer } from '../helpers/start-server.js';
import { runHere } from '../helpers/subcommand-run.js';

type Data = Readonly<Record<string, unknown>>;

const RECORD_SIZE = 312;
const GUID = 0xfedcba9876543210n;

/** A record that begins a ZFS stream, or ends a list in front of one. */
function zfsRecord(
    facts: { type?: number; kind?: bigint; payload?: number; guid?: bigint; from?: bigint; name?: string },
    isLittle = true,
): Buffer {
    const bytes = Buffer.alloc(RECORD_SIZE);
    const small = (value: number, at: number) =>
        isLittle ? bytes.writeUInt32LE(value, at) : bytes.writeUInt32BE(value, at);
    const large = (value: bigint, at: number) =>
        isLittle ? bytes.writeBigUInt64LE(value, at) : bytes.writeBigUInt64BE(value, at);
    small(facts.type ?? 0, 0);
    small(facts.payload ?? 0, 4);
    large(0x2f5bacbacn, 8);
    large(facts.kind ?? 1n, 16);
    large(facts.guid ?? 0n, 40);
    large(facts.from ?? 0n, 48);
    bytes.write(facts.name ?? '', 56);
    return bytes;
}

const STREAM = Buffer.concat([zfsRecord({ guid: GUID, name: 'zones/base@final' }), Buffer.alloc(100_000, 7)]);
const FACTS = { guid: String(GUID), name: 'zones/base@final' };

void t.test('the header of a ZFS stream', async (t) => {
    const read = (...chunks: Buffer[]) => readZfsHeader(Readable.from(chunks));
    t.same(await read(STREAM), FACTS);
    t.same(
        await read(...[...STREAM.subarray(0, 400)].map((byte) => Buffer.from([byte]))),
        FACTS,
        'bit by bit',
    );
    t.same(await read(zfsRecord({ guid: 1n, from: 2n, name: 'x@2' }, false)), {
        guid: '1',
        fromGuid: '2',
        name: 'x@2',
    });
    const list = Buffer.alloc(70_000, 1);
    const compound = [zfsRecord({ kind: 2n, payload: list.length }), list, zfsRecord({ type: 5 }), STREAM];
    t.same(await read(Buffer.concat(compound)), FACTS, 'of several');
    t.same(await read(...compound), FACTS);
    for (const bytes of [
        Buffer.alloc(0),
        STREAM.subarray(0, 311),
        Buffer.alloc(400),
        zfsRecord({ type: 1 }),
        Buffer.concat([zfsRecord({ kind: 2n, payload: 0xffffffff }), STREAM]),
        Buffer.concat(compound.slice(0, 2)),
    ]) {
        await t.rejects(read(bytes), NoZfsStream);
    }
});

void t.test('dataset-guid', async (t) => {
    const directory = t.testdir({ 'no-stream': 'x'.repeat(1000) });
    const path = (name: string): string => join(directory, name);
    writeFileSync(path('plain'), STREAM);
    writeFileSync(path('gzip'), gzipSync(STREAM));
    writeFileSync(path('cut'), gzipSync(STREAM).subarray(0, 30));
    for (const name of ['plain', 'gzip']) {
        t.same(
            await runHere(datasetGuid, [path(name)]),
            { code: 0, stdout: [String(GUID)], stderr: [] },
            name,
        );
    }
    for (const program of ['bzip2', 'xz']) {
        const packed = spawnSync(program, ['-c'], { input: STREAM });
        if (packed.error !== undefined) {
            t.pass(`${program} is not installed`);
            continue;
        }
        writeFileSync(path(program), packed.stdout);
        const { code, stdout } = await runHere(datasetGuid, ['-j', path(program)]);
        t.equal(code, 0, program);
        t.same(
            stdout.map((line) => JSON.parse(line) as unknown),
            [FACTS, { summary: { guid: String(GUID) } }],
        );
    }
    for (const [args, code, message] of [
        [[], 251, 'give one image or file'],
        [['a', 'b'], 251, 'give one image or file'],
        [[path('no-stream')], 252, 'no ZFS stream: it begins otherwise'],
        [[path('cut')], 252, 'unexpected end of file'],
        [[path('none')], 252, 'ENOENT'],
    ] as const) {
        t.match(await runHere(datasetGuid, args), { code, stdout: [], stderr: { 0: message } }, message);
    }
});

const IMAGES: readonly Fixture[] = [
    {
        uuid: BASE_181,
        name: 'base',
        version: '1.8.1',
        activated: true,
        published_at: '2012-11-02T00:00:00.000Z',
        file: gzipSync(STREAM),
        more: { acl: [JOIN_US, BASE_200], description: 'a' },
    },
    {
        uuid: NODEJS,
        name: 'nodejs',
        activated: true,
        published_at: '2012-11-03T00:00:00.000Z',
        tags: { a: 1 },
        file: gzipSync('x'),
    },
];

void t.test('diff', async (t) => {
    const key = sshpk.generatePrivateKey('ed25519');
    const authKeys = { alice: [key.toPublic().toString('ssh')] };
    const { server } = await startServer(t, { authType: 'signature', authKeys }, IMAGES);
    const { baseDir, port } = server;
    const configPath = join(baseDir, 'etc', 'imgapi.config.json');
    writeFileSync(configPath, JSON.stringify({ dataDir: baseDir }));
    const directory = t.testdir({ raw: {}, bad: { 'x.txt': 'not looked at' } });
    const [raw, bad, lines] = [join(directory, 'raw'), join(directory, 'bad'), join(directory, 'all.jsonl')];
    const put = (where: string, records: readonly Data[]): void => {
        for (const one of records) {
            writeFileSync(join(where, `${String(one['uuid'])}.raw`), JSON.stringify(one));
        }
    };
    const same = IMAGES.map(rawRecord);
    put(raw, same);
    const rows = [
        { bucket: 'imgapi_images', columns: [] },
        ...same.map((value) => ({ key: 'k', value })),
        { rows: 2 },
    ];
    writeFileSync(lines, rows.map((row) => JSON.stringify(row)).join('\n'));
    const keyPath = join(directory, 'key');
    writeFileSync(keyPath, key.toString('openssh'));
    const url = `http://127.0.0.1:${port}`;
    const signed = ['-u', 'alice', '-i', keyPath];

    const equal = '2 images the same, 0 different, 0 only in the first, 0 only in the second';
    for (const [a, b] of [
        [raw, lines],
        [baseDir, raw],
        [configPath, lines],
        [raw, url],
        [url, baseDir],
    ] as const) {
        t.same(
            await runHere(diffCommand, [...signed, a, b]),
            { code: 0, stdout: [equal], stderr: [] },
            `${a} ${b}`,
        );
    }
    t.match(await runHere(diffCommand, [raw, `${url}?channel=*`]), {
        code: 252,
        stderr: [/InvalidHeader|Unauthorized|403|401/],
    });

    const [first = {}, second = {}] = same;
    const changed = { ...first, description: 'b', acl: [BASE_200, JOIN_US], homepage: 'http://x' };
    put(bad, [changed, { ...second, uuid: BASE_200, name: 'new' }]);
    writeFileSync(join(bad, `${JOIN_US}.raw`), '{');
    const found = await runTool(['diff', raw, bad]);
    t.equal(found.code, 1);
    t.equal(
        found.stdout.at(-1),
        '0 images the same, 1 different, 1 only in the first, 1 only in the second, 1 unreadable',
    );
    t.same(found.stdout.slice(0, -1).sort(), [
        '    description: "a" -> "b"',
        '    homepage: (none) -> "http://x"',
        `! ${join(bad, `${JOIN_US}.raw`)}: no manifest, or damaged`,
        `+ ${BASE_200} new@1.0.0`,
        `- ${NODEJS} nodejs@1.0.0`,
        `~ ${BASE_181} base@1.8.1`,
    ]);
    const json = await runHere(diffCommand, ['-j', '--ignore', 'homepage', raw, bad]);
    const told = json.stdout.map((line) => JSON.parse(line) as Data);
    t.match(
        told.find(({ uuid }) => uuid === BASE_181),
        { result: 'differs', name: 'base', fields: { description: { a: 'a', b: 'b' } } },
    );
    t.same(told.at(-1), {
        summary: { same: 0, differs: 1, onlyA: 1, onlyB: 1, unreadable: 1, interrupted: false },
    });
    t.equal(readFileSync(join(bad, `${JOIN_US}.raw`), 'utf8'), '{', 'nothing is changed');

    for (const [args, message] of [
        [[raw], 'give two sources to compare'],
        [[raw, bad, raw], 'give two sources to compare'],
        [[raw, join(directory, 'none')], 'no such file or directory'],
        [[raw, '/dev/null'], 'neither a file nor a directory'],
        [['http://', raw], 'no http or https URL'],
    ] as const) {
        t.match(await runHere(diffCommand, args), { code: 251, stderr: { 0: message } }, message);
    }
});
