import { existsSync } from 'node:fs';
import { lstat, mkdtemp, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { syncDirectory } from '../../../base/durable-files.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import { runProgram } from '../../run-program.js';

const UNPACK_LIMIT_MS = 10 * 60_000;

/** What the link `imgapi` names is in service; what was before is named by the one beside it (operations 5.4). */
export class InstalledVersions {
    readonly #link: string;
    readonly #previous: string;

    /** @param link where services find the code, e.g. `/opt/smartdc/imgapi` */
    constructor(link: string) {
        this.#link = resolve(link);
        this.#previous = `${this.#link}-previous`;
    }

    /** The directory in service. @throws Error when there is a directory instead of a link */
    async current(): Promise<string | undefined> {
        const facts = await unlessMissing(lstat(this.#link));
        if (facts === undefined) {
            return undefined;
        }
        if (!facts.isSymbolicLink()) {
            throw new Error(
                `${this.#link} is a directory: move it to one with its version, and link to that`,
            );
        }
        return this.#target(this.#link);
    }

    /** The directory that was in service before. @throws Error when there is none */
    async previous(): Promise<string> {
        const facts = await unlessMissing(lstat(this.#previous));
        if (facts === undefined) {
            throw new Error('no version before this one is here');
        }
        return facts.isSymbolicLink() ? this.#target(this.#previous) : this.#previous;
    }

    /** Puts a directory into service, in one step. */
    async switchTo(directory: string): Promise<void> {
        await this.#relink(this.#link, directory);
    }

    /** Notes what can be gone back to; a directory that a package keeps there stays. */
    async keep(directory: string): Promise<void> {
        const facts = await unlessMissing(lstat(this.#previous));
        if (facts === undefined || facts.isSymbolicLink()) {
            await this.#relink(this.#previous, directory);
        }
    }

    /** Unpacks a tarball beside the link. @returns its one directory @throws Error if it is there already */
    async unpack(tarball: string): Promise<string> {
        const top = dirname(this.#link);
        const work = await mkdtemp(join(top, '.unpack-'));
        try {
            const args = ['--extract', '--file', tarball, '--directory', work, '--no-same-owner'];
            const { status, stderr } = await runProgram('tar', args, { timeoutMs: UNPACK_LIMIT_MS });
            const names = await readdir(work);
            const [name] = names;
            if (status !== 0 || name === undefined || names.length > 1) {
                throw new Error(`could not unpack ${tarball}: ${stderr.trim() || 'not one directory'}`);
            }
            const target = join(top, name);
            if (existsSync(target)) {
                throw new Error(`${target} is here already; put it into service with --to ${target}`);
            }
            await rename(join(work, name), target);
            await syncDirectory(top);
            return target;
        } finally {
            await rm(work, { recursive: true, force: true });
        }
    }

    async #target(link: string): Promise<string> {
        return resolve(dirname(link), await readlink(link));
    }

    async #relink(link: string, directory: string): Promise<void> {
        const fresh = `${link}.new`;
        await rm(fresh, { force: true });
        await symlink(relative(dirname(link), directory), fresh);
        await rename(fresh, link);
        await syncDirectory(dirname(link));
    }
}
