import type { OpenedSourceFile, ResumePoint } from './image-source.js';

/**
 * One server of LXD images, which tells in JSON documents what it has (jobs-and-imports 6).
 *
 * Paths are those of its documents: below the server's URL, unless they begin with `/` or a scheme. All
 * methods throw `OutgoingError`, of kind `malformed` when a path leads to no web server; nothing is tried
 * again but connections.
 */
export interface StreamsServer {
    /**
     * A document as it was parsed; nothing is known of its form.
     *
     * @throws OutgoingError `malformed` when it is no JSON, `too-large` when it is over the limit
     */
    document(path: string, signal: AbortSignal): Promise<unknown>;
    /**
     * A file, whole or from a point on; a server that cannot go on there gives all of it. Whoever reads
     * it sees to stalls.
     */
    openFile(path: string, resume: ResumePoint | undefined, signal: AbortSignal): Promise<OpenedSourceFile>;
}

/** Servers of LXD images, by their URLs in the configuration. */
export interface StreamsServers {
    at(url: string): StreamsServer;
}
