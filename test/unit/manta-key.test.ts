import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sshpk from 'sshpk';
import t, { type Test } from 'tap';
import { readMantaKey } from '#lib/remotes/manta/manta-key.js';
import { mantaOrigin } from '#lib/remotes/manta/manta-url.js';
import { makeMantaKey } from '../helpers/manta-keys.js';
import { openObjects } from '../helpers/manta-objects.js';
import { startManta } from '../helpers/manta-place.js';

interface OwnKey {
    readonly file: string;
    readonly public: sshpk.Key;
}

/** Private keys in every form that an operator may have. */
function keyFiles(directory: string): Readonly<Record<string, OwnKey>> {
    const rsa = sshpk.parsePrivateKey(
        generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
            type: 'pkcs1',
            format: 'pem',
        }),
        'pem',
    );
    const keys = {
        rsa,
        'ecdsa-256': sshpk.generatePrivateKey('ecdsa', { curve: 'nistp256' }),
        'ecdsa-384': sshpk.generatePrivateKey('ecdsa', { curve: 'nistp384' }),
        ed25519: sshpk.generatePrivateKey('ed25519'),
    };
    const files: Record<string, OwnKey> = {};
    for (const [kind, key] of Object.entries(keys)) {
        for (const form of ['pkcs1', 'pkcs8', 'openssh'] as const) {
            // The older form of PEM has no Ed25519.
            if (kind === 'ed25519' && form === 'pkcs1') continue;
            const file = join(directory, `${kind}.${form}`);
            writeFileSync(file, key.toString(form));
            files[`${kind} ${form}`] = { file, public: key.toPublic() };
        }
    }
    return files;
}

void t.test('keys of every kind and form sign what Manta accepts', async (t) => {
    const files = keyFiles(t.testdir({}));
    const keys = Object.values(files).map((key) => key.public.toString('ssh'));
    const { config, root } = await startManta(t, { accounts: { admin: { keys } } });
    for (const [name, key] of Object.entries(files)) {
        const keyId = key.public.fingerprint('md5').toString('hex');
        const objects = await openObjects(t, { ...config, key: key.file, keyId });
        await objects.put(`${root}/${name}`, Buffer.from(name), { contentType: 'text/plain' });
        t.equal((await objects.read(`${root}/${name}`, 100))?.bytes.toString(), name);
    }
});

void t.test('fingerprints in all their forms', async (t) => {
    const directory = t.testdir({});
    const { file: key, fingerprint, sha256 } = makeMantaKey(directory);
    const hash = sha256.replace(/^SHA256:/, '');
    const forms = [
        fingerprint,
        `MD5:${fingerprint}`,
        fingerprint.toUpperCase(),
        fingerprint.replaceAll(':', ''),
        sha256,
        `${sha256}=`,
        hash,
        `SHA256:${Buffer.from(hash, 'base64').toString('base64')}`,
        Buffer.from(hash, 'base64').toString('hex'),
    ];
    for (const keyId of forms) {
        t.match(await readMantaKey({ key, keyId }), /PRIVATE KEY/, keyId);
    }
});

async function refusal(t: Test, key: string, keyId: string): Promise<string> {
    try {
        await readMantaKey({ key, keyId });
    } catch (error) {
        return (error as Error).message;
    }
    t.fail('not refused');
    return '';
}

void t.test('a key that cannot be used is refused with the setting that is wrong', async (t) => {
    const directory = t.testdir({});
    const { file, fingerprint, publicLine } = makeMantaKey(directory);
    const other = makeMantaKey(directory, 'ecdsa');
    const at = (name: string): string => join(directory, name);
    t.equal(
        await refusal(t, at('none'), fingerprint),
        `config.manta.key cannot be read: ${at('none')} (ENOENT)`,
    );
    t.equal(
        await refusal(t, directory, fingerprint),
        `config.manta.key cannot be read: ${directory} (EISDIR)`,
    );
    for (const [name, text] of [
        ['empty', ''],
        ['text', 'no key at all'],
        ['public', publicLine],
        ['cut', '-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n'],
    ] as const) {
        writeFileSync(at(name), text);
        t.equal(await refusal(t, at(name), fingerprint), `config.manta.key is no private key: ${at(name)}`);
    }
    const dsa = generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 });
    writeFileSync(at('dsa'), dsa.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    t.equal(
        await refusal(t, at('dsa'), fingerprint),
        `config.manta.key is of a kind that cannot be used, dsa: ${at('dsa')}`,
    );
    for (const form of ['pem', 'openssh']) {
        copyFileSync(file, at(form));
        chmodSync(at(form), 0o600);
        const args = form === 'pem' ? ['-m', 'PEM'] : [];
        execFileSync('ssh-keygen', ['-q', '-p', '-f', at(form), '-P', '', '-N', 'secret', ...args]);
        t.equal(
            await refusal(t, at(form), fingerprint),
            `config.manta.key is protected by a passphrase, which cannot be given: ${at(form)}`,
        );
    }
    t.equal(
        await refusal(t, file, other.fingerprint),
        `config.manta.keyId, ${other.fingerprint}, is not the fingerprint of ${file}, ${fingerprint}`,
    );
    for (const keyId of ['', 'nonsense', 'MD5:xx:yy', '/admin/keys/devKey', 'SHA256:AAAA', 'SHA1:qqqq']) {
        t.match(
            await refusal(t, file, keyId),
            /^config\.manta\.keyId(?: is no fingerprint: |, .*, is not the)/,
        );
    }
});

void t.test('the URL of Manta', (t) => {
    const good = {
        'https://manta.example.com': 'https://manta.example.com',
        'HTTP://manta.example.com:8080/': 'http://manta.example.com:8080',
        'manta.example.com': 'https://manta.example.com',
        'http://[::1]:80': 'http://[::1]',
    };
    for (const [url, origin] of Object.entries(good)) {
        t.equal(mantaOrigin(url), origin);
    }
    for (const url of ['', 'ftp://manta', 'http://manta:99999', 'https//manta', 'http://manta/path', 'a b']) {
        t.throws(() => mantaOrigin(url), { message: `config.manta.url is no URL of a server: ${url}` });
    }
    t.end();
});
