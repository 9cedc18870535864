/** Entry of a thread that hashes what lies in shared memory. */
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import type { FromWorker, ThreadStart, ToWorker } from './digest-protocol.js';
import { Hashes } from './digests.js';

interface Task {
    readonly bytes: Uint8Array;
    readonly hashes: Hashes;
}

/** Memory is sent once and kept, so that its number is bounded by the uploads at one time. */
const rings = new Map<number, Uint8Array>();
const tasks = new Map<number, Task>();

function answer(message: FromWorker): void {
    parentPort?.postMessage(message);
}

function handle(message: ToWorker): void {
    switch (message.kind) {
        case 'memory':
            rings.set(message.ring, new Uint8Array(message.memory));
            break;
        case 'start': {
            const bytes = rings.get(message.ring);
            if (bytes === undefined) {
                throw new Error('shared memory is not known');
            }
            tasks.set(message.task, { bytes, hashes: new Hashes(message.names) });
            break;
        }
        case 'update': {
            const task = tasks.get(message.task);
            task?.hashes.update(task.bytes.subarray(message.offset, message.offset + message.length));
            answer({ task: message.task });
            break;
        }
        case 'end': {
            const digests = tasks.get(message.task)?.hashes.end() ?? {};
            tasks.delete(message.task);
            answer({ task: message.task, digests });
            break;
        }
        case 'cancel':
            tasks.delete(message.task);
            break;
    }
}

/** Below the thread that answers requests, so that small ones stay quick while files come in. */
const NICENESS = 5;

// Only on Linux does this concern the calling thread alone.
if (process.platform === 'linux' && (workerData as ThreadStart).yields) {
    setPriority(NICENESS);
}

parentPort?.on('message', handle);
