/*
 * Puts the installed tree (operations 5.3) together: node packaging/stage.mjs --to DIR [options]. The same
 * sources give the same bytes, names, modes and times. See `make install` and `make pkg`.
 */
import {
    chmodSync,
    copyFileSync,
    cpSync,
    existsSync,
    lstatSync,
    lutimesSync,
    mkdirSync,
    readdirSync,
    readFileSync,
    rmSync,
    symlinkSync,
    writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { mergeSettings } from '../lib/base/config-computed.js';
import { copyProductionModules } from './production-modules.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
    options: {
        to: { type: 'string' },
        // Where the tree will be, and its data; written into units and scripts.
        prefix: { type: 'string', default: '/opt/smartdc/imgapi' },
        data: { type: 'string', default: '/data/imgapi' },
        user: { type: 'string', default: 'imgapi' },
        // A directory with bin/node and LICENSE to bring along; or else where node is there.
        bundle: { type: 'string' },
        node: { type: 'string', default: '/usr/bin/node' },
        platform: { type: 'string', default: process.platform },
        arch: { type: 'string', default: process.arch },
        // Default: that of package.json.
        version: { type: 'string' },
        boot: { type: 'string' },
        epoch: { type: 'string', default: '0' },
    },
});
if (values.to === undefined) {
    process.stderr.write('--to DIR is missing\n');
    process.exit(1);
}
const { to } = values;

/** Copies a directory of the project, if it is there. */
function copyTree(from, name = from) {
    if (existsSync(join(root, from))) {
        cpSync(join(root, from), join(to, name), { recursive: true, verbatimSymlinks: true });
    }
}

/** What is compiled from the sources of now; lib/ may hold more. */
function copyCompiled(directory = '') {
    for (const entry of readdirSync(join(root, 'src', directory), { withFileTypes: true })) {
        const name = join(directory, entry.name);
        if (entry.isDirectory()) {
            copyCompiled(name);
        } else if (name.endsWith('.ts') && !name.endsWith('.d.ts')) {
            const compiled = name.replace(/ts$/, 'js');
            const text = readFileSync(join(root, 'lib', compiled), 'utf8');
            mkdirSync(dirname(join(to, 'lib', compiled)), { recursive: true });
            writeFileSync(join(to, 'lib', compiled), text.replace(/^\/\/# sourceMappingURL=.*\n?/m, ''));
        }
    }
}

function writePackageFacts() {
    const facts = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    for (const key of ['devDependencies', 'overrides', 'scripts']) {
        delete facts[key];
    }
    const text = JSON.stringify({ ...facts, version: values.version ?? facts.version }, null, 2);
    writeFileSync(join(to, 'package.json'), `${text}\n`);
}

/**
 * First lines of a script that runs with the node beside it, wherever the tree is unpacked: a command to a shell,
 * a word and a comment to node.
 */
const OWN_NODE = [
    '#!/bin/sh',
    `':' //; exec "$(dirname -- "$(readlink -f -- "$0")")/../build/node/bin/node" "$0" "$@"`,
].join('\n');

/** Units and scripts say where things are. */
function setPlaces(text) {
    return text
        .replace(/^#!\/usr\/bin\/env node$/m, () => OWN_NODE)
        .replaceAll('/opt/smartdc/imgapi', values.prefix)
        .replaceAll('/data/imgapi', values.data);
}

function setPlacesIn(directory, change) {
    if (!existsSync(join(to, directory))) {
        return;
    }
    for (const name of readdirSync(join(to, directory))) {
        const path = join(to, directory, name);
        writeFileSync(path, change(readFileSync(path, 'utf8')));
    }
}

function placeNode() {
    mkdirSync(join(to, 'build/node/bin'), { recursive: true });
    const path = join(to, 'build/node/bin/node');
    if (values.bundle === undefined) {
        symlinkSync(values.node, path);
    } else {
        copyFileSync(join(values.bundle, 'bin/node'), path);
        copyFileSync(join(values.bundle, 'LICENSE'), join(to, 'build/node/LICENSE'));
    }
}

/** Modes and times that do not depend on who builds, and when. */
function settle(path, epoch) {
    const facts = lstatSync(path);
    if (facts.isDirectory()) {
        readdirSync(path).forEach((name) => settle(join(path, name), epoch));
    }
    if (!facts.isSymbolicLink()) {
        chmodSync(path, facts.isDirectory() || (facts.mode & 0o100) !== 0 ? 0o755 : 0o644);
    }
    lutimesSync(path, epoch, epoch);
}

rmSync(to, { recursive: true, force: true });
mkdirSync(to, { recursive: true });
for (const name of ['main.js', 'README.md', 'CHANGES.md']) {
    copyFileSync(join(root, name), join(to, name));
}
writePackageFacts();
copyCompiled();
for (const name of ['bin', 'smf', 'tools', 'workflows', 'build/docs', 'docs/man']) {
    copyTree(name);
}
copyTree('etc');
rmSync(join(to, 'etc/sapi_manifests'), { recursive: true, force: true });
copyTree('etc/sapi_manifests', 'sapi_manifests');
writeFileSync(join(to, 'etc/defaults.json'), `${JSON.stringify(mergeSettings({}), null, 4)}\n`);
copyProductionModules(root, to, `${values.platform}-${values.arch}`);
placeNode();
setPlacesIn('bin', setPlaces);
setPlacesIn('etc/logrotate', setPlaces);
setPlacesIn('etc/systemd', (text) => setPlaces(text).replace(/^(User|Group)=imgapi$/gm, `$1=${values.user}`));
if (values.boot !== undefined && existsSync(join(root, 'boot'))) {
    cpSync(join(root, 'boot'), values.boot, { recursive: true });
    settle(values.boot, Number(values.epoch));
}
settle(to, Number(values.epoch));
