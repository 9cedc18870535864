import { rmSync } from 'node:fs';
import type { Test } from 'tap';
import { HttpClient } from './http-client.js';
import { writeFixtures, type Fixture } from './images.js';
import { ServerProcess, temporaryDirectory } from './server-process.js';
import { createKey, type SigningKey } from './signing.js';

/** A running server with a caller for each kind of caller. */
export interface StartedServer {
    readonly server: ServerProcess;
    /** Signs every request as the user `operator`. */
    readonly client: HttpClient;
    /** Never signs. */
    readonly guest: HttpClient;
    readonly key: SigningKey;
}

const LEVEL_FATAL = 60;

/**
 * Starts a server that knows the user `operator`, with these images stored. At the end of the test
 * file it must still run, drain on SIGTERM with exit code 0, and have logged nothing fatal.
 */
export async function startServer(
    t: Test,
    config: Readonly<Record<string, unknown>> = {},
    fixtures: readonly Fixture[] = [],
): Promise<StartedServer> {
    const baseDir = temporaryDirectory();
    const key = createKey('operator');
    writeFixtures(baseDir, fixtures);
    const server = await ServerProcess.start({
        baseDir,
        config: { authKeys: { operator: [key.publicLine] }, ...config },
    });
    t.teardown(async () => {
        t.ok(server.alive, 'the server still runs at the end');
        const exit = await server.stop();
        t.strictSame([exit.code, exit.signal], [0, null], 'the server drains and exits 0');
        const fatal = server.log.filter((record) => record.level >= LEVEL_FATAL);
        t.strictSame(fatal, [], 'nothing fatal in the log');
        rmSync(baseDir, { recursive: true, force: true });
    });
    return {
        server,
        key,
        client: new HttpClient(server.port, key),
        guest: new HttpClient(server.port),
    };
}
