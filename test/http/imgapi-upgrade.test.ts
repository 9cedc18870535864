// Another version comes into service, and goes again when its processes do not come up (operations 5.4).
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AdminTool, type ToolExit } from '../helpers/admin-tool.js';
import { LIMIT_MS, temporaryDirectory } from '../helpers/server-process.js';

t.setTimeout(LIMIT_MS);

/** A directory with versions of which nothing is run but `main.js --check`, and a systemctl that notes its calls. */
class Place {
    readonly base = temporaryDirectory();
    readonly link = join(this.base, 'imgapi');
    readonly config = join(this.base, 'imgapi.config.json');

    constructor(t: Test, port: number) {
        t.teardown(() => rmSync(this.base, { recursive: true, force: true }));
        writeFileSync(this.config, JSON.stringify({ port }));
        mkdirSync(join(this.base, 'bin'));
        const systemctl = [
            '#!/bin/sh',
            `echo "$* $(readlink ${this.link})" >> ${this.base}/calls`,
            'case $1 in',
            `list-units) cat ${this.base}/units 2> /dev/null || true ;;`,
            // What has failed is in no list any more.
            `start) case $(readlink ${this.link}) in`,
            `    *-bad) rm ${this.base}/units; echo broken >&2; exit 1 ;;`,
            `    *) if grep -qsx "$2" ${this.base}/refused; then echo refused >&2; exit 1; fi ;;`,
            'esac ;;',
            'esac',
        ];
        writeFileSync(join(this.base, 'bin', 'systemctl'), `${systemctl.join('\n')}\n`, { mode: 0o755 });
    }

    /** A version whose look at the configuration ends so. */
    version(name: string, status = 0): string {
        const directory = join(this.base, `imgapi-${name}`);
        mkdirSync(directory);
        writeFileSync(join(directory, 'main.js'), `console.log('config.x: wrong'); process.exit(${status});`);
        return directory;
    }

    upgrade(...args: readonly string[]): Promise<ToolExit> {
        const options = ['--link', this.link, '-c', this.config];
        const environment = { PATH: `${join(this.base, 'bin')}:${process.env['PATH'] ?? ''}` };
        return new AdminTool([...args, ...options], environment, { program: 'imgapi-upgrade' }).exited;
    }

    get current(): string {
        return readlinkSync(this.link);
    }

    get calls(): string[] {
        return readFileSync(join(this.base, 'calls'), 'utf8').trim().split('\n');
    }
}

await t.test('tarballs, directories, and the way back', async (t) => {
    const place = new Place(t, 1);
    const first = place.version('1');
    t.equal((await place.upgrade('--to', first)).code, 0);
    t.equal(place.current, 'imgapi-1');
    const none = await place.upgrade('--rollback');
    t.strictSame(
        [none.code, none.stderr],
        [1, 'imgapi-upgrade: error: no version before this one is here\n'],
    );

    const second = place.version('2');
    const tarball = join(place.base, '2.tar.gz');
    execFileSync('tar', ['-czf', tarball, '-C', place.base, 'imgapi-2']);
    const there = await place.upgrade(tarball);
    t.match(there.stderr, `${second} is here already`);
    t.equal(place.current, 'imgapi-1');
    rmSync(second, { recursive: true });
    t.equal((await place.upgrade(tarball)).code, 0);
    t.equal(place.current, 'imgapi-2');
    for (const expected of ['imgapi-1', 'imgapi-2']) {
        t.equal((await place.upgrade('--rollback')).code, 0);
        t.equal(place.current, expected, 'back, and forth again');
    }
    writeFileSync(join(place.base, 'text'), 'no tarball');
    t.match(await place.upgrade(join(place.base, 'text')), { code: 1, stderr: /could not unpack/ });
    t.strictSame(
        readdirSync(place.base).filter((name) => name.startsWith('.') || name.endsWith('.new')),
        [],
        'nothing half-made stays',
    );
});

await t.test('what cannot be put into service changes nothing', async (t) => {
    const place = new Place(t, 1);
    await place.upgrade('--to', place.version('1'));
    const refused = await place.upgrade('--to', place.version('2', 2));
    t.match(refused, { code: 1, stderr: /imgapi-2 cannot be put into service: config\.x: wrong/ });
    t.match(await place.upgrade('--to', place.base), { code: 1, stderr: /holds no image server/ });
    t.match(await place.upgrade(), { code: 1, stderr: /give one of/ });
    t.equal(place.current, 'imgapi-1');
    rmSync(place.link);
    mkdirSync(place.link);
    t.match(await place.upgrade('--to', place.version('3')), { code: 1, stderr: /is a directory: move it/ });
});

await t.test(
    'processes are started anew, the writer last; one that does not start brings the version back',
    async (t) => {
        const servers = await Promise.all(
            [200, 503].map(async (asWriter) => {
                const server = createServer(({ url = '' }, answer) => {
                    const status = url.includes('role=writer') ? asWriter : 200;
                    answer.writeHead(status, { 'content-type': 'application/json' });
                    answer.end(JSON.stringify({ ping: 'pong', version: '1', imgapi: true }));
                }).listen(0, '127.0.0.1');
                await once(server, 'listening');
                t.teardown(() => server.close());
                const address = server.address();
                return typeof address === 'object' ? (address?.port ?? 0) : 0;
            }),
        );
        const [writer = 0, reader = 0] = servers;
        const place = new Place(t, writer);
        await place.upgrade('--to', place.version('1'));
        const units = [writer, reader].map((port) => `imgapi@${port}.service loaded active running x\n`);
        writeFileSync(join(place.base, 'units'), units.join(''));
        const starts = (): string[] => place.calls.filter((call) => /^(stop|start) /.test(call));

        t.equal((await place.upgrade('--to', place.version('2'))).code, 0);
        t.strictSame(starts(), [
            `stop imgapi@${reader}.service imgapi-2`,
            `start imgapi@${reader}.service imgapi-2`,
            `stop imgapi@${writer}.service imgapi-2`,
            `start imgapi@${writer}.service imgapi-2`,
        ]);
        const starting = (call: string): boolean => call.startsWith('start ');
        t.equal(
            place.calls[place.calls.findIndex(starting) - 1],
            `reset-failed imgapi@${reader}.service imgapi-2`,
            'however often it has failed of late',
        );
        writeFileSync(join(place.base, 'refused'), `imgapi@${reader}.service\n`);
        const bad = await place.upgrade('--to', place.version('bad'));
        const told =
            /imgapi-2 is in service again\n.*error: imgapi@(\d+)\.service does not run again: .*refused[^]*broken/;
        t.match(bad, { code: 1, stderr: told, stdout: [/bad/, `imgapi@${writer}.service restarted`] });
        t.equal(told.exec(bad.stderr)?.[1], String(reader));
        t.equal(place.current, 'imgapi-2');
        t.strictSame(starts().slice(4, 8), [
            `stop imgapi@${reader}.service imgapi-bad`,
            `start imgapi@${reader}.service imgapi-bad`,
            `stop imgapi@${reader}.service imgapi-2`,
            `start imgapi@${reader}.service imgapi-2`,
        ]);
    },
);
