import { systemClock } from '../../../base/clock.js';
import { VALID_MODES } from '../../../base/constants.js';
import { isUsableState } from '../../../manifest/state.js';
import type { RawImage } from '../../../manifest/types.js';
import type { ImageDocument, RemoteState } from '../../../remotes/imgapi/answers.js';
import type { ImageServerClient } from '../../../remotes/imgapi/image-server-client.js';
import { countText } from '../../../base/quantities.js';
import type { ReadRecord } from '../records/stored-records.js';
import { withRetries, type RetryOptions } from '../retries.js';
import { connectToServer, type ServerAccess } from '../server-access.js';
import { explainServerFile, serverFiles } from '../server-files.js';
import { everything, listedImages } from '../server-images.js';
import { skippedRecords, toldState } from '../server-state.js';
import type { Terminal } from '../terminal.js';
import type { FilePlaces } from './asking-checks.js';
import type { Check, Finding, Place, Subject } from './check.js';
import { coverageOf, type Coverage } from './coverage.js';
import { UNCHECKED } from './entry-checks.js';
import { RECORD_CHECKS } from './record-checks.js';
import type { Examined, FsckOrder } from './run.js';
import { PARALLEL, Survey } from './survey.js';

/** Requests at the same time beside those for files: one that lists. */
const OTHER_CALLS = 1;

/** A running server, whose records are looked at as far as its API shows them. */
export interface ExaminedServer extends Examined {
    readonly coverage: Coverage;
}

/** The record that a document was made of, as far as it tells: `activated` is only seen through the state. */
function recordOf(document: ImageDocument): ReadRecord {
    const { uuid, state } = document;
    const current = { ...document, activated: isUsableState(state) };
    return { kind: 'record', uuid, data: current, current };
}

/** Servers show nothing but what they can use. */
function judgeShown(record: ReadRecord, place: Place): Subject {
    return { record, raw: record.current as unknown as RawImage, entries: [], place };
}

async function* recordsOf(client: ImageServerClient, retries: RetryOptions): AsyncIterable<ReadRecord> {
    for await (const document of listedImages(client, everything(), retries)) {
        yield recordOf(document);
    }
}

function placeOf(state: RemoteState | undefined): Place {
    const mode = VALID_MODES.find((known) => known === state?.mode);
    const channels = state === undefined || state.channels.length === 0 ? undefined : state.channels;
    return {
        rules: { mode: mode ?? 'private', channels: channels !== undefined },
        channels: channels?.map((name) => ({ name })),
        now: systemClock.now(),
        storages: state?.storageTypes,
        ownerless: mode === 'public',
        fileTime: () => Promise.resolve(undefined),
        tool: mode === 'dc' ? 'sdc-imgadm' : 'imgapi-cli',
    };
}

/** Asks the server for files, in storages that it has. */
function filesOf(client: ImageServerClient, { storages }: Place, retries: RetryOptions): FilePlaces {
    const files = serverFiles(client, retries.signal);
    const place: ReturnType<FilePlaces['get']> = {
        stat: async (uuid, name) => {
            try {
                return await withRetries(() => files.stat(uuid, name), retries);
            } catch (error) {
                throw explainServerFile(error);
            }
        },
    };
    return { get: (stor) => (storages?.includes(stor) === false ? undefined : place) };
}

/** What the server itself says that it does not show. */
function hiddenRecords(state: RemoteState | undefined): readonly Finding[] {
    const skipped = skippedRecords(state) ?? 0;
    if (skipped === 0) {
        return [];
    }
    const message = `the server leaves out ${countText(skipped, 'record')}: fsck without --url tells which`;
    return [{ check: UNCHECKED.name, severity: UNCHECKED.severity, message, advice: [], fixable: false }];
}

/**
 * Gets ready to look at the records of a running server through its API.
 *
 * @param checks all there are
 * @throws Error when it does not answer, or not this caller
 */
export async function openServerForFsck(
    access: ServerAccess,
    { uuids, simple, channel }: Pick<FsckOrder, 'uuids' | 'simple' | 'channel'>,
    checks: readonly Check[],
    { terminal, retries }: { readonly terminal: Terminal; readonly retries: RetryOptions },
): Promise<ExaminedServer> {
    const { signal } = retries;
    const server = await connectToServer(access, PARALLEL + OTHER_CALLS);
    try {
        const { client } = server;
        const state = await toldState(client, terminal, signal);
        const place = placeOf(state);
        const survey = new Survey({
            records: {
                entries: () => recordsOf(client, retries),
                structureProblems: () => Promise.resolve([]),
            },
            place,
            uuids,
            ...(channel === undefined ? {} : { channel }),
            assignsChannel: false,
            ...(simple ? { storages: filesOf(client, place, retries) } : {}),
            isArchived: () => Promise.resolve(false),
            signal,
            judge: judgeShown,
            checks: RECORD_CHECKS.filter(({ shown }) => shown !== 'nothing'),
        });
        return {
            survey,
            size: state?.images,
            found: hiddenRecords(state),
            coverage: coverageOf(checks, state, simple),
            close: () => server.close(),
        };
    } catch (error) {
        await server.close();
        throw error;
    }
}
