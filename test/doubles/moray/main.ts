import { parseArgs } from 'node:util';
import { MemoryStore } from './memory-store.js';
import { MorayDouble } from './moray-double.js';
import { PostgresStore } from './postgres-store.js';

/*
 * A Moray double as a process of its own:
 *
 *     main [--port PORT] [--postgres URL]
 *
 * Says `{"port":PORT}` when it takes connections, `{"rpcCounts":{...}}` for each SIGUSR2, and ends on
 * SIGTERM. Without a URL the buckets end with it.
 */
const { values } = parseArgs({ options: { port: { type: 'string' }, postgres: { type: 'string' } } });

const double = await MorayDouble.start({
    port: Number(values.port ?? 0),
    store: values.postgres === undefined ? new MemoryStore() : new PostgresStore(values.postgres),
});

function say(facts: object): void {
    process.stdout.write(`${JSON.stringify(facts)}\n`);
}

process.on('SIGUSR2', () => say({ rpcCounts: double.rpcCounts }));
process.once('SIGTERM', () => void double.stop());
say({ port: double.port });
