import type { SourceAddress } from '../../../remotes/image-source.js';
import { sourceText } from '../../../remotes/source-address.js';
import type { Invocation } from '../command.js';
import { failureText } from '../failure-text.js';
import { jobEnd } from '../job-end.js';
import { withRetries } from '../retries.js';
import { connectToServer, serverAccess } from '../server-access.js';
import type { FindingOutcome } from './finding-report.js';

/** Has the running server import an image that there is nothing of here (operations 2.2). */
export async function importMissing(
    { parsed, environment, terminal }: Invocation,
    uuid: string,
    source: SourceAddress,
    signal: AbortSignal,
): Promise<FindingOutcome> {
    try {
        const server = await connectToServer(serverAccess(parsed, environment), 1);
        const again = <T>(task: () => Promise<T>): Promise<T> =>
            withRetries(task, { signal, onRetry: (error) => terminal.trace(failureText(error)) });
        try {
            const { client } = server;
            const job = await again(() =>
                client.importFrom(sourceText(source), uuid, { skipOwnerCheck: true }, signal),
            );
            await jobEnd(job, { look: () => again(() => client.job(job, signal)), signal });
            return { result: 'repaired' };
        } finally {
            await server.close();
        }
    } catch (error) {
        signal.throwIfAborted();
        return { result: 'failed', reason: failureText(error) };
    }
}
