/** As a shell sees a process that SIGPIPE ended, which Node.js ignores. */
const BROKEN_PIPE_STATUS = 141;

/** Ends the process quietly when nobody reads its output any more, as with `| head`. */
export function endWithReader(): void {
    for (const stream of [process.stdout, process.stderr]) {
        stream.on('error', (error: NodeJS.ErrnoException) => {
            if (error.code !== 'EPIPE') {
                throw error;
            }
            process.exit(BROKEN_PIPE_STATUS);
        });
    }
}
