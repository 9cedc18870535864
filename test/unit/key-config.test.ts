import { chmodSync, chownSync, lstatSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { replaceConfig, withKey } from '#lib/cli/imgapiadm/rotation/key-config.js';

const isRoot = process.getuid?.() === 0;
const USER = 65_534;

/** A configuration that only root and a group may read, and a link to it. */
function place(directory: string) {
    const path = join(directory, 'imgapi.config.json');
    const link = join(directory, 'link.json');
    const manta = {
        url: 'https://manta.example.com',
        user: 'a',
        key: '/old',
        keyId: 'SHA256:old',
        baseDir: 'x',
    };
    writeFileSync(path, JSON.stringify({ mode: 'private', authType: 'none', manta }));
    chmodSync(path, 0o600);
    if (isRoot) {
        chownSync(path, 0, USER);
    }
    symlinkSync(path, link);
    return { path, link };
}

void t.test('another key leaves a configuration as closed as it was, and where it is', async (t) => {
    const { path, link } = place(t.testdir());
    const before = statSync(path);
    const changed = await withKey(link, '/new', 'SHA256:new', isRoot ? { uid: USER, gid: USER } : undefined);
    t.match(changed.file, { mode: 0o600, owner: { uid: before.uid, gid: before.gid } }, 'so are copies');
    await replaceConfig(changed);
    t.ok(lstatSync(link).isSymbolicLink());
    t.match(JSON.parse(readFileSync(path, 'utf8')), {
        manta: { key: '/new', keyId: 'SHA256:new', user: 'a' },
    });
    const { mode, uid, gid } = before;
    t.match(statSync(path), { mode, uid, gid });
    chmodSync(path, 0o666);
    await replaceConfig(await withKey(path, '/newer', 'SHA256:newer', undefined));
    t.equal(statSync(path).mode & 0o777, 0o666, 'whatever the umask');
    await t.rejects(replaceConfig({ ...changed, after: '{"mode":"no"}' }), /is not valid/);
    t.match(statSync(path), { mode, uid, gid });
});

void t.test('root follows no link to it of the owner of the data', { skip: !isRoot }, async (t) => {
    const directory = t.testdir();
    const { link } = place(directory);
    chownSync(directory, USER, USER);
    const reading = withKey(link, '/new', 'SHA256:new', { uid: USER, gid: USER });
    await t.rejects(reading, { name: 'LinkInTheWayError' });
});
