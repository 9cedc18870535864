import { setTimeout as delay } from 'node:timers/promises';
import { CutOff } from '../call-rules.js';
import type { BlobWriter } from './blob-writer.js';
import type { Call } from './call.js';
import { MantaError } from './manta-error.js';

/** Waits as long as bytes take at a rate. */
export function throttle(chunk: Buffer, bytesPerSecond: number | undefined): Promise<void> | undefined {
    if (bytesPerSecond === undefined) return undefined;
    return delay((chunk.length / bytesPerSecond) * 1000);
}

/** Reads the body of a put into a file. @throws if it is longer than `max`, or breaks off */
export function receive(call: Call, writer: BlobWriter, max: number): Promise<void> {
    const { request, response, logged, fault } = call;
    if (call.awaitsContinue && fault.noContinue !== true) {
        call.awaitsContinue = false;
        response.writeContinue();
    }
    return new Promise<void>((resolve, reject) => {
        if (request.destroyed) {
            // Gone while the call was held: nothing more is told of it.
            reject(new CutOff());
            return;
        }
        let pending: Promise<unknown> = Promise.resolve();
        // The end may come while the last bytes are waited for.
        const end = (): void => void pending.then(() => resolve(), reject);
        const fail = (error: unknown): void => {
            request.removeAllListeners('data').removeListener('end', end);
            const broken = error instanceof Error ? error : new Error(String(error));
            // The file is in use until then.
            pending.then(() => reject(broken), reject);
        };
        request.on('data', (chunk: Buffer) => {
            logged.bytesIn += chunk.length;
            if (logged.bytesIn > max) {
                fail(new MantaError(413, 'MaxContentLengthExceeded', `request has exceeded ${max} bytes`));
                return;
            }
            if (fault.cutAfter !== undefined && logged.bytesIn >= fault.cutAfter) {
                fail(new CutOff());
                return;
            }
            const waits = [writer.write(chunk), throttle(chunk, fault.bytesPerSecond)].filter(
                (wait) => wait !== undefined,
            );
            if (waits.length === 0) return;
            request.pause();
            pending = Promise.all(waits);
            pending.then(() => request.resume(), fail);
        });
        request.once('end', end);
        request.once('error', fail);
        request.once('close', () => {
            if (!request.complete) fail(new CutOff());
        });
    });
}
