import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually, freePort, temporaryDirectory } from './server-process.js';

const SLAPD = '/usr/sbin/slapd';
const SLAPADD = '/usr/sbin/slapadd';
const START_LIMIT_MS = 20_000;
const SUFFIX = 'o=smartdc';

/** Instances that have not ended yet; none may outlive the test that started it. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
    for (const child of running) child.kill('SIGKILL');
});

/** Why there can be no slapd here, or false. */
export const noSlapd: string | false = existsSync(SLAPD) ? false : 'slapd is not installed';

/** What of UFDS's schema its users need. */
const SCHEMA = `
attributetype ( 1.3.6.1.4.1.99999.1.1 NAME 'login' EQUALITY caseExactMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.99999.1.2 NAME 'uuid' EQUALITY caseExactMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.99999.2.1 NAME 'sdcperson' SUP top STRUCTURAL MUST ( uuid $ login ) )
`;

function configuration(directory: string, bindDN: string, bindPassword: string): string {
    return `include /etc/ldap/schema/core.schema
include ${join(directory, 'ufds.schema')}
pidfile ${join(directory, 'slapd.pid')}
modulepath /usr/lib/ldap
moduleload back_mdb
disallow bind_anon
require bind
database mdb
maxsize 10485760
suffix "${SUFFIX}"
rootdn "${bindDN}"
rootpw "${bindPassword}"
directory ${join(directory, 'data')}
`;
}

function entries(users: Readonly<Record<string, string>>): string {
    const tree = [
        `dn: ${SUFFIX}\nobjectclass: organization\no: smartdc`,
        `dn: ou=users,${SUFFIX}\nobjectclass: organizationalUnit\nou: users`,
        ...Object.entries(users).map(
            ([login, uuid]) =>
                `dn: uuid=${uuid},ou=users,${SUFFIX}\nobjectclass: sdcperson\nuuid: ${uuid}\nlogin: ${login}`,
        ),
    ];
    return `${tree.join('\n\n')}\n`;
}

/** Debian's LDAP server with users of its own, in a temporary directory and on a loopback port. */
export class Slapd {
    readonly bindDN = `cn=root,${SUFFIX}`;
    readonly bindPassword = 'the password of slapd';
    readonly #directory = temporaryDirectory();
    readonly #port: number;
    #child: ChildProcess | undefined;
    #output = '';

    private constructor(port: number) {
        this.#port = port;
    }

    /** @param users uuids by login */
    static async start(users: Readonly<Record<string, string>>): Promise<Slapd> {
        const slapd = new Slapd(await freePort());
        const file = (name: string, text: string): void => writeFileSync(join(slapd.#directory, name), text);
        mkdirSync(join(slapd.#directory, 'data'));
        file('ufds.schema', SCHEMA);
        file('slapd.conf', configuration(slapd.#directory, slapd.bindDN, slapd.bindPassword));
        file('users.ldif', entries(users));
        await promisify(execFile)(SLAPADD, [
            '-f',
            slapd.#path('slapd.conf'),
            '-l',
            slapd.#path('users.ldif'),
        ]);
        await slapd.start();
        return slapd;
    }

    get url(): string {
        return `ldap://127.0.0.1:${this.#port}`;
    }

    /** Starts it again on the same port and waits until it listens. */
    async start(): Promise<void> {
        const child = spawn(SLAPD, ['-d', '0', '-f', this.#path('slapd.conf'), '-h', this.url], {
            stdio: ['ignore', 'ignore', 'pipe'],
        });
        running.add(child);
        child.once('exit', () => running.delete(child));
        child.stderr.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
        this.#child = child;
        await eventually('slapd', START_LIMIT_MS, () => {
            if (!running.has(child)) throw new Error(`slapd ended: ${this.#output}`);
            return this.#listens();
        });
    }

    /** Kills it and waits until it is gone. */
    async stop(): Promise<void> {
        const child = this.#child;
        if (child === undefined || !running.has(child)) return;
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
    }

    /** Stops it and removes its data. */
    async remove(): Promise<void> {
        await this.stop();
        rmSync(this.#directory, { recursive: true, force: true });
    }

    #path(name: string): string {
        return join(this.#directory, name);
    }

    #listens(): Promise<boolean> {
        const socket = connect(this.#port, '127.0.0.1');
        return new Promise<boolean>((resolve) => {
            socket.once('connect', () => resolve(true));
            socket.once('error', () => resolve(false));
        }).finally(() => socket.destroy());
    }
}
