import type Logger from 'bunyan';
import { ImageServer } from './app.js';
import type { StartOptions } from './app/parts.js';
import { VERSION } from './base/constants.js';
import { createLogger } from './base/log.js';
import { runConfigCheck } from './cli/check-config.js';
import { parseServerOptions, serverHelp, type ServerOptions } from './cli/server-options.js';

type RunOptions = Extract<ServerOptions, { kind: 'run' }>;

/** Exit codes of operations 1.2. */
const EXIT = { ok: 0, usage: 1, interrupted: 1, failed: 2 } as const;

/** Exit codes of a server that was told to stop. */
const STOPPED = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.ok } as const;

/** A signal to stop. */
type StopSignal = keyof typeof STOPPED;

/** Exit codes of a second signal, which does not wait (operations 1.4). */
const IMPATIENT = { SIGINT: 130, SIGTERM: 143 } as const;

function overridesOf({ port, address, metricsPort }: RunOptions): StartOptions['overrides'] {
    return {
        ...(port === undefined ? {} : { port }),
        ...(address === undefined ? {} : { address }),
        ...(metricsPort === undefined ? {} : { metricsPort }),
    };
}

function startOptions(options: RunOptions, log: Logger): StartOptions {
    const { configPath, debug } = options;
    return { configPath, debug, log, overrides: overridesOf(options) };
}

function handleSignals(server: ImageServer, log: Logger): void {
    let stopping = false;
    const stop = (signal: StopSignal): void => {
        if (stopping) {
            log.warn({ signal }, 'told twice to stop: not waiting for running requests');
            process.exit(IMPATIENT[signal]);
        }
        stopping = true;
        log.info({ signal }, 'shutting down');
        server.stop().then(
            () => process.exit(STOPPED[signal]),
            (error: unknown) => {
                log.fatal({ err: error }, 'error shutting down');
                process.exit(EXIT.failed);
            },
        );
    };
    process.on('SIGTERM', stop).on('SIGINT', stop);
    process.on('SIGHUP', () => void server.reload());
    process.on('SIGUSR2', () => void server.logState());
}

/** Signals that can wait until the server runs. */
const PATIENT = ['SIGHUP', 'SIGUSR2'] as const;

/**
 * Starts a server. What is asked of it meanwhile is kept for when it runs, but for the end: a start may wait for
 * others, and nobody is served yet.
 */
async function start(options: StartOptions): Promise<ImageServer> {
    const kept = new Set<NodeJS.Signals>();
    const keep = (signal: NodeJS.Signals): void => void kept.add(signal);
    const leave = (signal: StopSignal): void => {
        options.log.info({ signal }, 'told to stop before the start was complete');
        process.exit(STOPPED[signal]);
    };
    for (const signal of PATIENT) process.on(signal, keep);
    process.on('SIGTERM', leave).on('SIGINT', leave);
    const server = await ImageServer.start(options);
    handleSignals(server, options.log);
    for (const signal of PATIENT) process.off(signal, keep);
    process.off('SIGTERM', leave).off('SIGINT', leave);
    if (kept.has('SIGHUP')) {
        await server.reload();
    }
    if (kept.has('SIGUSR2')) {
        await server.logState();
    }
    return server;
}

async function run(options: RunOptions): Promise<void> {
    // A log that nobody reads any more or that finds no room must not end the server.
    process.stdout.on('error', () => undefined);
    const log = createLogger({
        ...(options.debug === 0 ? {} : { level: options.debug === 1 ? 'debug' : 'trace' }),
        src: options.debug >= 3,
    });
    // Only told: the process ends as Node ends it.
    process.on('uncaughtExceptionMonitor', (error) => log.fatal({ err: error }, 'uncaught exception'));
    try {
        if (options.migrate) {
            await ImageServer.migrate(startOptions(options, log));
            return;
        }
        const server = await start(startOptions(options, log));
        process.exit(await server.ended);
    } catch (error) {
        log.fatal({ err: error }, 'error starting up');
        process.exit(EXIT.failed);
    }
}

async function main(argv: readonly string[]): Promise<void> {
    const options = parseServerOptions(argv);
    switch (options.kind) {
        case 'help':
            process.stdout.write(serverHelp());
            return;
        case 'version':
            process.stdout.write(`IMGAPI ${VERSION}\n`);
            return;
        case 'usage-error':
            process.stderr.write(`${options.message}\n`);
            process.stdout.write(serverHelp());
            process.exitCode = EXIT.usage;
            return;
        case 'run':
            if (options.check) {
                process.exitCode = await runConfigCheck(options.configPath, overridesOf(options));
                return;
            }
            await run(options);
    }
}

await main(process.argv.slice(2));
