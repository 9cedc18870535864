// The parts of the container (operations 4.4): nothing can be written but the volume and /tmp, and an empty
// volume is set up.
import { chownSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { once } from 'node:events';
import t from 'tap';
import { HttpClient } from '../helpers/http-client.js';
import { ScratchRoot, whyNoScratchRoot, type RunOptions } from '../helpers/scratch-root.js';
import {
    eventually,
    freePort,
    LIMIT_MS,
    PROJECT_ROOT,
    temporaryDirectory,
} from '../helpers/server-process.js';

t.setTimeout(LIMIT_MS);

const CONTAINER = readFileSync(join(PROJECT_ROOT, 'packaging/Containerfile'), 'utf8').replaceAll('\\\n', '');
const [USER_ID = ''] = /(?<=^USER )\d+/m.exec(CONTAINER) ?? [];

/** The command of an instruction. */
function commandOf(pattern: RegExp): string[] {
    return JSON.parse(pattern.exec(CONTAINER)?.[1] ?? '[]') as string[];
}

const whyNot = whyNoScratchRoot();
await t.test('a container on an empty volume', { skip: whyNot ?? false }, async (t) => {
    const [entryPoint, health] = [commandOf(/^ENTRYPOINT (.*)$/m), commandOf(/^HEALTHCHECK .* CMD (.*)$/m)];
    const root = new ScratchRoot();
    const volume = temporaryDirectory();
    t.teardown(() => {
        root.remove();
        rmSync(volume, { recursive: true, force: true });
    });
    for (const path of ['/opt/smartdc/imgapi', '/data/imgapi']) mkdirSync(root.at(path), { recursive: true });
    if (process.getuid?.() === 0) chownSync(volume, Number(USER_ID), Number(USER_ID));
    const port = await freePort();
    const how: RunOptions = {
        user: USER_ID,
        environment: {
            HOME: '/',
            UV_THREADPOOL_SIZE: '16',
            IMGAPI_SETUP_MODE: 'private',
            IMGAPI_SETUP_PORT: String(port),
            IMGAPI_SETUP_AUTH_TYPE: 'none',
        },
        sealed: { '/opt/smartdc/imgapi': PROJECT_ROOT, '/data/imgapi': volume },
    };
    const config = join(volume, 'etc', 'imgapi.config.json');
    const client = new HttpClient(port);
    t.teardown(() => client.close());
    t.equal((await root.run(health, how)).status, 1, 'nothing answers yet');

    let before: string | undefined;
    for (const time of ['first', 'second']) {
        const child = root.start(entryPoint, how);
        const ended = once(child, 'close');
        const output: string[] = [];
        for (const stream of [child.stdout, child.stderr]) {
            stream?.on('data', (chunk: Buffer) => output.push(chunk.toString()));
        }
        const answer = await eventually(
            `an answer of the ${time} container: ${output.join('')}`,
            30_000,
            () => client.get('/ping').catch(() => undefined),
        );
        t.equal(answer.status, 200);
        t.equal((await root.run(health, how)).status, 0, 'it is healthy');
        const text = readFileSync(config, 'utf8');
        t.match(JSON.parse(text), { mode: 'private', port, address: '0.0.0.0', authType: 'none' });
        t.equal(text, before ?? text, 'a volume with a configuration keeps it');
        before = text;
        child.kill('SIGTERM');
        t.strictSame(await ended, [0, null], `the ${time} container ends: ${output.join('').slice(-500)}`);
    }
    t.equal((await root.run(health, how)).status, 1, 'what has ended is not healthy');
    const sealed = await root.run(['touch', '/opt/smartdc/file'], { ...how, user: undefined });
    t.not(sealed.status, 0, 'the rest could not be written');
});
