import { posix } from 'node:path';
import { storeChange, type Draft } from '../../../images/change-image.js';
import { fileName } from '../../../images/image-files.js';
import type { FileArea } from '../../../maintenance/files/file-area.js';
import type { FileDigests, FileFinding, FindingKind } from '../../../maintenance/files/finding.js';
import { type ReadDepth, surveyImage } from '../../../maintenance/files/image-survey.js';
import { currentFacts } from '../../../maintenance/files/image-facts.js';
import { IN_USE, inFileClaims } from '../../../maintenance/files/in-claims.js';
import { isJournaled } from '../../../maintenance/files/journaled.js';
import type { RawImage } from '../../../manifest/types.js';
import type { SourceAddress } from '../../../remotes/image-source.js';
import type { StorageWriter, StoredFileName } from '../../../storage/storage.js';
import { archivedRecord } from './archived-record.js';
import { failureText } from '../failure-text.js';
import type { OpenFiles } from './open-files.js';
import { fetchFile } from './refetch.js';

/** What is done about findings, and what it takes: the lock, where records of a local database change. */
export const REPAIRS: Readonly<Partial<Record<FindingKind, 'files' | 'records'>>> = {
    recoverable: 'files',
    legacy: 'files',
    empty: 'files',
    missing: 'files',
    corrupt: 'files',
    misplaced: 'records',
    manifest: 'records',
    orphan: 'records',
};

/** What became of a finding. */
export interface Repaired {
    readonly finding: FileFinding;
    readonly result: 'repaired' | 'left' | 'failed';
    /** Of what is left or failed. */
    readonly reason?: string;
    readonly to?: string;
}

/** How to repair. */
export interface RepairOptions {
    readonly files: OpenFiles;
    readonly depth: ReadDepth;
    /** Absent: nothing is fetched. */
    readonly source?: SourceAddress;
    readonly fromArchive: boolean;
    /** Whether this process may change records. */
    readonly changesRecords: boolean;
    readonly signal: AbortSignal;
}

/** Repairs follow from one another: what was renamed into place may be named wrongly. */
const MAX_ROUNDS = 4;
const BUSY = 'the server is at work on the image: try again later';
const CHANGED = 'it is not as it was any more: try again';

/** The same without the finding. */
export type Attempt = Omit<Repaired, 'finding'>;

const REPAIRED: Attempt = { result: 'repaired' };

function left(reason: string): Attempt {
    return { result: 'left', reason };
}

/** A record with other facts of one of its files. */
function withEntry(raw: RawImage, name: StoredFileName, facts: Draft): Draft {
    return name === 'icon'
        ? { ...raw, icon: { ...raw.icon, ...facts } }
        : {
              ...raw,
              files: (raw.files ?? []).map((entry, index) =>
                  fileName(index) === name ? { ...entry, ...facts } : entry,
              ),
          };
}

/** What tells a finding from others. */
export function keyOf({ kind, path }: FileFinding): string {
    return `${kind} ${path}`;
}

/** Repairs the files of one image, and what its record says of them (operations 2.4). */
export class ImageRepair {
    readonly #options: RepairOptions;
    readonly #uuid: string;
    readonly #areas: ReadonlyMap<string, FileArea>;
    readonly #digests = new Map<string, Promise<FileDigests | undefined>>();

    constructor(uuid: string, options: RepairOptions) {
        this.#uuid = uuid;
        this.#options = options;
        this.#areas = new Map(options.files.areas.map((area) => [area.stor, area]));
    }

    /** What is wrong at this moment and can be put right by somebody. */
    async findings(): Promise<readonly FileFinding[]> {
        const { files, depth, signal, fromArchive } = this.#options;
        const image = await currentFacts(files.records, this.#uuid);
        const { areas } = files;
        const digests = this.#digests;
        const found = await surveyImage(this.#uuid, image, { areas, depth, signal, digests });
        return found.filter(({ kind }) => REPAIRS[kind] !== undefined && (kind !== 'orphan' || fromArchive));
    }

    /** Whether a finding needs what this process may not do. */
    isForOthers({ kind }: FileFinding): boolean {
        return REPAIRS[kind] === 'records' && !this.#options.changesRecords;
    }

    /**
     * Repairs what it can. Rejects only when told to stop.
     *
     * @param tried findings that need not be tried again, see {@link keyOf}; those that are tried come to them
     * @returns what became of everything that was found, the last word on each
     */
    async run(tried: Set<string>): Promise<readonly Repaired[]> {
        const done: Repaired[] = [];
        for (let round = 0; round < MAX_ROUNDS; round += 1) {
            const findings = (await this.findings()).filter((finding) => !tried.has(keyOf(finding)));
            if (findings.length === 0) {
                break;
            }
            for (const finding of findings) {
                this.#options.signal.throwIfAborted();
                tried.add(keyOf(finding));
                done.push({ finding, ...(await this.#attempt(finding)) });
            }
        }
        return done;
    }

    async #attempt(finding: FileFinding): Promise<Attempt> {
        try {
            return await this.#repair(finding);
        } catch (error) {
            this.#options.signal.throwIfAborted();
            return { result: 'failed', reason: failureText(error) };
        }
    }

    async #repair(finding: FileFinding): Promise<Attempt> {
        if (this.isForOthers(finding)) {
            return left('it takes the lock of a stopped server');
        }
        switch (finding.kind) {
            case 'recoverable':
            case 'legacy':
                return this.#inPlace(finding);
            case 'empty':
                return this.#removeEmpty(finding);
            case 'missing':
            case 'corrupt':
                return this.#refetch(finding);
            case 'misplaced':
                return this.#change(finding, { stor: finding.stor }, false);
            case 'manifest':
                return this.#change(finding, this.#rightFacts(finding), true);
            case 'orphan':
                return this.#restore(true);
            default:
                return left('nothing is known to be done about it');
        }
    }

    /**
     * Does something about a finding while nobody else is at work on the image.
     *
     * @param isStill whether it is as it was; default: a look at the image finds it again
     */
    async #alone(
        finding: FileFinding,
        task: () => Promise<Attempt>,
        isStill: () => Promise<boolean> = () => this.#isFoundAgain(finding),
    ): Promise<Attempt> {
        const { files } = this.#options;
        // Bytes are read before the claims: uploads must not wait for that.
        await this.findings();
        const names = finding.file === undefined ? [] : [finding.file];
        const attempt = await inFileClaims(files.uploads, this.#uuid, names, async () => {
            if (await isJournaled(files.data.directories, this.#uuid)) {
                return IN_USE;
            }
            return (await isStill()) ? task() : left(CHANGED);
        });
        return attempt === IN_USE ? left(BUSY) : attempt;
    }

    async #isFoundAgain({ kind, path, found }: FileFinding): Promise<boolean> {
        const now = (await this.findings()).find((one) => one.kind === kind && one.path === path);
        return now !== undefined && now.found?.identity === found?.identity;
    }

    /** Whether the record still wants the file, and what is in its place is what was found there. */
    async #isStillWanted({ expected, path, found }: FileFinding): Promise<boolean> {
        const { records, areas } = this.#options.files;
        const image = await currentFacts(records, this.#uuid);
        const wanted = typeof image === 'object' && image.files.find(({ name }) => name === expected?.name);
        const places = await Promise.all(areas.map((area) => area.places(this.#uuid)));
        const there = places.flatMap((some) => some.flatMap(({ entries }) => entries));
        return (
            typeof wanted === 'object' &&
            wanted.sha1 === expected?.sha1 &&
            wanted.stor === expected.stor &&
            there.find((entry) => entry.path === path)?.identity === found?.identity
        );
    }

    async #inPlace(finding: FileFinding): Promise<Attempt> {
        const { found, target, stor, path } = finding;
        const area = this.#areas.get(stor);
        if (found === undefined || target === undefined || area === undefined) {
            return left(CHANGED);
        }
        return this.#alone(finding, async () => {
            if (!(await area.move(found, target))) {
                return left(CHANGED);
            }
            await area.removeDirectory(posix.dirname(path));
            return { ...REPAIRED, to: target };
        });
    }

    async #removeEmpty({ stor, path }: FileFinding): Promise<Attempt> {
        return (await this.#areas.get(stor)?.removeDirectory(path)) === true ? REPAIRED : left(CHANGED);
    }

    async #refetch(finding: FileFinding): Promise<Attempt> {
        const { source, files, signal } = this.#options;
        const { expected, path, isLinked = false } = finding;
        if (isLinked) {
            return left('a link stands for it, and links are left to who has made them');
        }
        const area = this.#areas.get(expected?.stor ?? '');
        if (expected === undefined || area === undefined) {
            return left(CHANGED);
        }
        if (path !== area.pathOf(this.#uuid, expected.name)) {
            return left('useless; gc takes it when the file is in its place again');
        }
        if (source === undefined) {
            return left('give --source to fetch it');
        }
        const writer = await fetchFile(files.data.images, this.#uuid, expected, source, signal);
        try {
            return await this.#alone(
                finding,
                () => this.#commit(writer),
                // What has just been fetched is a good copy itself.
                () => this.#isStillWanted(finding),
            );
        } finally {
            await writer.abort();
        }
    }

    async #commit(writer: StorageWriter): Promise<Attempt> {
        await writer.commit();
        return REPAIRED;
    }

    #rightFacts({ digests, expected, found }: FileFinding): Draft {
        const isDated = !Number.isNaN(Date.parse(expected?.mtime ?? ''));
        return {
            ...(digests === undefined ? {} : { size: digests.size, contentMD5: digests.md5 }),
            ...(isDated || found === undefined ? {} : { mtime: new Date(found.mtime).toISOString() }),
        };
    }

    /** Changes what the record says of a file; old forms of the record become those of today with it. */
    async #change(finding: FileFinding, facts: Draft, archive: boolean): Promise<Attempt> {
        const { file, expected } = finding;
        const { images } = this.#options.files.data;
        if (file === undefined || expected === undefined) {
            return left(CHANGED);
        }
        return this.#alone(finding, async () => {
            await images.imageQueue.run(this.#uuid, () =>
                storeChange(images, this.#uuid, (raw) => withEntry(raw, file, facts), { archive }),
            );
            return REPAIRED;
        });
    }

    /** Makes the record again of its archived manifest. @param isOrphan whether there was none until now */
    async #restore(isOrphan: boolean): Promise<Attempt> {
        const { files, signal } = this.#options;
        const { images, directories } = files.data;
        const raw = await archivedRecord(files, this.#uuid, !isOrphan, signal);
        const names = (raw.files ?? []).map((_file, index) => fileName(index));
        const attempt = await inFileClaims(files.uploads, this.#uuid, names, async () => {
            if (await isJournaled(directories, this.#uuid)) {
                return IN_USE;
            }
            await images.imageQueue.run(this.#uuid, async () => {
                await images.archive.write(raw);
                await images.database.create(raw);
            });
            return REPAIRED;
        });
        return attempt === IN_USE ? left(BUSY) : attempt;
    }

    /** A record that cannot be used is made again; what it was goes to quarantine. Rejects only when told to stop. */
    async restoreRecord(): Promise<Attempt> {
        try {
            return await this.#restore(false);
        } catch (error) {
            this.#options.signal.throwIfAborted();
            return { result: 'failed', reason: failureText(error) };
        }
    }
}
