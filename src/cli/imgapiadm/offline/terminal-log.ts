import bunyan from 'bunyan';
import type Logger from 'bunyan';
import type { Terminal } from '../terminal.js';

interface LogRecord {
    readonly level: number;
    readonly msg: string;
    readonly err?: { readonly message?: string };
}

/** A log for parts of the server that work without it: warnings are the operator's business, the rest is for `--verbose`. */
export function terminalLog(terminal: Terminal): Logger {
    const write = ({ level, msg, err }: LogRecord): void => {
        const text = err?.message === undefined ? msg : `${msg}: ${err.message}`;
        if (level >= bunyan.WARN) {
            terminal.note(text);
        } else {
            terminal.trace(text);
        }
    };
    return bunyan.createLogger({
        name: 'imgapiadm',
        serializers: bunyan.stdSerializers,
        streams: [{ type: 'raw', level: 'debug', stream: { write } as unknown as NodeJS.WritableStream }],
    });
}
