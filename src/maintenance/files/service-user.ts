import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';

const ROOT = 0;
const READ = 4;
const ALL = 7;
/** Modes of what the server makes (README table C). */
const MODES = { file: '0640', directory: '0750' } as const;

/** What tells who may do what with a file. */
export type AccessFacts = Pick<Stats, 'uid' | 'gid' | 'mode'>;

/** A word of a shell command. */
function quoted(text: string): string {
    return /^[\w./+:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The user the server runs as: the owner of its base directory. */
export class ServiceUser {
    readonly uid: number;
    readonly gid: number;

    constructor({ uid, gid }: { readonly uid: number; readonly gid: number }) {
        this.uid = uid;
        this.gid = gid;
    }

    /** @param base the base directory. @throws the file system's error */
    static async of(base: string): Promise<ServiceUser> {
        return new ServiceUser(await stat(base));
    }

    /** Whether the server can read a file, or use a directory. */
    mayUse(facts: AccessFacts, type: 'file' | 'directory'): boolean {
        const needed = type === 'file' ? READ : ALL;
        const shift = facts.uid === this.uid ? 6 : facts.gid === this.gid ? 3 : 0;
        return this.uid === ROOT || ((facts.mode >> shift) & needed) === needed;
    }

    /** Shell commands that let the server in. */
    commands(path: string, facts: AccessFacts, type: 'file' | 'directory'): readonly string[] {
        const chown = facts.uid === this.uid ? [] : [`chown ${this.uid}:${this.gid} ${quoted(path)}`];
        return [...chown, `chmod ${MODES[type]} ${quoted(path)}`];
    }
}

/** The mode that {@link ServiceUser.commands} gives. */
export function modeOf(type: 'file' | 'directory'): number {
    return Number.parseInt(MODES[type], 8);
}
