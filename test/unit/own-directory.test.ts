import { chmodSync, chownSync, existsSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
    ownedDirectory,
    requireNoLinks,
    requireOutOfReach,
} from '#lib/cli/imgapiadm/offline/own-directory.js';

const OWNER = { uid: 65_534, gid: 65_534 };
const skip = process.getuid?.() === 0 ? false : 'only root gives files away';

void t.test('what is made has the owner, what is there stays as it is', { skip }, async (t) => {
    const base = t.testdir({ there: {} });
    const before = statSync(join(base, 'there'));
    await ownedDirectory(join(base, 'there/a/b'), OWNER);
    for (const path of ['there/a', 'there/a/b']) {
        t.match(statSync(join(base, path)), OWNER, path);
        t.equal(statSync(join(base, path)).mode & 0o777, 0o750, path);
    }
    await ownedDirectory(join(base, 'there'), OWNER);
    t.match(statSync(join(base, 'there')), { uid: before.uid, mode: before.mode });
    await t.rejects(ownedDirectory('/dev/null', OWNER), { code: 'EEXIST' });
});

void t.test('links of the owner are not followed, those of others are', { skip }, async (t) => {
    const place = t.testdir({ base: {}, outside: {} });
    const [base, outside] = [join(place, 'base'), join(place, 'outside')];
    chownSync(base, OWNER.uid, OWNER.gid);
    symlinkSync(outside, join(base, 'link'));
    symlinkSync(join(place, 'nowhere'), join(base, 'dangling'));
    for (const name of ['link', 'link/below', 'dangling']) {
        await t.rejects(ownedDirectory(join(base, name), OWNER), { name: 'LinkInTheWayError' }, name);
    }
    t.equal(statSync(outside).uid, 0);
    t.notOk(existsSync(join(outside, 'below')));
    t.notOk(existsSync(join(place, 'nowhere')));
    symlinkSync(base, join(place, 'elsewhere'));
    await ownedDirectory(join(place, 'elsewhere/etc'), OWNER);
    t.match(statSync(join(base, 'etc')), OWNER);
    mkdirSync(join(base, 'plain'));
    await requireNoLinks(join(base, 'plain/not/there'), OWNER);
    await ownedDirectory(join(base, 'link/below'), undefined);
    t.ok(existsSync(join(outside, 'below')), 'who has no more rights may follow them');
});

void t.test('directories in which the owner can put links', { skip }, async (t) => {
    const above = t.testdir({ below: {} });
    const below = join(above, 'below');
    const isIn = async (mode: number, uid: number, gid: number): Promise<boolean> => {
        chownSync(above, uid, gid);
        chmodSync(above, mode);
        return await requireOutOfReach(below, OWNER).then(
            () => false,
            (error: unknown) => {
                t.match(error, { message: new RegExp(`^${above} is a directory where user 65534 can put`) });
                return true;
            },
        );
    };
    t.equal(await isIn(0o755, 0, 0), false);
    t.equal(await isIn(0o775, 0, 0), false, 'a group that is not his');
    t.equal(await isIn(0o775, 0, OWNER.gid), true, 'his group');
    t.equal(await isIn(0o777, 0, 0), true, 'everybody');
    t.equal(await isIn(0o1777, 0, 0), false, 'everybody, but not what is of others');
    t.equal(await isIn(0o1755, OWNER.uid, 0), true, 'his own');
    await requireOutOfReach(below, undefined);
});
