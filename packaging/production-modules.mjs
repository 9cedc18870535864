/*
 * Copies the libraries that the server needs at run time, as the lock file names them, out of node_modules.
 * What npm has installed has been verified by the lock file's digests already, and lies where it would
 * lie without the libraries for development, too; so no registry is asked a second time.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Directories of a library that nothing at run time reads. */
const UNNEEDED_DIRECTORIES = new Set(
    'test tests example examples bench benchmark benchmarks doc docs .github coverage obj'.split(' '),
);
const UNNEEDED_FILE_RE =
    /\.(d\.[cm]?ts|[cm]?ts|map|md|markdown|yml|html|cc?|h|gyp|gypi|tar\.gz)$|^(\.|binding\.gyp|makefile|gruntfile)/i;
const LICENCE_RE = /^(licen[cs]e|notice|copying|authors)/i;

function isNeeded(name, isDirectory, depth) {
    if (isDirectory) {
        return name !== 'node_modules' && !(depth === 0 && UNNEEDED_DIRECTORIES.has(name));
    }
    return LICENCE_RE.test(name) || !UNNEEDED_FILE_RE.test(name);
}

/**
 * Native parts that were made where npm has installed: left out, as they differ from machine to machine. What
 * has them works without, or brings them prebuilt.
 */
function isLeftOut(name, entry) {
    return name === 'build' && entry.hasInstallScript === true;
}

/** Where to take a library from that brings no native part for a system: `undefined`: it needs none, or has it. */
function standIn(root, path, native) {
    const prebuilds = join(root, path, 'prebuilds');
    if (!existsSync(prebuilds) || existsSync(join(prebuilds, native))) {
        return undefined;
    }
    const found = join(root, 'deps', basename(path));
    if (!existsSync(found)) {
        throw new Error(`${path} has no native part for ${native}`);
    }
    return found;
}

function copyLibrary(from, to, entry, native, depth = 0) {
    mkdirSync(to, { recursive: true });
    for (const found of readdirSync(from, { withFileTypes: true })) {
        const { name } = found;
        const isForElsewhere = basename(from) === 'prebuilds' && name !== native;
        const isElectron = /^electron.*\.node$/.test(name);
        if (isForElsewhere || isElectron || (depth === 0 && isLeftOut(name, entry))) {
            continue;
        }
        if (!isNeeded(name, found.isDirectory(), depth)) {
            continue;
        }
        if (found.isDirectory()) {
            copyLibrary(join(from, name), join(to, name), entry, native, depth + 1);
        } else if (found.isFile()) {
            copyFileSync(join(from, name), join(to, name));
        }
    }
}

/** Of the lock file: path and entry of what the server needs; a linked one has the path it links to. */
function productionEntries(root) {
    const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
    return Object.entries(packages).filter(
        ([path, { dev, devOptional }]) => path.startsWith('node_modules/') && !dev && !devOptional,
    );
}

/**
 * @param root top of the project, installed
 * @param to where node_modules is to be
 * @param native platform and architecture, as libraries name them: `linux-x64`
 */
export function copyProductionModules(root, to, native) {
    for (const [path, entry] of productionEntries(root)) {
        const own = join(root, entry.link === true ? entry.resolved : path);
        const from = standIn(root, path, native) ?? own;
        if (existsSync(from)) {
            copyLibrary(from, join(to, path), entry, native);
        } else if (entry.optional !== true) {
            throw new Error(`${path} is not installed: run make`);
        }
    }
}
