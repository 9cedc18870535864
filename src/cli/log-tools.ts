import { runScript, type ScriptDefinition } from './scripts/script.js';

/** What the programs in `tools/standalone` run; most of it needs half of the server. */
const LOADERS: Readonly<Record<string, () => Promise<ScriptDefinition>>> = {
    tritonlogupload: async () => (await import('./scripts/tritonlogupload.js')).LOG_UPLOAD,
    tritonpostlogrotate: async () => (await import('./scripts/tritonpostlogrotate.js')).POST_LOG_ROTATE,
};

const [, , name = '', ...argv] = process.argv;
const load = LOADERS[name];
if (load === undefined) {
    process.stderr.write(`log-tools: no such program: "${name}"\n`);
    process.exitCode = 1;
} else {
    process.exitCode = await runScript(await load(), argv);
}
