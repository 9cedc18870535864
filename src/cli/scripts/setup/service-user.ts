import { userInfo } from 'node:os';
import type { Owner } from '../../imgapiadm/offline/act-as-owner.js';
import { runProgram } from '../../run-program.js';

const LIMIT_MS = 60_000;
const NAME_RE = /^[a-z_][a-z0-9_.-]{0,31}$/i;

/** Whether a text can be the name of a user. */
export function isUserName(text: string): boolean {
    return NAME_RE.test(text);
}

/** A user of this machine; `undefined`: there is none of this name. */
export async function findUser(name: string, environment: NodeJS.ProcessEnv): Promise<Owner | undefined> {
    const { status, stdout } = await runProgram('getent', ['passwd', name], {
        timeoutMs: LIMIT_MS,
        environment,
    });
    const [, , uid, gid] = stdout.split(':');
    return status === 0 && uid !== undefined && gid !== undefined
        ? { uid: Number(uid), gid: Number(gid) }
        : undefined;
}

/** The name of a user's group. @throws Error when there is no such user */
export async function groupOf(user: string, environment: NodeJS.ProcessEnv): Promise<string> {
    const { status, stdout } = await runProgram('id', ['-gn', user], { timeoutMs: LIMIT_MS, environment });
    if (status !== 0) {
        throw new Error(`there is no user ${user}`);
    }
    return stdout.trim();
}

/** Makes a user for a service. @throws Error when that is refused */
export async function makeUser(name: string, home: string, environment: NodeJS.ProcessEnv): Promise<void> {
    const args = [
        '--system',
        '--user-group',
        '--home-dir',
        home,
        '--no-create-home',
        '--shell',
        '/usr/sbin/nologin',
        name,
    ];
    const { status, stderr } = await runProgram('useradd', args, { timeoutMs: LIMIT_MS, environment });
    if (status !== 0) {
        throw new Error(`useradd ${name} failed: ${stderr.trim()}`);
    }
}

/** The name of this process's user; a container may run as one who has none, only a number. */
function currentName(uid: number): string {
    try {
        return userInfo().username;
    } catch {
        return String(uid);
    }
}

/** Who runs this process. */
export function currentUser(): { readonly name: string; readonly isRoot: boolean } {
    const uid = process.getuid?.() ?? -1;
    return { name: currentName(uid), isRoot: uid === 0 };
}
