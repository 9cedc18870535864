import { skippedRecords } from '../../../app/served-database.js';
import { systemClock } from '../../../base/clock.js';
import { shortReason } from '../../../base/short-reason.js';
import type { FileArea } from '../../../maintenance/files/file-area.js';
import type { SurveyRecords } from '../../../maintenance/files/image-facts.js';
import { LocalFileArea } from '../../../maintenance/files/local-file-area.js';
import { MantaFileArea } from '../../../maintenance/files/manta-file-area.js';
import { ServiceUser } from '../../../maintenance/files/service-user.js';
import { surveyRecords } from '../../../maintenance/files/survey-records.js';
import { FileUploadJournal } from '../../../storage/file-upload-journal.js';
import type { Invocation } from '../command.js';
import { configPath } from '../config-path.js';
import { openServerData, type DataOrder, type ServerData } from '../offline/server-data.js';
import { terminalLog } from '../offline/terminal-log.js';
import { foreignAreaText } from './foreign-area.js';

/** How long a server is waited for that is at work on a file, milliseconds: there are others to go on with. */
const CLAIM_WAIT_MS = 2000;

/** The files of a server, opened beside it. */
export interface OpenFiles {
    readonly data: ServerData;
    /** Storages that can be listed. */
    readonly areas: readonly FileArea[];
    /** Storages that cannot be listed now, and why. */
    readonly away: ReadonlyMap<string, string>;
    readonly records: SurveyRecords;
    /** Of this process as a tool: what a server claims is left alone. */
    readonly uploads: FileUploadJournal;
    /** Records that are there but cannot be used, so that nobody can tell which files are theirs. */
    unreadable(): readonly { readonly file: string; readonly reason: string }[];
    /**
     * To be asked right before files are changed: what was this server's area at first sight need not be it
     * any more.
     *
     * @throws Error when another host is at work in the Manta area
     */
    requireOwnAreas(): Promise<void>;
    close(): Promise<void>;
}

/** Opens what the configuration names. @throws as {@link openServerData} */
export async function openFiles(
    { parsed, environment, terminal }: Invocation,
    access: DataOrder['access'],
): Promise<OpenFiles> {
    const log = terminalLog(terminal);
    const data = await openServerData({ configPath: configPath(parsed, environment), access, log });
    try {
        return await filesOf(data, terminal);
    } catch (error) {
        await data.close();
        throw error;
    }
}

/** The files of a server whose data is open. */
export async function filesOf(data: ServerData, terminal: Invocation['terminal']): Promise<OpenFiles> {
    const { directories, objects, config, database } = data;
    const log = terminalLog(terminal);
    const areas: FileArea[] = [new LocalFileArea(directories, await ServiceUser.of(directories.base))];
    const away = new Map<string, string>();
    if (objects !== undefined) {
        try {
            await objects.check();
            const foreign = await foreignAreaText(data, log);
            if (foreign === undefined) {
                areas.push(new MantaFileArea(objects, config.manta?.rootDir ?? ''));
            } else {
                away.set('manta', foreign);
            }
        } catch (error) {
            away.set('manta', shortReason(error));
        }
    }
    for (const [stor, reason] of away) {
        terminal.note(`storage ${stor} cannot be used now: what is there is left alone (${reason})`);
    }
    return {
        data,
        areas,
        away,
        records: surveyRecords(database),
        uploads: new FileUploadJournal({
            directories,
            log,
            clock: systemClock,
            writers: 'all',
            claimant: 'tool',
            waitMs: CLAIM_WAIT_MS,
        }),
        unreadable: () => (database.held === undefined ? [] : skippedRecords(database.held)),
        requireOwnAreas: async () => {
            const foreign = away.has('manta') ? undefined : await foreignAreaText(data, log);
            if (foreign !== undefined) {
                throw new Error(`${foreign}; nothing is touched`);
            }
        },
        close: () => data.close(),
    };
}

/** Says which records cannot be used: of their images nothing is judged. */
export function unreadableText(unreadable: ReturnType<OpenFiles['unreadable']>): string | undefined {
    const [first, ...others] = unreadable;
    if (first === undefined) {
        return undefined;
    }
    const more = others.length === 0 ? '' : `, and ${others.length} more`;
    return `not all records can be read: manifests/${first.file} (${first.reason})${more}; see "imgapiadm fsck"`;
}
