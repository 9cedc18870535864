#!/usr/bin/env node
// Launcher: the server itself is compiled from src/ to lib/.

// Four busy uploads fill Node's four file threads and everything else would wait behind them; the
// number is read when the first thread starts, so it is set before anything is loaded.
process.env.UV_THREADPOOL_SIZE ??= '16';

await import('./lib/main.js');
