import type { AccountDirectory } from '../../../accounts/accounts.js';
import { UNSET_OWNER_UUID } from '../../../base/constants.js';
import { isUuid } from '../../../base/uuid.js';
import { isObject } from '../../../manifest/coerce.js';
import type { Storage, StoredFileName } from '../../../storage/storage.js';
import { BadFile } from '../bad-file.js';
import { failureText } from '../failure-text.js';
import type { Data } from '../records/stored-records.js';
import type { Check, Complaint } from './check.js';

/** Checks that ask others: the user database, the storages. */

/** Whether what a record names is there, without a look inside it. */
export const STORED_FILES: Check = {
    name: 'stored-files',
    severity: 'error',
    finds: 'with --simple: a file or icon that is not in its storage, or has another size there',
    shown: { only: 'files, not icons' },
};

/** Where to look for files, by the names of storages. */
export type FilePlaces = Pick<ReadonlyMap<string, Pick<Storage, 'stat'>>, 'get'>;

/** A complaint, or that nobody can tell. */
export type Answer = Complaint | { readonly unchecked: string };

interface NamedFile {
    readonly name: StoredFileName;
    readonly stor: string;
    readonly size: unknown;
}

function filesOf({ files, icon }: Data): readonly NamedFile[] {
    const entries: (readonly [StoredFileName, unknown])[] = [
        ...(Array.isArray(files) ? files : []).map(
            (file: unknown, index): readonly [StoredFileName, unknown] => [`file${index}`, file],
        ),
        ['icon', icon],
    ];
    return entries.flatMap(([name, entry]) => {
        const { stor = 'local', size } = isObject(entry) ? entry : { stor: undefined };
        return isObject(entry) && typeof stor === 'string' ? [{ name, stor, size }] : [];
    });
}

async function fileAnswer(
    uuid: string,
    file: NamedFile,
    storage: Pick<Storage, 'stat'>,
): Promise<Answer | undefined> {
    const { name, stor, size } = file;
    try {
        const facts = await storage.stat(uuid, name);
        const advice = [`imgapiadm repair ${uuid}`];
        if (facts === undefined) {
            return { message: `${name} is not in storage "${stor}"`, advice };
        }
        return typeof size === 'number' && size !== facts.size
            ? { message: `${name} has ${facts.size} bytes in storage "${stor}", not ${size}`, advice }
            : undefined;
    } catch (error) {
        if (error instanceof BadFile) {
            return { message: `${name}: ${error.message}`, advice: [`imgapiadm repair ${uuid}`] };
        }
        return { unchecked: `${name} in storage "${stor}": ${failureText(error)}` };
    }
}

/** What is wrong with the files that a record names, as far as their storages tell without reading them. */
export async function storedFilesAnswers(
    uuid: string,
    record: Data,
    storages: FilePlaces,
): Promise<readonly Answer[]> {
    const answers: Answer[] = [];
    for (const file of filesOf(record)) {
        const storage = storages.get(file.stor);
        // Other storages are complained of already.
        const answer = storage && (await fileAnswer(uuid, file, storage));
        if (answer !== undefined) {
            answers.push(answer);
        }
    }
    return answers;
}

/**
 * Owners that the user database does not know, of those given.
 *
 * @throws 503 when it cannot be asked
 */
export async function unknownOwners(
    owners: Iterable<string>,
    accounts: AccountDirectory,
    signal: AbortSignal,
): Promise<ReadonlySet<string>> {
    const unknown = new Set<string>();
    for (const owner of new Set(owners)) {
        signal.throwIfAborted();
        if (isUuid(owner) && owner !== UNSET_OWNER_UUID && !(await accounts.exists(owner))) {
            unknown.add(owner);
        }
    }
    return unknown;
}
