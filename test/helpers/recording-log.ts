import bunyan from 'bunyan';

/** What a test looks at in a log record. */
export interface LogRecord {
    readonly level: number;
    readonly msg: string;
    readonly [field: string]: unknown;
}

/** A logger whose records, of every level, are kept for looking at. */
export function recordingLog(): { readonly log: bunyan; readonly records: LogRecord[] } {
    const records: LogRecord[] = [];
    const stream = {
        type: 'raw',
        level: 'trace' as const,
        // A raw stream is handed records; the declared type knows only text streams.
        stream: { write: (record: LogRecord) => records.push(record) } as unknown as NodeJS.WritableStream,
    };
    return { log: bunyan.createLogger({ name: 'test', streams: [stream] }), records };
}
