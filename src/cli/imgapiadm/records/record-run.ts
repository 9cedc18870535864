import type Logger from 'bunyan';
import type { ManifestRules, RawImage } from '../../../manifest/types.js';
import { validateRaw } from '../../../manifest/validate.js';
import { ApiError, type ErrorEntry } from '../../../base/errors.js';
import { EXIT, type Invocation } from '../command.js';
import { configPath } from '../config-path.js';
import { Interrupt } from '../interrupt.js';
import { openServerData, type DataOrder, type ServerData } from '../offline/server-data.js';
import { terminalLog } from '../offline/terminal-log.js';
import { showCount } from '../progress.js';
import { openRecords } from './open-records.js';
import { RecordReport, type ResultWords } from './record-report.js';
import type { Data, StoredRecords } from './stored-records.js';

/** What any work on records is done with. */
export interface ReportParts<R extends string> {
    readonly report: RecordReport<R>;
    readonly dryRun: boolean;
    /** Aborted by Ctrl-C: nothing more is begun. */
    readonly signal: AbortSignal;
    /** Shows how far the work is, unless nobody wants to know. @param all how many records there are */
    readonly progress: (all: number | undefined) => void;
}

/** What work on the records of opened data is done with. */
export interface RecordParts<R extends string> extends ReportParts<R> {
    readonly data: ServerData;
    readonly records: StoredRecords;
    /** What records must be like. */
    readonly rules: ManifestRules;
    readonly log: Logger;
}

/** Work on many records of opened data. */
export interface RecordWork<R extends string> {
    readonly access: DataOrder['access'];
    readonly results: Readonly<Record<R, ResultWords>>;
    /** Does it and reports. @throws Error: exit status 252 */
    readonly run: (parts: RecordParts<R>) => Promise<void>;
}

/**
 * Works on records, wherever they are, and sums up (operations 2.2). Ctrl-C ends the work after what is under
 * way.
 *
 * @returns the exit status
 */
export async function reportOnRecords<R extends string>(
    { parsed: { counts }, terminal }: Invocation,
    results: RecordWork<R>['results'],
    run: (parts: ReportParts<R>) => Promise<void>,
): Promise<number> {
    const interrupt = new Interrupt();
    const stopListening = interrupt.listen({
        onFirst: () => terminal.note('stopping after what is under way; once more: at once'),
        onSecond: () => undefined,
    });
    const { signal } = interrupt;
    const dryRun = counts.has('dry-run');
    const report = new RecordReport<R>({ terminal, json: counts.has('json'), dryRun, results });
    const stops: (() => void)[] = [];
    const progress = (all: number | undefined): void => {
        const facts = { count: () => report.records, all: () => all };
        stops.push(showCount(terminal, counts.has('quiet'), facts));
    };
    try {
        await run({ report, dryRun, signal, progress });
    } catch (error) {
        if (!signal.aborted) {
            throw error;
        }
    } finally {
        stops.forEach((stop) => stop());
        stopListening();
    }
    report.summarize({ interrupted: signal.aborted });
    return interrupt.status ?? (report.isBad ? EXIT.findings : EXIT.clean);
}

/** {@link reportOnRecords}, on the data that the configuration names. */
export function runOnRecords<R extends string>(
    invocation: Invocation,
    { access, results, run }: RecordWork<R>,
): Promise<number> {
    const { parsed, environment, terminal } = invocation;
    const log = terminalLog(terminal);
    return reportOnRecords(invocation, results, async (parts) => {
        const data = await openServerData({
            configPath: configPath(parsed, environment),
            access: parts.dryRun ? 'reading' : access,
            log,
        });
        const { config, directories, images } = data;
        try {
            const records = await openRecords({ config, directories, database: images.database, log });
            const rules = { mode: config.mode, channels: config.channels !== undefined };
            try {
                await run({ ...parts, data, records, rules, log });
            } finally {
                await records.close();
            }
        } finally {
            await data.close();
        }
    });
}

/** What the rules find wrong with a field, in one line. */
export function entryText({ field, code, message }: ErrorEntry): string {
    return `${field}: ${code}${message === undefined ? '' : `: ${message}`}`;
}

/** A record as the server reads it, or why it cannot be used. */
export function readByRules(
    current: Data,
    uuid: string,
    rules: ManifestRules,
): { readonly raw: RawImage } | { readonly problem: string } {
    try {
        const raw = validateRaw({ ...current }, rules, 'lenient');
        return raw.uuid === uuid ? { raw } : { problem: `it says that its uuid is ${raw.uuid}` };
    } catch (error) {
        if (error instanceof ApiError) {
            return { problem: (error.errors ?? []).map(entryText).join('; ') || error.message };
        }
        throw error;
    }
}
