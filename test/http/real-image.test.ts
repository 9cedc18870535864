import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import { HttpClient } from '../helpers/http-client.js';
import { NOBODY } from '../helpers/images.js';
import { PROJECT_ROOT, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';

const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
const MIB = 1024 * 1024;
const CONTENT_BYTES = 50 * MIB;
const IMAGE_MIB = 96;

const TOOLS = ['mke2fs', 'e2fsck', 'gzip', 'xz'];
const missing = TOOLS.filter((tool) => spawnSync('which', [tool], { env: { PATH } }).status !== 0);

function run(command: string, args: readonly string[]): void {
    execFileSync(command, args, { env: { PATH }, stdio: 'ignore' });
}

async function sha1Of(path: string): Promise<string> {
    const hash = createHash('sha1');
    await pipeline(createReadStream(path), hash);
    return hash.digest('hex');
}

function sizeOf(directory: string): number {
    return readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

/** A file system image with at least 50 MiB of installed packages in it. */
function makeFileSystem(path: string, tree: string): void {
    const modules = join(PROJECT_ROOT, 'node_modules');
    run('mkdir', ['-p', tree]);
    let bytes = 0;
    for (const name of readdirSync(modules)) {
        if (bytes >= CONTENT_BYTES) break;
        if (name.startsWith('.')) continue;
        bytes += sizeOf(join(modules, name));
        if (bytes > (IMAGE_MIB - 16) * MIB) break;
        run('cp', ['-rL', join(modules, name), tree]);
    }
    run('mke2fs', ['-q', '-t', 'ext4', '-d', tree, path, `${IMAGE_MIB}M`]);
}

/** Downloads half of a file, then the rest with a range, as a client does whose connection broke. */
async function downloadInTwoParts(client: HttpClient, path: string, target: string): Promise<void> {
    const first = await client.download(path);
    const total = Number(first.headers['content-length']);
    const etag = String(first.headers['etag']);
    let received = 0;
    const half = createWriteStream(target);
    for await (const chunk of first as AsyncIterable<Buffer>) {
        half.write(chunk);
        received += chunk.length;
        if (received > total / 2) break;
    }
    first.destroy();
    await new Promise((resolve) => half.end(resolve));
    const rest = await client.download(path, { headers: { range: `bytes=${received}-`, 'if-range': etag } });
    if (rest.statusCode !== 206) throw new Error(`the rest was answered with ${rest.statusCode ?? 0}`);
    if (rest.headers['content-range'] !== `bytes ${received}-${total - 1}/${total}`) {
        throw new Error(`wrong range: ${rest.headers['content-range'] ?? ''}`);
    }
    await pipeline(rest, createWriteStream(target, { flags: 'a' }));
}

const reason = missing.length === 0 ? false : `not installed: ${missing.join(', ')}`;

void t.test(
    'a real file system image goes in and comes out as it was',
    { skip: reason, timeout: 240_000 },
    async (t) => {
        const directory = temporaryDirectory();
        t.teardown(() => rmSync(directory, { recursive: true, force: true }));
        const image = join(directory, 'root.ext4');
        makeFileSystem(image, join(directory, 'tree'));
        const imageSha1 = await sha1Of(image);
        const server = await ServerProcess.start({ config: { mode: 'public', authType: 'none' } });
        t.teardown(() => server.kill());
        const client = new HttpClient(server.port);

        for (const [compression, tool, args] of [
            ['gzip', 'gzip', ['-1', '-k', '-f']],
            ['xz', 'xz', ['-1', '-k', '-f', '-T2']],
        ] as const) {
            await t.test(compression, async (t) => {
                run(tool, [...args, image]);
                const packed = `${image}.${compression === 'gzip' ? 'gz' : 'xz'}`;
                const sha1 = await sha1Of(packed);
                const created = await client.post('/images', {
                    owner: NOBODY,
                    name: `debian-${compression}`,
                    version: '1.0.0',
                    type: 'lx-dataset',
                    os: 'linux',
                    public: true,
                });
                const uuid = String(created.document['uuid']);
                const added = await client.put(
                    `/images/${uuid}/file?compression=${compression}&sha1=${sha1}`,
                    createReadStream(packed),
                );
                t.equal(added.status, 200, added.text);
                t.match(added.document['files'], [{ sha1, size: statSync(packed).size, compression }]);
                t.equal(
                    (await client.post(`/images/${uuid}?action=activate`, {})).document['state'],
                    'active',
                );

                const got = join(directory, 'got');
                await downloadInTwoParts(client, `/images/${uuid}/file`, got);
                t.equal(await sha1Of(got), sha1, 'the file is the one that was sent');
                execFileSync('sh', ['-c', `${tool} -dc < '${got}' > '${got}.ext4'`], { env: { PATH } });
                t.equal(await sha1Of(`${got}.ext4`), imageSha1, 'and so is the file system in it');
                t.equal(
                    spawnSync('e2fsck', ['-fn', `${got}.ext4`], { env: { PATH } }).status,
                    0,
                    'which is whole',
                );
            });
        }
    },
);
