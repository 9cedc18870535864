import { rmSync } from 'node:fs';
import type { Test } from 'tap';
import { HttpClient } from './http-client.js';
import { writeFixtures, type Fixture } from './images.js';
import { LIMIT_MS, ServerProcess, temporaryDirectory } from './server-process.js';
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

/** Stops a server; throws, which fails the test, unless it still ran, drained and ended cleanly. */
export async function expectCleanEnd(server: ServerProcess): Promise<void> {
    const ran = server.alive;
    const exit = await server.stop();
    const fatal = server.log.filter((record) => record.level >= LEVEL_FATAL);
    if (!ran || exit.code !== 0 || fatal.length > 0) {
        const facts = JSON.stringify({ ran, ...exit, fatal });
        throw new Error(`the server did not end cleanly: ${facts}\n${server.tail()}`);
    }
}

/**
 * Starts a server that knows the user `operator`, with these images stored. At the end of the test
 * file it must still run, drain on SIGTERM with exit code 0, and have logged nothing fatal.
 */
export async function startServer(
    t: Test,
    config: Readonly<Record<string, unknown>> = {},
    fixtures: readonly Fixture[] = [],
): Promise<StartedServer> {
    t.setTimeout(LIMIT_MS);
    const baseDir = temporaryDirectory();
    const key = createKey('operator');
    writeFixtures(baseDir, fixtures);
    const server = await ServerProcess.start({
        baseDir,
        config: { authKeys: { operator: [key.publicLine] }, ...config },
    });
    t.teardown(async () => {
        await expectCleanEnd(server).finally(() => rmSync(baseDir, { recursive: true, force: true }));
    });
    return {
        server,
        key,
        client: new HttpClient(server.port, key),
        guest: new HttpClient(server.port),
    };
}
