import { NoSuchObject } from '../../../base/json-members.js';
import { isUuid } from '../../../base/uuid.js';
import { MAX_RECORD_SIZE } from '../../../database/local/record-reader.js';
import { isObject } from '../../../manifest/coerce.js';
import type { ImageServerClient } from '../../../remotes/imgapi/image-server-client.js';
import { connectToServer, type ServerAccess } from '../server-access.js';
import { skippedRecords, toldState } from '../server-state.js';
import type { Terminal } from '../terminal.js';
import type { StoredEntry } from './stored-records.js';

function showsNone(options?: ErrorOptions): Error {
    return new Error(
        'this server does not show its records: the API has those of a local database only; use export-manifests without --url, with the configuration of the server, for those in Moray',
        options,
    );
}

function entryOf(uuid: string, member: unknown): StoredEntry {
    const data = isObject(member) ? member['value'] : undefined;
    return isUuid(uuid) && isObject(data) && data['uuid'] === uuid
        ? { kind: 'record', uuid, data, text: JSON.stringify(data, null, 2), current: data }
        : { kind: 'unparsable', file: uuid, reason: 'the server shows something else than a record' };
}

/** The records that a running server shows, and what it says of them as a whole. */
export interface ShownRecords {
    /** How many there are; `undefined`: it does not say. */
    readonly size: number | undefined;
    /** How many others there are that it cannot use and so does not show, as far as it says. */
    readonly hidden: number;
    /** Each as it comes. @throws Error when it shows none */
    entries(): AsyncGenerator<StoredEntry, void, undefined>;
    close(): Promise<void>;
}

/**
 * The records that a running server shows in its state, as it holds them: those of a local database (operations
 * 1.7).
 *
 * @throws Error when it does not answer, or not this caller
 */
export async function openShownRecords(
    access: ServerAccess,
    terminal: Terminal,
    signal: AbortSignal,
): Promise<ShownRecords> {
    const server = await connectToServer(access, 1);
    try {
        const state = await toldState(server.client, terminal, signal);
        if (state !== undefined && state.images === undefined) {
            throw showsNone();
        }
        return {
            size: state?.images,
            hidden: skippedRecords(state) ?? 0,
            entries: () => entriesOf(server.client, signal),
            close: () => server.close(),
        };
    } catch (error) {
        await server.close();
        throw error;
    }
}

async function* entriesOf(
    client: ImageServerClient,
    signal: AbortSignal,
): AsyncGenerator<StoredEntry, void, undefined> {
    try {
        for await (const [uuid, member] of client.records(MAX_RECORD_SIZE, signal)) {
            yield entryOf(uuid, member);
        }
    } catch (error) {
        if (error instanceof NoSuchObject) {
            throw showsNone({ cause: error });
        }
        throw error;
    }
}
