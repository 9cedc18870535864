// A failing disk under the running server: errors injected into its system calls, and small disks
// that fill up or become read-only (backends 15 and 17, rows 14 and 16; operations 6.3).
import { rmSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { HttpClient, type Answer } from '../helpers/http-client.js';
import { createImage, imageDirectory, PNG, sha1Hex } from '../helpers/images.js';
import {
    InjectedFault,
    noInjection,
    noMounting,
    SmallDisk,
    type FaultCode,
    type FaultyCall,
} from '../helpers/injected-faults.js';
import { eventually, LIMIT_MS, ServerProcess, temporaryDirectory } from '../helpers/server-process.js';
import {
    changeOfUuid,
    leftovers,
    look,
    lookByClient,
    operation,
    OPERATIONS,
    type DiskOperation,
} from './disk-operations.js';

t.setTimeout(5 * LIMIT_MS);

const CODES = ['EIO', 'ENOSPC', 'EDQUOT', 'EROFS'] as const satisfies readonly FaultCode[];
const DOWN = { code: 'StorageIsDown', message: 'storage is down at the moment' };
const OTHER_CALLS = ['sync', 'unlink', 'mkdir', 'open'] as const satisfies readonly FaultyCall[];
/** More calls than any write makes. */
const MANY = 60;

/** A server whose file work is done by one thread, so that its calls can be counted. */
function start(baseDir: string): Promise<ServerProcess> {
    return ServerProcess.start({
        baseDir,
        config: { authType: 'none' },
        environment: { UV_THREADPOOL_SIZE: '1' },
    });
}

/** Files of the base directory that the process holds open. */
function openFiles(server: ServerProcess): string[] {
    const directory = `/proc/${server.pid}/fd`;
    return readdirSync(directory).flatMap((name) => {
        try {
            const target = readlinkSync(join(directory, name));
            return target.startsWith(server.baseDir) ? [target] : [];
        } catch {
            return [];
        }
    });
}

/** The answer a client gets when the disk says `code`: as promised, and without a path. */
function expectFailure(test: Test, answer: Answer, code: FaultCode, name: string): void {
    if (code === 'EIO') {
        test.match(answer, { status: 500, error: { code: 'InternalError' } }, name);
        test.notMatch(
            answer.text,
            /\/(tmp|var|images|manifests|archive|run)\b|\.tmp|\.raw/,
            'without a path',
        );
    } else {
        test.strictSame([answer.status, answer.error], [503, DOWN], name);
    }
}

/** Everything is well: the server lives, holds no file open, and nothing is left unfinished. */
async function expectRest(test: Test, server: ServerProcess, left: readonly string[] = []): Promise<void> {
    test.ok(server.alive, 'the server lives');
    await eventually(`closed files ${openFiles(server).join()}`, 2000, () => openFiles(server).length === 0);
    test.strictSame(leftovers(server.baseDir), left, 'nothing unfinished is left');
}

/** Sends the request again, now that the disk works: it must do what it is for. */
async function expectRetry(
    test: Test,
    server: ServerProcess,
    client: HttpClient,
    write: DiskOperation,
    uuid: string,
): Promise<void> {
    const before = await lookByClient(client, uuid);
    const answer = await write.run(client, uuid);
    test.ok(answer.status === 200 || answer.status === 204, `${write.name}: the same request succeeds then`);
    test.notSame(await lookByClient(client, write.newUuid ?? uuid), before);
    await look(client, server.baseDir, write.newUuid ?? uuid);
}

/** Work that may wait for later: the files it is noted in. */
const isNote = (path: string): boolean => /^run\/(deletes|uploads)\/|^run\/move-/.test(path);

function forget(baseDir: string, paths: readonly string[]): void {
    for (const path of paths) rmSync(join(baseDir, path), { force: true });
}

await t.test('errors of system calls', { skip: noInjection() }, async (t) => {
    const baseDir = temporaryDirectory();
    const server = await start(baseDir);
    const client = new HttpClient(server.port);
    t.teardown(async () => {
        const { code } = await server.stop();
        rmSync(baseDir, { recursive: true, force: true });
        if (code !== 0) throw new Error(`the server did not end cleanly: ${code}`);
    });

    /** Has one write meet a fault. */
    async function meet(
        write: DiskOperation,
        fault: Parameters<typeof InjectedFault.into>[1],
    ): Promise<{ readonly uuid: string; readonly answer: Answer; readonly failed: readonly string[] }> {
        const uuid = await write.prepare(client);
        const injected = await InjectedFault.into(server.pid, fault);
        const answer = await write.run(client, uuid);
        return { uuid, answer, failed: await injected.end() };
    }

    /** One call of one write fails, once: the write fails and has changed nothing, or succeeds. */
    async function failOnce(
        test: Test,
        write: DiskOperation,
        call: FaultyCall,
        nth: number,
    ): Promise<boolean> {
        const uuid = await write.prepare(client);
        const before = await look(client, baseDir, uuid);
        const injected = await InjectedFault.into(server.pid, { call, with: 'EIO', nth });
        const answer = await write.run(client, uuid);
        const [failed] = await injected.end();
        if (failed === undefined) {
            return false;
        }
        const name = `${write.name}: ${call} ${nth}: ${failed.replaceAll(baseDir, '')}`;
        const left = leftovers(baseDir);
        if (answer.status < 300) {
            test.notSame(await look(client, baseDir, write.newUuid ?? uuid, left), before, name);
            test.ok(left.every(isNote), `only what is to be done later is left: ${left.join()}`);
            forget(baseDir, left);
            return true;
        }
        expectFailure(test, answer, 'EIO', name);
        const after = await look(client, baseDir, uuid);
        const isReplaced = write.replaces !== undefined && after?.[write.replaces] === undefined;
        if (!isReplaced) test.strictSame(after, before, `${name}: nothing has changed`);
        await expectRest(test, server);
        await expectRetry(test, server, client, write, uuid);
        return true;
    }

    await t.test('each call of each write fails once', async (t) => {
        for (const make of [...OPERATIONS.map((write) => () => write), changeOfUuid]) {
            // An icon takes the way of a file.
            const isIcon = / icon$/.test(make().name);
            for (const call of ['rename', ...(isIcon ? [] : OTHER_CALLS)] as const) {
                let nth = 1;
                while (nth < MANY && (await failOnce(t, make(), call, nth))) nth += 1;
                t.ok(nth < MANY, `${make().name}: ${nth - 1} times ${call}`);
            }
        }
    });

    await t.test('the disk fails for good in the middle of a write', async (t) => {
        const writes = ['import', 'update', 'second upload', 'removal'].map((name) => () => operation(name));
        for (const make of [...writes, changeOfUuid]) {
            for (const call of ['rename', 'sync', 'open'] as const) {
                for (let nth = 1, met = true; met && nth < MANY; nth += 2) {
                    const write = make();
                    const uuid = await write.prepare(client);
                    const before = await lookByClient(client, uuid);
                    const injected = await InjectedFault.into(server.pid, {
                        call,
                        with: 'ENOSPC',
                        nth: `${nth}+`,
                    });
                    const answer = await write.run(client, uuid);
                    const seen = answer.status === 503 ? await client.get(`/images/${uuid}`) : undefined;
                    met = (await injected.end()).length > 0;
                    const name = `${write.name}: ${call} from ${nth} on`;
                    if (seen !== undefined) {
                        expectFailure(t, answer, 'ENOSPC', name);
                        if (write.replaces === undefined) {
                            t.equal(seen.status === 404 ? undefined : seen.text, before?.document, name);
                            t.strictSame(
                                await lookByClient(client, uuid),
                                before,
                                `${name}: clients see no change`,
                            );
                        }
                        await expectRetry(t, server, client, write, uuid);
                    } else {
                        t.ok(answer.status < 300, `${name}: ${answer.status} ${answer.text}`);
                    }
                    const left = leftovers(baseDir);
                    await look(client, baseDir, write.newUuid ?? uuid, left);
                    t.ok(left.every(isNote), `only what is to be done later is left: ${left.join()}`);
                    forget(baseDir, left);
                }
            }
        }
        await expectRest(t, server);
    });

    await t.test('the bytes of what is written', async (t) => {
        const places: readonly (readonly [DiskOperation, RegExp, string])[] = [
            [operation('second upload'), /\/images\/.*\/file0\./, 'the file'],
            [operation('second icon'), /\/images\/.*\/icon\./, 'the icon'],
            [operation('second upload'), /\/run\/uploads\//, 'the upload intent'],
            [operation('removal'), /\/run\/deletes\//, 'the delete journal'],
            [operation('update'), /\/manifests\//, 'the manifest'],
            [operation('update'), /\/archive\//, 'the archived manifest'],
        ];
        for (const [write, pattern, what] of places) {
            for (const code of CODES) {
                const name = `${what}: ${code}`;
                const uuid = await write.prepare(client);
                const before = await look(client, baseDir, uuid);
                let pending: Promise<Answer> | undefined;
                const injected = await InjectedFault.intoNewFile(server.pid, pattern, code, () => {
                    pending = write.run(client, uuid);
                });
                const answer = await (pending ?? Promise.reject(new Error('not started')));
                t.ok((await injected.end()).length > 0, `${name} was injected`);
                expectFailure(t, answer, code, name);
                t.strictSame(await look(client, baseDir, uuid), before, `${name}: nothing has changed`);
                await expectRest(t, server);
                await expectRetry(t, server, client, write, uuid);
            }
        }
    });

    await t.test('full, over quota, read-only: at every step of an upload', async (t) => {
        const write = operation('first upload');
        for (const code of CODES) {
            for (const call of ['open', 'sync', 'rename'] as const) {
                const { uuid, answer, failed } = await meet(write, { call, with: code });
                t.ok(failed.length > 0);
                expectFailure(t, answer, code, `${call}: ${code}`);
                await expectRest(t, server);
                await expectRetry(t, server, client, write, uuid);
            }
            for (const step of [/\/file0\./, /\/manifests\//, /\/archive\//, /\/run\/uploads\//]) {
                const twin = await write.prepare(client);
                const calls = await InjectedFault.watch(server.pid, 'rename', () => write.run(client, twin));
                const nth = calls.findIndex((line) => step.test(line)) + 1;
                const { uuid, answer, failed } = await meet(write, { call: 'rename', with: code, nth });
                expectFailure(t, answer, code, `rename ${step}: ${code}`);
                t.match(failed, [step]);
                await expectRest(t, server);
                await expectRetry(t, server, client, write, uuid);
            }
        }
    });

    await t.test('in the middle of a long upload', async (t) => {
        for (const code of CODES) {
            for (const call of ['write', 'sync'] as const) {
                const uuid = await createImage(client);
                const { request, answer } = client.open('PUT', `/images/${uuid}/file?compression=none`);
                request.write(Buffer.alloc(1_000_000, 1));
                const directory = imageDirectory(baseDir, uuid);
                const path = await eventually('the temporary file', 5000, () => {
                    const [name] = leftovers(baseDir).filter((one) => one.includes(uuid));
                    return name === undefined ? false : join(baseDir, name);
                });
                const injected = await InjectedFault.into(server.pid, { call, with: code, path });
                request.end(Buffer.alloc(1_000_000, 2));
                expectFailure(t, await answer, code, `${call} ${code}`);
                t.ok((await injected.end()).length > 0, `${call} was injected`);
                t.throws(() => readdirSync(directory), { code: 'ENOENT' }, 'no directory without a file');
                await expectRest(t, server);
                await expectRetry(t, server, client, operation('first upload'), uuid);
            }
        }
    });
});

await t.test('small disks', { skip: noMounting() }, async (t) => {
    const baseDir = temporaryDirectory();
    const disks = new Map<string, SmallDisk>();
    const PLACES = ['images', 'manifests', 'archive', 'run/deletes', 'run/uploads'] as const;
    t.teardown(() => {
        for (const disk of disks.values()) disk.unmount();
        rmSync(baseDir, { recursive: true, force: true });
    });
    for (const place of PLACES) disks.set(place, new SmallDisk(join(baseDir, place), 512));
    const server = await start(baseDir);
    t.teardown(() => server.stop());
    const client = new HttpClient(server.port);

    /** Which writes need room in a place. */
    const NEEDS: Readonly<Record<(typeof PLACES)[number], readonly DiskOperation[]>> = {
        images: ['first upload', 'second upload', 'first icon'].map(operation),
        manifests: ['import', 'update', 'first upload', 'second upload', 'activation'].map(operation),
        archive: ['import', 'update', 'first upload', 'second upload', 'activation'].map(operation),
        'run/deletes': ['removal', 'removal of the icon'].map(operation),
        'run/uploads': ['first upload', 'second upload', 'second icon'].map(operation),
    };

    function fill(place: string): string {
        const path = join(baseDir, place, 'ballast');
        for (const size of [4096, 512, 64, 8, 1]) {
            for (;;) {
                try {
                    writeFileSync(path, Buffer.alloc(size), { flag: 'a' });
                } catch {
                    break;
                }
            }
        }
        return path;
    }

    for (const place of PLACES) {
        await t.test(`${place}: full, then read-only`, async (t) => {
            const disk = disks.get(place);
            for (const write of NEEDS[place]) {
                for (const trouble of ['full', 'read-only'] as const) {
                    const name = `${place} ${trouble}: ${write.name}`;
                    const uuid = await write.prepare(client);
                    const before = await look(client, baseDir, uuid);
                    const ballast = fill(place);
                    if (trouble === 'read-only') disk?.setReadOnly(true);
                    expectFailure(t, await write.run(client, uuid), 'ENOSPC', name);
                    t.equal((await client.get('/images?limit=1')).status, 200, 'reads go on');
                    if (trouble === 'read-only') disk?.setReadOnly(false);
                    rmSync(ballast);
                    t.strictSame(await look(client, baseDir, uuid), before, `${name}: nothing has changed`);
                    await expectRest(t, server);
                    await expectRetry(t, server, client, write, uuid);
                }
            }
        });
    }

    await t.test('a file that is too large for what is left', async (t) => {
        const uuid = await createImage(client);
        const put = (size: number) =>
            client.put(`/images/${uuid}/file?compression=none`, Buffer.alloc(size, 'x'));
        expectFailure(t, await put(2_000_000), 'ENOSPC', 'half of it fits');
        await expectRest(t, server);
        t.equal((await put(100_000)).status, 200);
        const icon = await client.put(`/images/${uuid}/icon`, PNG, {
            headers: { 'content-type': 'image/png' },
        });
        t.equal(icon.status, 200);
        expectFailure(t, await put(2_000_000), 'ENOSPC', 'another one');
        const view = await look(client, baseDir, uuid);
        t.equal(view?.file, sha1Hex(Buffer.alloc(100_000, 'x')), 'the first file is still there');
        await expectRest(t, server);
    });
});

await t.test('a start on a full disk', { skip: noMounting() }, async (t) => {
    const baseDir = temporaryDirectory();
    const disk = new SmallDisk(join(baseDir, 'run'), 64);
    t.teardown(() => {
        disk.unmount();
        rmSync(baseDir, { recursive: true, force: true });
    });
    const before = await start(baseDir);
    const uuid = await createImage(new HttpClient(before.port));
    await before.stop();
    const ballast = join(baseDir, 'run', 'ballast');
    t.throws(() => writeFileSync(ballast, Buffer.alloc(100_000)), { code: 'ENOSPC' });

    const server = await start(baseDir);
    t.teardown(() => server.stop());
    const client = new HttpClient(server.port);
    t.equal((await client.get(`/images/${uuid}`)).status, 200, 'reads are served');
    const refused = await client.delete(`/images/${uuid}`);
    t.match(refused, { status: 503, error: { message: 'this process is a reader' } });
    rmSync(ballast);
    await eventually(
        'the lock is taken',
        30_000,
        async () => (await client.get('/ping?role=writer')).status === 200,
    );
    t.equal((await client.delete(`/images/${uuid}`)).status, 204, 'with room again it writes');
});
