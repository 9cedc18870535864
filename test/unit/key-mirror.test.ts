import {
    existsSync,
    mkdirSync,
    readdirSync,
    readFileSync,
    rmSync,
    statSync,
    symlinkSync,
    writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { KeyFiles } from '#lib/auth/key-files.js';
import { MAX_KEY_FILE_SIZE, MAX_KEY_FILES } from '#lib/auth/key-sources.js';
import { KeyMirror } from '#lib/auth/mirror-keys.js';
import type { Config } from '#lib/base/config-types.js';
import { baseDirectories } from '#lib/base/directories.js';
import type { ListedObject, ObjectStore } from '#lib/remotes/object-store.js';
import { altered, startMantaArea } from '../helpers/manta-area.js';
import { recordingLog } from '../helpers/recording-log.js';

const NEVER = new AbortController().signal;
const BOTH = ['keys', 'authkeys'] as const;

async function setUp(t: Test, options: { readonly callTimeoutMs?: number } = {}) {
    const area = await startMantaArea(t, options);
    const directories = baseDirectories(t.testdir());
    const { log, records } = recordingLog();
    const { rootDir, objects } = area;
    const config = { current: { authType: 'signature', manta: { rootDir } } as Config };
    const keys = new KeyFiles({ directories, config, log });
    const mirrorOf = (store: ObjectStore) =>
        new KeyMirror({ directories, objects: store, rootDir, log, loadKeys: () => keys.load() });
    const at = (name: string, layout: (typeof BOTH)[number] = 'authkeys') =>
        join(directories.etc, layout, 'manta', name);
    return {
        ...area,
        keys,
        mirrorOf,
        subject: mirrorOf(objects),
        at,
        records,
        warnings: () => records.filter(({ level }) => level >= 40),
        /** Puts a copy there as if it had been made earlier. */
        plant: (name: string, text: string) => {
            mkdirSync(dirname(at(name)), { recursive: true });
            writeFileSync(at(name), text);
        },
    };
}

void t.test('copies both directories and puts what they say in force', async (t) => {
    const { subject, put, keys, at, records } = await setUp(t);
    await put('keys/alice.keys', 'k1\n');
    await put('authkeys/alice.keys', 'k2\n');
    await put('authkeys/a.b c%.keys', 'odd\n');
    await put('authkeys/empty.keys', '');
    await put('authkeys/README', 'no keys');
    await put('authkeys/.hidden.keys', 'hidden');
    await put('authkeys/sub.keys/x.keys', 'in a directory');
    t.equal(await subject.sync(NEVER), true);
    t.same(keys.keysOf('alice'), ['k1', 'k2']);
    t.same(keys.counts(), { alice: 2, 'a.b c%': 1 });
    t.same(
        readdirSync(dirname(at('')))
            .concat(readdirSync(at('')))
            .sort(),
        ['a.b c%.keys', 'alice.keys', 'empty.keys', 'manta'],
    );
    t.equal(statSync(at('alice.keys')).mode & 0o777, 0o640);
    t.match(
        records.find(({ msg }) => msg === 'auth keys copied from Manta'),
        { written: 4, removed: 0, component: 'authkeys' },
    );
});

void t.test('adds, replaces and removes; what is the same stays untouched', async (t) => {
    const { subject, put, keys, at, client, rootDir, double } = await setUp(t);
    for (const layout of BOTH) {
        await put(`${layout}/same.keys`, 'same');
        await put(`${layout}/other.keys`, 'one');
        await put(`${layout}/gone.keys`, 'gone');
    }
    await subject.sync(NEVER);
    const inodes = BOTH.map((layout) => statSync(at('same.keys', layout)).ino);
    double.clearRequests();
    t.equal(await subject.sync(NEVER), true);
    t.equal(double.requests({ kind: 'get' }).length, 0, 'nothing is read that is the same');
    for (const layout of BOTH) {
        await put(`${layout}/other.keys`, 'two');
        await put(`${layout}/new.keys`, 'new');
        await client.call('unlink', `${rootDir}/${layout}/gone.keys`);
    }
    t.equal(await subject.sync(NEVER), true);
    t.same(keys.counts(), { same: 1, other: 1, new: 1 });
    t.same(keys.keysOf('other'), ['two'], 'of the same size');
    t.same(
        BOTH.map((layout) => statSync(at('same.keys', layout)).ino),
        inodes,
    );
    for (const layout of BOTH) await client.call('rmr', `${rootDir}/${layout}`);
    t.equal(await subject.sync(NEVER), true);
    t.same(keys.counts(), {}, 'all of them may go');
});

void t.test('the first look removes nothing if Manta has none of the copies', async (t) => {
    const { subject, mirrorOf, objects, put, plant, at, warnings, keys } = await setUp(t);
    plant('alice.keys', 'a');
    plant('bob.keys', 'b');
    await keys.load();
    await put('authkeys/carol.keys', 'c');
    t.equal(await subject.sync(NEVER), true);
    t.same(keys.counts(), { alice: 1, bob: 1, carol: 1 }, 'added all the same');
    t.match(warnings(), [{ msg: /kept until the next look/, copies: 2 }]);
    t.equal(await subject.sync(NEVER), true);
    t.same(keys.counts(), { carol: 1 });

    plant('alice.keys', 'a');
    t.equal(await mirrorOf(objects).sync(NEVER), true);
    t.same(readdirSync(at('')), ['carol.keys'], 'one of them is there: the area is the right one');
});

void t.test('a file too large, or with a name that none can have, is left out', async (t) => {
    const { subject, put, keys, warnings, plant, at, objects, mirrorOf } = await setUp(t);
    await put('authkeys/large.keys', Buffer.alloc(MAX_KEY_FILE_SIZE + 1, '#'));
    await put(`authkeys/${'x'.repeat(240)}.keys`, 'long');
    await put('authkeys/good.keys', 'good');
    plant('large.keys', 'before');
    t.equal(await subject.sync(NEVER), true, 'no failure of Manta');
    t.same(keys.counts(), { large: 1, good: 1 });
    t.match(warnings(), [{ name: /^x{240}\.keys$/ }, { size: MAX_KEY_FILE_SIZE + 1 }]);

    // What no Manta sends, somebody in its place might.
    const names = [
        '../up.keys',
        'a/b.keys',
        'nul\0.keys',
        'line\n.keys',
        '\ud800.keys',
        'back\\.keys',
        'good.keys',
    ];
    const asked: string[] = [];
    const hostile = altered(objects, {
        async *list(): AsyncIterable<ListedObject> {
            for (const name of names) yield { name, isDirectory: false, size: 1, mtime: 0 };
        },
        stat: async (path: string) => {
            asked.push(path);
            return { size: 5, isDirectory: false };
        },
        read: async () => ({ bytes: Buffer.from('evil!') }),
    });
    t.equal(await mirrorOf(hostile).sync(NEVER), true);
    t.same([...new Set(asked.map((path) => path.split('/').pop()))], ['good.keys', 'large.keys']);
    t.same(readdirSync(at('')).sort(), ['good.keys', 'large.keys']);
    t.notOk(existsSync(join(at(''), '..', 'up.keys')));
});

void t.test('more files than a server reads change nothing', async (t) => {
    const { mirrorOf, objects, plant, warnings, at } = await setUp(t);
    plant('alice.keys', 'a');
    const crowded = altered(objects, {
        async *list(): AsyncIterable<ListedObject> {
            for (let index = 0; index <= MAX_KEY_FILES; index += 1) {
                yield { name: `u${index}.keys`, isDirectory: false, size: 1, mtime: 0 };
            }
        },
    });
    t.equal(await mirrorOf(crowded).sync(NEVER), false);
    t.equal(warnings().length, 2);
    t.same(readdirSync(at('')), ['alice.keys']);
});

void t.test('a listing that is not whole, or leaves something out, removes nothing', async (t) => {
    const { subject, put, keys, double, mirrorOf, objects, client, rootDir } = await setUp(t);
    for (let user = 0; user < 30; user += 1) await put(`authkeys/user${user}.keys`, 'key');
    t.equal(await subject.sync(NEVER), true);
    for (const fault of [{ cutAnswer: 'made' }, { refuse: 500 }] as const) {
        const end = double.inject(fault, { kind: 'list' });
        t.equal(await subject.sync(NEVER), false, JSON.stringify(fault));
        end();
        t.equal(Object.keys(keys.counts()).length, 30);
    }
    const broken = altered(objects, {
        async *list(path: string): AsyncIterable<ListedObject> {
            for await (const entry of objects.list(path)) {
                if (entry.name === 'user20.keys') throw new Error('the second page does not come');
                yield entry;
            }
        },
    });
    const breaking = mirrorOf(broken);
    t.equal(await breaking.sync(NEVER), false);
    t.equal(await breaking.sync(NEVER), false, 'nor when it is not the first look');
    t.equal(Object.keys(keys.counts()).length, 30);
    const forgetful = mirrorOf(
        altered(objects, {
            async *list(path: string): AsyncIterable<ListedObject> {
                for await (const entry of objects.list(path)) if (entry.name !== 'user3.keys') yield entry;
            },
        }),
    );
    await client.call('unlink', `${rootDir}/authkeys/user4.keys`);
    t.equal(await forgetful.sync(NEVER), true);
    t.same(keys.keysOf('user3'), ['key'], 'it is there when asked for');
    t.same(keys.keysOf('user4'), []);
});

void t.test('one file that fails keeps neither others nor removals', async (t) => {
    const { subject, put, keys, double, client, rootDir, warnings } = await setUp(t);
    await put('authkeys/gone.keys', 'gone');
    await put('authkeys/bad.keys', 'bad');
    await subject.sync(NEVER);
    await client.call('unlink', `${rootDir}/authkeys/gone.keys`);
    await put('authkeys/bad.keys', 'new');
    await put('authkeys/good.keys', 'good');
    await put('keys/other.keys', 'other');
    const refuse = { status: 403, code: 'AuthorizationError', message: 'no' };
    double.inject({ refuse }, { kind: ['get', 'head'], path: /bad\.keys$/ });
    t.equal(await subject.sync(NEVER), false);
    t.same(keys.counts(), { bad: 1, good: 1, other: 1 });
    t.same(keys.keysOf('bad'), ['bad'], 'as before');
    t.match(warnings(), [{ level: 40, err: { message: /403/ } }]);
    double.clearFaults();
    double.inject({ corrupt: 'bytes' }, { kind: 'get', path: /bad\.keys$/, times: 1 });
    t.equal(await subject.sync(NEVER), false, 'other bytes than Manta has');
    t.same(keys.keysOf('bad'), ['bad']);
    t.equal(await subject.sync(NEVER), true);
    t.same(keys.keysOf('bad'), ['new']);
});

void t.test('Manta away costs one call, not one a file, and nothing here', async (t) => {
    const { subject, put, keys, double, warnings } = await setUp(t, { callTimeoutMs: 1000 });
    for (let user = 0; user < 30; user += 1) await put(`authkeys/user${user}.keys`, 'key');
    t.equal(await subject.sync(NEVER), true);
    for (const kind of ['list', 'head'] as const) {
        double.inject({ hang: true }, { kind });
        const started = performance.now();
        t.equal(await subject.sync(NEVER), false, kind);
        t.ok(performance.now() - started < 5000, 'soon');
        double.clearFaults();
    }
    await double.stop();
    t.equal(await subject.sync(NEVER), false);
    t.equal(Object.keys(keys.counts()).length, 30);
    t.match(warnings(), [{ level: 40 }, { level: 40 }, { level: 40 }]);
    await double.restart();
    t.equal(await subject.sync(NEVER), true);
});

void t.test('copies that are no files, and what a crash left, do no harm', async (t) => {
    const { subject, put, plant, at, keys } = await setUp(t);
    plant('link.keys', 'elsewhere');
    rmSync(at('link.keys'));
    writeFileSync(join(at(''), 'target'), 'elsewhere');
    symlinkSync(join(at(''), 'target'), at('link.keys'));
    mkdirSync(at('directory.keys'));
    plant('alice.keys.0123456789abcdef.tmp', 'hal');
    await put('authkeys/link.keys', 'from Manta');
    await put('authkeys/alice.keys', 'alice');
    t.equal(await subject.sync(NEVER), true);
    t.equal(readFileSync(join(at(''), 'target'), 'utf8'), 'elsewhere', 'not written through a link');
    t.same(readdirSync(at('')).sort(), ['alice.keys', 'directory.keys', 'link.keys', 'target']);
    t.same(keys.keysOf('link'), ['from Manta']);
    await put('authkeys/directory.keys', 'in the way');
    await put('authkeys/bob.keys', 'bob');
    t.equal(await subject.sync(NEVER), false, 'cannot be written');
    t.same(keys.keysOf('bob'), ['bob']);
});

void t.test('bytes are compared where the store tells no MD5', async (t) => {
    const { mirrorOf, objects, put, at } = await setUp(t);
    await put('authkeys/alice.keys', 'alice');
    const store = altered(objects, {
        stat: async (path: string) => {
            const found = await objects.stat(path);
            return found && { size: found.size, isDirectory: found.isDirectory };
        },
    });
    const subject = mirrorOf(store);
    t.equal(await subject.sync(NEVER), true);
    const { ino } = statSync(at('alice.keys'));
    t.equal(await subject.sync(NEVER), true);
    t.equal(statSync(at('alice.keys')).ino, ino);
});

void t.test('ends at once when the server stops, and changes nothing any more', async (t) => {
    const { subject, put, plant, at, double } = await setUp(t);
    plant('alice.keys', 'old');
    await put('authkeys/alice.keys', 'new');
    for (const kind of ['list', 'head', 'get'] as const) {
        const stop = new AbortController();
        const hold = double.hold({ kind });
        const sync = subject.sync(stop.signal);
        await hold.arrived(1);
        stop.abort(new Error('the server stops'));
        t.equal(await sync, false, kind);
        hold.resume();
        await double.waitFor({ kind }, { done: true });
        t.equal(readFileSync(at('alice.keys'), 'utf8'), 'old');
        double.clearFaults();
        double.clearRequests();
    }
});
