import type { AccountDirectory } from '../../../accounts/accounts.js';
import { ApiError, type ErrorEntry } from '../../../base/errors.js';
import { forEachParallel } from '../../../base/parallel.js';
import type { RawImage } from '../../../manifest/types.js';
import { validateRaw } from '../../../manifest/validate.js';
import { failureText } from '../failure-text.js';
import type { ReadRecord, StoredRecords, StrayEntry } from '../records/stored-records.js';
import {
    STORED_FILES,
    storedFilesAnswers,
    unknownOwners,
    type Answer,
    type FilePlaces,
} from './asking-checks.js';
import { channelsOf } from './channel-check.js';
import type { Check, Complaint, Finding, Place, RecordCheck, Subject } from './check.js';
import { ABSENT, restoreLine, strayFinding, STRUCTURE, UNCHECKED } from './entry-checks.js';
import { factsOf, IMAGE_CHECKS, type ImageFacts } from './image-checks.js';
import { INVALID, RECORD_CHECKS } from './record-checks.js';

/** Records looked at at the same time; more than one only helps where storages are asked. */
export const PARALLEL = 8;
const OWNER = 'owner';

/** What a survey looks at. */
export interface SurveyOptions {
    readonly records: SurveyedRecords;
    readonly place: Place;
    /** Only findings about these; none: about all. */
    readonly uuids: ReadonlySet<string>;
    /** Whether `--assign-default-channel` was given. */
    readonly assignsChannel: boolean;
    /** Absent: owners are not looked up. */
    readonly accounts?: AccountDirectory;
    /** Where to look for files; absent: nowhere. */
    readonly storages?: FilePlaces;
    /** Whether a record can be made again of its archived manifest. @throws when that cannot be looked at */
    readonly isArchived: (uuid: string) => Promise<boolean>;
    readonly signal: AbortSignal;
    /** Only findings about images in this channel; absent: about all. */
    readonly channel?: string;
    /** What the server makes of a record; default: what its rules say. */
    readonly judge?: (record: ReadRecord, place: Place) => Subject;
    /** Checks of single records; default: all. */
    readonly checks?: readonly RecordCheck[];
}

/** What a survey reads. */
export interface SurveyedRecords extends Pick<StoredRecords, 'structureProblems'> {
    entries(signal: AbortSignal): AsyncIterable<ReadRecord | StrayEntry>;
}

/** Looks at all records and collects what is wrong with them (operations 2.5). */
export class Survey {
    readonly #options: SurveyOptions;
    readonly #images = new Map<string, ImageFacts>();
    readonly #findings: Finding[] = [];
    /** Of other channels than the one that was asked for. */
    readonly #others = new Set<string>();
    #records = 0;
    #current: string | undefined;

    constructor(options: SurveyOptions) {
        this.#options = options;
    }

    /** Records looked at so far. */
    get records(): number {
        return this.#records;
    }

    /** The one that is looked at. */
    get current(): string | undefined {
        return this.#current;
    }

    /** What has been found so far, in the order of files and images. */
    get findings(): readonly Finding[] {
        const place = ({ uuid, file }: Finding): string => uuid ?? file ?? '';
        return this.#findings.toSorted((a, b) => (place(a) < place(b) ? -1 : place(a) > place(b) ? 1 : 0));
    }

    /** @throws the database's error; the signal's reason when aborted */
    async run(): Promise<void> {
        const { records, uuids, signal } = this.#options;
        for (const { severity, message } of await records.structureProblems()) {
            this.#add(STRUCTURE, { severity, message });
        }
        await forEachParallel(records.entries(signal), PARALLEL, async (entry) => {
            signal.throwIfAborted();
            await this.#look(entry);
        });
        for (const uuid of uuids) {
            if (!this.#images.has(uuid) && !this.#findings.some((finding) => finding.uuid === uuid)) {
                this.#add(ABSENT, { message: 'there is no such image', advice: [restoreLine(uuid)] }, uuid);
            }
        }
        this.#compare();
        await this.#askForOwners();
    }

    async #look(entry: ReadRecord | StrayEntry): Promise<void> {
        if (entry.kind !== 'record') {
            if (this.#isWanted(entry.uuid)) {
                await this.#stray(entry);
            }
            return;
        }
        const { place, storages, channel, checks = [INVALID, ...RECORD_CHECKS] } = this.#options;
        this.#records += 1;
        this.#current = entry.uuid;
        const subject = (this.#options.judge ?? judge)(entry, place);
        const { uuid } = entry;
        this.#images.set(uuid, factsOf(subject));
        if (channel !== undefined && !channelsOf(entry.current).includes(channel)) {
            this.#others.add(uuid);
        }
        if (!this.#isWanted(uuid)) {
            return;
        }
        for (const check of checks) {
            for (const complaint of check.look(subject)) {
                this.#add(check, complaint, uuid);
            }
        }
        if (storages !== undefined) {
            this.#answer(uuid, await storedFilesAnswers(uuid, entry.current, storages));
        }
    }

    async #stray(entry: StrayEntry): Promise<void> {
        const { kind, uuid } = entry;
        if (kind !== 'unparsable' || uuid === undefined) {
            this.#findings.push(strayFinding(entry));
            return;
        }
        const isArchived = await this.#options.isArchived(uuid).catch((error: unknown) => {
            this.#add(UNCHECKED, { message: `archived manifest: ${failureText(error)}` }, uuid);
            return false;
        });
        this.#findings.push(strayFinding(entry, isArchived));
    }

    #answer(uuid: string, answers: readonly Answer[]): void {
        for (const answer of answers) {
            if ('unchecked' in answer) {
                this.#add(UNCHECKED, { message: answer.unchecked }, uuid);
            } else {
                this.#add(STORED_FILES, answer, uuid);
            }
        }
    }

    #compare(): void {
        for (const check of IMAGE_CHECKS) {
            for (const [uuid, complaint] of check.look(this.#images, this.#options.place)) {
                this.#add(check, complaint, uuid);
            }
        }
    }

    async #askForOwners(): Promise<void> {
        const { accounts, signal } = this.#options;
        const check = RECORD_CHECKS.find(({ name }) => name === OWNER);
        const wanted = [...this.#images.values()].filter(({ uuid }) => this.#isWanted(uuid));
        if (accounts === undefined || check === undefined || wanted.length === 0) {
            return;
        }
        try {
            const owners = wanted.map(({ owner }) => owner);
            const unknown = await unknownOwners(owners, accounts, signal);
            for (const { uuid, owner } of wanted.filter((facts) => unknown.has(facts.owner))) {
                this.#add(check, { message: `the user database knows no owner ${owner}` }, uuid);
            }
        } catch (error) {
            signal.throwIfAborted();
            this.#add(UNCHECKED, { message: `owners: ${failureText(error)}` });
        }
    }

    #isWanted(uuid: string | undefined): boolean {
        const { uuids } = this.#options;
        return (
            (uuids.size === 0 || (uuid !== undefined && uuids.has(uuid))) &&
            (uuid === undefined || !this.#others.has(uuid))
        );
    }

    #add(check: Check, complaint: Complaint, uuid?: string): void {
        if (uuid !== undefined && !this.#isWanted(uuid)) {
            return;
        }
        const { message, severity = check.severity, advice = [], final = false } = complaint;
        const facts = uuid === undefined ? undefined : this.#images.get(uuid);
        const isAssigned = check.name === 'channels' && this.#options.assignsChannel;
        this.#findings.push({
            check: check.name,
            severity,
            message,
            ...(uuid === undefined ? {} : { uuid }),
            ...(facts === undefined ? {} : { image: { name: facts.name, version: facts.version } }),
            advice,
            fixable: !final && (check.fix !== undefined || isAssigned),
        });
    }
}

/** What a server makes of a record. */
export function judge(record: ReadRecord, place: Place): Subject {
    let raw: RawImage | undefined;
    let entries: readonly ErrorEntry[] = [];
    try {
        const read = validateRaw({ ...record.current }, place.rules, 'lenient');
        raw = read.uuid === record.uuid ? read : undefined;
    } catch (error) {
        if (!(error instanceof ApiError)) {
            throw error;
        }
        entries = error.errors ?? [];
    }
    return { record, raw, entries, place };
}
