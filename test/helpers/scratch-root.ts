import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
    chmodSync,
    copyFileSync,
    existsSync,
    mkdirSync,
    mkdtempSync,
    readFileSync,
    realpathSync,
    rmSync,
    writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Programs that dpkg and the scripts of a package may expect on every Debian system. */
const PROGRAMS = (
    'sh bash dpkg dpkg-deb dpkg-split dpkg-query rm tar diff ldconfig start-stop-daemon readlink ln mv cp rmdir ' +
    'install getent useradd nologin id dirname env cat chmod chown ls mkdir find sed grep touch tail'
).split(' ');
/** What they open beside their libraries. */
const FILES = ['/etc/nsswitch.conf', '/etc/ld.so.conf', '/etc/debian_version', '/etc/login.defs'];
/** Packages that are as good as installed there. */
const PRESENT = ['libc6', 'libgcc-s1', 'libstdc++6', 'passwd'];
/** Where its Node.js is: the one that runs this. */
const NODE = '/usr/bin/node';
const SEARCH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const LIMIT_MS = 120_000;

const IS_ROOT = process.getuid?.() === 0;

/** What a command in a scratch root has said. */
export interface RootResult {
    readonly status: number | null;
    readonly stdout: string;
    readonly stderr: string;
}

/** How to run a command there; by default as root. */
export interface RunOptions {
    /** A user of that system and the group of the same name, or number. */
    readonly user?: string | undefined;
    readonly directory?: string;
    readonly environment?: Readonly<Record<string, string>>;
    /** Directories of this machine, by their paths there: but for these and /tmp, nothing can be written. */
    readonly sealed?: Readonly<Record<string, string>>;
}

function sealingMounts(directories: Readonly<Record<string, string>>): string[] {
    const mounts = Object.entries(directories).map(([path, from]) => `mount --bind '${from}' "$0${path}"`);
    return [
        'mount --bind "$0" "$0"',
        'mount -o remount,bind,ro "$0"',
        ...mounts,
        'mount -t tmpfs tmpfs "$0/tmp"',
    ];
}

/** Switches that give a process mounts of its own, and the rights of root to those who have them not. */
const UNSHARE = ['--mount', ...(IS_ROOT ? [] : ['--map-root-user'])];

/** Why there can be no scratch root here; `undefined`: there can. */
export function whyNoScratchRoot(): string | undefined {
    const missing = ['unshare', 'chroot', 'dpkg', 'ldd'].filter(
        (name) => spawnSync('sh', ['-c', `PATH=$PATH:${SEARCH} command -v ${name}`]).status !== 0,
    );
    if (missing.length > 0) return `needs ${missing.join(', ')}`;
    return spawnSync('unshare', [...UNSHARE, 'true']).status === 0
        ? undefined
        : 'needs the right to mounts of its own (unshare --mount)';
}

/** The version of a package on this machine. */
function versionOf(name: string): string {
    const shown = spawnSync('dpkg-query', ['--show', '--showformat=${Version}', name], { encoding: 'utf8' });
    return shown.stdout;
}

/** Files that a program is linked with. */
function librariesOf(program: string): string[] {
    const { stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
    return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? '');
}

function pathOf(program: string): string {
    const found = SEARCH.split(':')
        .map((directory) => join(directory, program))
        .find((path) => existsSync(path));
    if (found === undefined) throw new Error(`no ${program} here`);
    return found;
}

/**
 * A small Debian system in a directory of its own: dpkg, a shell, libraries, and nothing that would be of use
 * to the package but what it asks for. Its processes see no other files; the network is that of the machine.
 */
export class ScratchRoot {
    readonly path: string = mkdtempSync(join(tmpdir(), 'imgapi-root-'));
    readonly #children = new Set<ChildProcess>();

    constructor() {
        chmodSync(this.path, 0o755);
        // As on every system of today; programs and libraries keep the paths they are known by.
        for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
            mkdirSync(this.at(`/usr/${name}`), { recursive: true });
            execFileSync('ln', ['-s', `usr/${name}`, this.at(`/${name}`)]);
        }
        for (const name of ['dev', 'proc', 'tmp', 'run', 'data', 'root', 'var/lib/dpkg/info']) {
            mkdirSync(this.at(name), { recursive: true });
        }
        chmodSync(this.at('/tmp'), 0o1777);
        const programs = PROGRAMS.map(pathOf);
        const libraries = [...programs, process.execPath].flatMap(librariesOf);
        for (const path of new Set([...programs, ...libraries, ...FILES.filter((one) => existsSync(one))])) {
            this.#adopt(path);
        }
        mkdirSync(dirname(this.at(NODE)), { recursive: true });
        copyFileSync(process.execPath, this.at(NODE));
        this.write('/etc/default/locale', '');
        this.write('/opt/other/file', '');
        this.#writeAccounts();
        this.#writePackages();
    }

    /** Where a path of the root is for us. */
    at(path: string): string {
        return join(this.path, path);
    }

    write(path: string, text: string, mode = 0o644): void {
        mkdirSync(dirname(this.at(path)), { recursive: true });
        writeFileSync(this.at(path), text, { mode });
    }

    read(path: string): string {
        return readFileSync(this.at(path), 'utf8');
    }

    /** Runs a command there to its end. */
    run(command: readonly string[], how: RunOptions = {}): Promise<RootResult> {
        const child = this.start(command, how);
        const output = { stdout: '', stderr: '' };
        child.stdout?.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
        child.stderr?.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
        const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
        return new Promise((resolve) => {
            child.once('close', (status) => {
                clearTimeout(timer);
                resolve({ status, ...output });
            });
        });
    }

    /** Starts a command there. */
    start(command: readonly string[], how: RunOptions = {}): ChildProcess {
        const { user, directory = '/', environment = {}, sealed } = how;
        // Without root's rights there is but one user, whom all names mean.
        const as = user === undefined || !IS_ROOT ? '' : ` --userspec=${user}:${user}`;
        const script = [
            ...(sealed === undefined ? [] : sealingMounts(sealed)),
            'mount --rbind /dev "$0/dev"',
            'mount --rbind /proc "$0/proc"',
            `exec chroot${as} "$0" sh -c 'cd "$0" && exec "$@"' "$@"`,
        ].join(' && ');
        // Each of them becomes the next one, so the process that is waited for is the command.
        const child = spawn('unshare', [...UNSHARE, 'sh', '-c', script, this.path, directory, ...command], {
            env: {
                PATH: SEARCH,
                TZ: 'UTC',
                HOME: '/root',
                DEBIAN_FRONTEND: 'noninteractive',
                ...environment,
            },
            stdio: ['ignore', 'pipe', 'pipe'],
        });
        this.#children.add(child);
        child.once('exit', () => this.#children.delete(child));
        return child;
    }

    /** Ends what runs there, and removes it. */
    remove(): void {
        for (const child of this.#children) child.kill('SIGKILL');
        rmSync(this.path, { recursive: true, force: true });
    }

    /** Copies a file to the same path. */
    #adopt(path: string): void {
        const target = this.at(path);
        mkdirSync(dirname(target), { recursive: true });
        copyFileSync(realpathSync(path), target);
    }

    #writeAccounts(): void {
        // Where only one user can be, the service user is there already, and is that one.
        const [user, group] = IS_ROOT ? ['', ''] : ['imgapi:x:0:0::/data/imgapi:/bin/sh\n', 'imgapi:x:0:\n'];
        this.write('/etc/passwd', `root:x:0:0:root:/root:/bin/sh\n${user}`);
        this.write('/etc/group', `root:x:0:\n${group}`);
        this.write('/etc/shadow', 'root:*:1:0:99999:7:::\n', 0o600);
        this.write('/etc/gshadow', 'root:*::\n', 0o600);
    }

    /** Tells dpkg of the packages whose files are there. */
    #writePackages(): void {
        const versions = [
            ['nodejs', process.versions.node],
            ...PRESENT.map((name) => [name, versionOf(name)]),
        ];
        const known = versions.map(([name, version]) =>
            [
                `Package: ${name}`,
                'Status: install ok installed',
                'Architecture: all',
                'Maintainer: nobody <nobody@localhost>',
                `Version: ${version}`,
                'Description: is here',
                '',
            ].join('\n'),
        );
        this.write('/var/lib/dpkg/status', known.join('\n'));
        for (const [name] of versions) this.write(`/var/lib/dpkg/info/${name}.list`, '/.\n');
    }
}
