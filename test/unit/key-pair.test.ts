import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sshpk from 'sshpk';
import t from 'tap';
import { keyPairOf, makeKeyPair, readKeyPair } from '#lib/auth/key-pair.js';

const SSH_KEYGEN = '/usr/bin/ssh-keygen';
const skip = existsSync(SSH_KEYGEN) ? false : 'no ssh-keygen';

void t.test('a new key', (t) => {
    const pair = makeKeyPair('dc-1 imgapi key');
    t.match(pair.privateKey, /^-----BEGIN EC PRIVATE KEY-----\n/);
    t.match(pair.publicKey, /^ecdsa-sha2-nistp256 \S+ dc-1 imgapi key$/);
    t.match(pair.fingerprint, /^SHA256:[A-Za-z0-9+/]{43}$/);
    t.not(makeKeyPair('a').fingerprint, pair.fingerprint);
    const again = keyPairOf(
        { privateKey: `${pair.privateKey}\n`, publicKey: `${pair.publicKey}\n` },
        { privateKey: 'a', publicKey: 'b' },
    );
    t.strictSame(again, pair);
    t.end();
});

void t.test('as ssh-keygen sees it', { skip }, async (t) => {
    const pair = makeKeyPair('dc-1 imgapi key');
    const path = join(t.testdir({}), 'key');
    writeFileSync(path, `${pair.privateKey}\n`, { mode: 0o600 });
    writeFileSync(`${path}.pub`, `${pair.publicKey}\n`);
    const run = (...args: string[]): string => execFileSync(SSH_KEYGEN, args, { encoding: 'utf8' }).trim();
    t.equal(run('-l', '-f', `${path}.pub`), `256 ${pair.fingerprint} dc-1 imgapi key (ECDSA)`);
    t.equal(
        run('-y', '-P', '', '-f', path),
        pair.publicKey.split(' ').slice(0, 2).join(' '),
        'no passphrase is asked for',
    );
    t.equal((await readKeyPair(path)).fingerprint, pair.fingerprint);

    for (const kind of [['rsa', '-b', '2048'], ['ed25519'], ['ecdsa']]) {
        const own = join(t.testdirName, String(kind[0]));
        run('-q', '-t', ...kind, '-N', '', '-C', 'a name', '-f', own);
        const read = await readKeyPair(own);
        t.match(run('-l', '-f', own), read.fingerprint, String(kind[0]));
        t.match(read.publicKey, / a name$/);
    }
    const secret = join(t.testdirName, 'secret');
    run('-q', '-t', 'ecdsa', '-N', 'abcdef', '-f', secret);
    await t.rejects(readKeyPair(secret), { message: /secret is protected by a passphrase/ });
});

void t.test('files that will not do', async (t) => {
    const [one, other] = [makeKeyPair('one'), makeKeyPair('other')];
    const dsa = generateKeyPairSync('dsa', { modulusLength: 1024, divisorLength: 160 });
    const dsaText = dsa.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const directory = t.testdir({
        alone: one.privateKey,
        mixed: one.privateKey,
        'mixed.pub': other.publicKey,
        text: 'hello',
        'text.pub': one.publicKey,
        half: one.privateKey,
        'half.pub': 'hello',
        dsa: dsaText,
        'dsa.pub': sshpk.parsePrivateKey(dsaText, 'pem').toPublic().toString('ssh'),
    });
    const path = (name: string): string => join(directory, name);
    const rejects = (name: string, message: string): Promise<unknown> =>
        t.rejects(readKeyPair(path(name)), { message }, name);
    await rejects('none', `cannot read ${path('none')} (ENOENT)`);
    await rejects('alone', `cannot read ${path('alone')}.pub (ENOENT)`);
    await rejects('mixed', `${path('mixed')}.pub does not belong to ${path('mixed')}`);
    await rejects('text', `${path('text')} is no private key`);
    await rejects('half', `${path('half')}.pub is no public key as of an SSH key file`);
    await rejects('dsa', `${path('dsa')} is of a kind that cannot be used, dsa`);
});
