import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import bunyan from 'bunyan';
import sshpk from 'sshpk';
import t, { type Test } from 'tap';
import { KeyFiles } from '#lib/auth/key-files.js';
import { MAX_KEY_FILE_SIZE } from '#lib/auth/key-sources.js';
import { SignatureAuthenticator } from '#lib/auth/signature.js';
import type { Config } from '#lib/base/config-types.js';
import { baseDirectories } from '#lib/base/directories.js';
import { recordingLog, type LogRecord } from '../helpers/recording-log.js';

interface KeyFilesFixture {
    readonly base: string;
    readonly config: { current: Config };
    readonly records: LogRecord[];
    readonly subject: KeyFiles;
    write(relative: string, text: string): Promise<string>;
}

function keyFiles(t: Test, settings: Partial<Config> = {}): KeyFilesFixture {
    const base = t.testdir();
    const { log, records } = recordingLog();
    const config = { current: { authType: 'signature', ...settings } as Config };
    const subject = new KeyFiles({ directories: baseDirectories(base), config, log, pollIntervalMs: 10 });
    t.teardown(() => subject.close());
    return {
        base,
        config,
        records,
        subject,
        async write(relative, text) {
            const path = join(base, 'etc', relative);
            await mkdir(join(path, '..'), { recursive: true });
            await writeFile(path, text);
            return path;
        },
    };
}

const MANTA = { manta: { rootDir: '/a/stor/imgapi' } } as unknown as Partial<Config>;

async function until(condition: () => boolean): Promise<void> {
    while (!condition()) {
        await sleep(2);
    }
}

void t.test('sources are merged in their order, duplicates dropped', async (t) => {
    const fixture = keyFiles(t, { ...MANTA, authKeys: { alice: ['c1', 'c2'], bob: ['b'] } });
    await fixture.write('authkeys/manta/alice.keys', 'am\nc1\n');
    await fixture.write('authkeys/local/alice.keys', 'al\nkl');
    await fixture.write('keys/manta/alice.keys', 'km\r\n\r\n');
    await fixture.write('keys/local/alice.keys', '# comment\n  kl  \n\n  # another\nc2\nkl\n');
    await fixture.write('keys/local/a.b.keys', 'dotted');
    await fixture.write('keys/local/.hidden.keys', 'hidden');
    await fixture.write('keys/local/README', 'not keys');
    await fixture.write('keys/local/empty.keys', '# nothing\n');
    await mkdir(join(fixture.base, 'etc/keys/local/directory.keys'));
    execFileSync('mkfifo', [join(fixture.base, 'etc/keys/local/pipe.keys')]);
    await symlink(
        join(fixture.base, 'etc/keys/local/a.b.keys'),
        join(fixture.base, 'etc/keys/local/link.keys'),
    );
    await fixture.subject.load();
    t.same(fixture.subject.keysOf('alice'), ['c1', 'c2', 'kl', 'km', 'al', 'am']);
    t.same(fixture.subject.counts(), { alice: 6, bob: 1, 'a.b': 1, link: 1 });
    for (const name of ['README', 'hidden', '.hidden', 'constructor', '__proto__', 'toString']) {
        t.same(fixture.subject.keysOf(name), [], name);
    }
});

void t.test('mirrors count only with a Manta area, and keys only with signatures', async (t) => {
    const fixture = keyFiles(t);
    await fixture.write('authkeys/manta/alice.keys', 'am');
    await fixture.write('authkeys/local/bob.keys', 'al');
    await fixture.subject.load();
    t.same(fixture.subject.counts(), { bob: 1 });
    fixture.config.current = { ...fixture.config.current, ...MANTA };
    await fixture.subject.load();
    t.same(fixture.subject.counts(), { bob: 1, alice: 1 });
    fixture.config.current = { ...fixture.config.current, authType: 'none' };
    await fixture.subject.load();
    t.same(fixture.subject.counts(), {});
});

void t.test('adding and removing a key file takes effect on load, in both layouts', async (t) => {
    const fixture = keyFiles(t);
    await fixture.subject.load();
    for (const layout of ['keys', 'authkeys']) {
        t.same(fixture.subject.keysOf('alice'), [], 'before');
        const path = await fixture.write(`${layout}/local/alice.keys`, 'a key\n');
        await fixture.subject.load();
        t.same(fixture.subject.keysOf('alice'), ['a key'], layout);
        await rm(path);
        await fixture.subject.load();
        t.same(fixture.subject.keysOf('alice'), [], 'after');
    }
    t.equal(fixture.records.filter((record) => record.level === bunyan.WARN).length, 2, 'and says so');
});

void t.test('a swap is logged only if something differs', async (t) => {
    const fixture = keyFiles(t, { authKeys: { alice: ['a'] } });
    await fixture.subject.load();
    await fixture.subject.load();
    const { subject } = fixture;
    await Promise.all([subject.load(), subject.load(), subject.load()]);
    t.match(fixture.records, [{ level: bunyan.INFO, component: 'authkeys', authKeys: { alice: 1 } }]);
    t.equal(fixture.records.length, 1);
});

void t.test('an unreadable or oversized file keeps the old keys and is logged', async (t) => {
    const fixture = keyFiles(t);
    await fixture.write('keys/local/alice.keys', 'one');
    await fixture.subject.load();
    const large = await fixture.write('keys/local/bob.keys', '#'.repeat(MAX_KEY_FILE_SIZE + 1));
    await fixture.write('keys/local/alice.keys', 'two');
    await fixture.subject.load();
    t.same(fixture.subject.counts(), { alice: 1 });
    t.same(fixture.subject.keysOf('alice'), ['one'], 'nothing of the new state');
    t.match(fixture.records.at(-1), {
        level: bunyan.ERROR,
        msg: 'auth keys cannot be read, the keys in force stay',
    });
    await rm(large);
    await rm(join(fixture.base, 'etc/authkeys'), { force: true, recursive: true });
    await writeFile(join(fixture.base, 'etc/authkeys'), 'a file where a directory should be');
    await fixture.subject.load();
    t.same(fixture.subject.keysOf('alice'), ['one'], 'a bad directory counts too');
    await rm(join(fixture.base, 'etc/authkeys'));
    await fixture.subject.load();
    t.same(fixture.subject.keysOf('alice'), ['two']);
});

void t.test('changes are seen without a reload, failures logged once', async (t) => {
    const fixture = keyFiles(t);
    const { subject } = fixture;
    await subject.load();
    subject.watch();
    subject.watch();
    const path = await fixture.write('authkeys/local/alice.keys', 'one');
    await until(() => subject.keysOf('alice')[0] === 'one');
    await writeFile(`${path}.new`, 'two');
    await rename(`${path}.new`, path);
    await until(() => subject.keysOf('alice')[0] === 'two');
    await writeFile(join(fixture.base, 'etc/keys'), 'not a directory');
    const errors = (): number => fixture.records.filter((record) => record.level === bunyan.ERROR).length;
    await until(() => errors() === 1);
    await sleep(60);
    t.equal(errors(), 1, 'the same failure is not repeated');
    await chmod(path, 0o600);
    await rm(join(fixture.base, 'etc/keys'));
    await rm(path);
    await until(() => subject.keysOf('alice').length === 0);
    subject.close();
    await fixture.write('keys/local/bob.keys', 'late');
    await sleep(60);
    t.same(subject.counts(), {}, 'nothing is read after close');
    t.pass('all changes were seen');
});

function hasSshKeygen(): boolean {
    try {
        execFileSync('sh', ['-c', 'command -v ssh-keygen']);
        return true;
    } catch {
        return false;
    }
}

const skip = hasSshKeygen() ? false : 'ssh-keygen is not installed';

void t.test('a public key file of ssh-keygen works as it is', { skip }, async (t) => {
    const fixture = keyFiles(t);
    const { log } = recordingLog();
    const subject = new SignatureAuthenticator({
        keys: fixture.subject,
        clock: { now: () => Date.now() },
        log,
    });
    await mkdir(join(fixture.base, 'etc/keys/local'), { recursive: true });
    for (const type of ['rsa', 'ecdsa', 'ed25519']) {
        const path = join(fixture.base, type);
        execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', 'a comment of words', '-f', path]);
        await rename(`${path}.pub`, join(fixture.base, 'etc/keys/local', `${type}.keys`));
        await fixture.subject.load();
        const hash = type === 'ed25519' ? 'sha512' : 'sha256';
        const date = new Date().toUTCString();
        const signer = sshpk.parsePrivateKey(await readFile(path), 'ssh-private').createSign(hash);
        signer.update(`date: ${date}`);
        const signature = signer.sign().toString();
        const authorization = `Signature keyId="${type}",algorithm="${type}-${hash}",signature="${signature}"`;
        const request = { method: 'GET', url: '/ping', httpVersion: '1.1', headers: { date, authorization } };
        t.equal(subject.authenticate(request), type);
    }
});
