#!/usr/bin/env node
// Launcher: the server itself is compiled from src/ to lib/.

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
    process.stderr.write(`IMGAPI needs Node.js 20.19 or newer, this is ${process.versions.node}\n`);
    process.exit(2);
}

// Four busy uploads fill Node's four file threads and everything else would wait behind them; the
// number is read when the first thread starts, so it is set before anything is loaded.
process.env.UV_THREADPOOL_SIZE ??= '16';

await import('./lib/main.js');
