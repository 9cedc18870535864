import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseServerOptions } from './server-options.js';

const { values } = parseArgs({
    options: {
        data: { type: 'string', default: 'data' },
        port: { type: 'string', default: '8080' },
        verbose: { type: 'boolean', default: false },
    },
});

// The server would say so too, but only when the configuration file had the wrong port for good.
const asked = parseServerOptions(['--port', values.port]);
if (asked.kind === 'usage-error') {
    process.stderr.write(`${asked.message}\n`);
    process.exit(1);
}

const base = resolve(values.data);
const etc = join(base, 'etc');
const configPath = join(etc, 'imgapi.config.json');

mkdirSync(etc, { recursive: true, mode: 0o750 });
try {
    const config = {
        port: Number(values.port),
        address: '127.0.0.1',
        mode: 'public',
        authType: 'none',
        logLevel: 'info',
        dataDir: base,
    };
    writeFileSync(configPath, `${JSON.stringify(config, null, 4)}\n`, { flag: 'wx', mode: 0o640 });
    process.stderr.write(`wrote ${configPath}\n`);
} catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw error;
    }
}

const launcher = fileURLToPath(new URL('../../main.js', import.meta.url));
process.stderr.write(`data in ${base}; try: curl http://127.0.0.1:${values.port}/ping\n`);
const server = spawn(process.execPath, [launcher, '-f', configPath, '--port', values.port], {
    stdio: 'inherit',
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => server.kill(signal));
}
server.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === null ? 1 : 128);
});
