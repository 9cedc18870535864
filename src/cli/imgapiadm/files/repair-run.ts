import { systemClock } from '../../../base/clock.js';
import type { FileFinding } from '../../../maintenance/files/finding.js';
import type { SourceAddress } from '../../../remotes/image-source.js';
import { EXIT, type Invocation } from '../command.js';
import { configPath } from '../config-path.js';
import { failureText } from '../failure-text.js';
import { Interrupt } from '../interrupt.js';
import { LockedError, readLayout } from '../offline/server-data.js';
import { terminalLog } from '../offline/terminal-log.js';
import { countText } from '../../../base/quantities.js';
import { FindingReport, type FindingOutcome } from './finding-report.js';
import { ImageRepair, keyOf, REPAIRS, type Attempt } from './image-repair.js';
import { importMissing } from './import-missing.js';
import { look, type LookedAt } from './look.js';
import { openFiles, type OpenFiles } from './open-files.js';
import { rootPermissions, type Permissions } from './permissions.js';

/** What `repair` is asked to do. */
export interface RepairOrder {
    /** None: all images, but of those only what can be told without reading every file. */
    readonly uuids: readonly string[];
    readonly source?: SourceAddress;
    readonly fromArchive: boolean;
    readonly dryRun: boolean;
    readonly yes: boolean;
    readonly json: boolean;
}

/** What was found, and what is to be done about it. */
interface Plan {
    /** Images with something to be put right, and what was wrong at first sight. */
    readonly images: Map<string, FileFinding[]>;
    /** What belongs to no image: empty directories. */
    readonly others: FileFinding[];
    /** Records that cannot be used. */
    readonly records: FileFinding[];
    /** What this process can do nothing about. */
    readonly blocked: FileFinding[];
    /** Images there is nothing of. */
    readonly unknown: string[];
}

/** One run of `repair` (operations 2.3, 2.4). */
export class RepairRun {
    readonly #invocation: Invocation;
    readonly #order: RepairOrder;
    readonly #interrupt = new Interrupt();
    readonly #report: FindingReport;
    /** Findings that have been dealt with for good. */
    readonly #dealtWith = new Set<string>();
    #looked: LookedAt = { records: 0, images: 0 };
    #isLocked = false;
    #isIncomplete = false;

    constructor(invocation: Invocation, order: RepairOrder) {
        this.#invocation = invocation;
        this.#order = order;
        this.#report = new FindingReport({ terminal: invocation.terminal, json: order.json });
    }

    /** @returns the exit status. @throws Error when it could not run */
    async execute(): Promise<number> {
        const { terminal } = this.#invocation;
        this.#interrupt.listen({
            onFirst: () => terminal.note('stopping when the file at hand is done; once more: at once'),
            onSecond: () => this.#summarize(),
        });
        try {
            await this.#repairPermissions();
            const records = await this.#withFiles('reading', (files) => this.#repairFiles(files));
            if (records.images.size + records.records.length > 0) {
                await this.#repairRecords(records);
            }
        } catch (error) {
            if (this.#interrupt.status === undefined) {
                throw error;
            }
        }
        this.#summarize();
        return this.#interrupt.status ?? this.#status();
    }

    #status(): number {
        if (this.#isLocked) {
            return EXIT.failed;
        }
        const isClean = this.#report.findings === this.#report.results('repaired');
        return isClean && !this.#isIncomplete ? EXIT.clean : EXIT.findings;
    }

    /** Before this process becomes the server's user, who could do nothing about it. */
    async #repairPermissions(): Promise<void> {
        const { parsed, environment, terminal } = this.#invocation;
        const { uuids, dryRun } = this.#order;
        const { directories } = readLayout(configPath(parsed, environment), terminalLog(terminal));
        const named = uuids.length === 0 ? [] : [uuids];
        const found = await rootPermissions(directories, ...named);
        if (found === undefined || found.findings.length === 0 || dryRun) {
            return;
        }
        if (await this.#agreed(`change owner and mode of ${countText(found.findings.length, 'path')}`)) {
            await this.#fixAll(found);
        }
    }

    async #fixAll(permissions: Permissions): Promise<void> {
        for (const finding of permissions.findings) {
            this.#interrupt.signal.throwIfAborted();
            try {
                await permissions.fix(finding);
                this.#report.add(finding, { result: 'repaired' });
            } catch (error) {
                this.#report.add(finding, { result: 'failed', reason: failureText(error) });
            }
        }
    }

    async #withFiles<T>(access: 'reading' | 'records', task: (files: OpenFiles) => Promise<T>): Promise<T> {
        const files = await openFiles(this.#invocation, access);
        try {
            return await task(files);
        } finally {
            this.#isIncomplete ||= files.away.size > 0;
            await files.close();
        }
    }

    /** @returns what takes a change of records */
    async #repairFiles(files: OpenFiles): Promise<Plan> {
        const plan = await this.#plan(files);
        const { images, others, records, blocked, unknown } = plan;
        blocked.forEach((finding) => this.#report.add(finding, { result: 'left' }));
        const later: Plan = { images: new Map(), others: [], records, blocked: [], unknown: [] };
        if (this.#order.dryRun) {
            this.#rehearse(plan);
            return { ...later, records: [] };
        }
        const all = [...images.values()].flat().length + others.length + records.length + unknown.length;
        if (all === 0 || !(await this.#agreed(`repair ${countText(all, 'finding')}`))) {
            this.#isIncomplete ||= all > 0;
            return { ...later, records: [] };
        }
        await files.requireOwnAreas();
        for (const finding of others) {
            await this.#removeEmpty(files, finding);
        }
        const mayChange = files.data.mayWrite;
        for (const [uuid, found] of images) {
            this.#interrupt.signal.throwIfAborted();
            const left = await this.#repairImage(files, uuid, mayChange);
            if (left > 0) {
                later.images.set(uuid, found);
            }
        }
        for (const uuid of unknown) {
            await this.#import(uuid);
        }
        return later;
    }

    /** @returns how much of it takes the lock */
    async #repairImage(files: OpenFiles, uuid: string, changesRecords: boolean): Promise<number> {
        const repair = this.#repairOf(files, uuid, changesRecords);
        let left = 0;
        for (const { finding, ...outcome } of await repair.run(this.#dealtWith)) {
            if (repair.isForOthers(finding)) {
                left += 1;
                this.#dealtWith.delete(keyOf(finding));
            } else {
                this.#tell(finding, outcome);
            }
        }
        return left;
    }

    #repairOf(files: OpenFiles, uuid: string, changesRecords: boolean): ImageRepair {
        const { source, fromArchive, uuids } = this.#order;
        const { signal } = this.#interrupt;
        const depth = uuids.length === 0 ? 'needed' : 'all';
        return new ImageRepair(uuid, {
            files,
            depth,
            fromArchive,
            changesRecords,
            signal,
            ...(source === undefined ? {} : { source }),
        });
    }

    async #repairRecords({ images, records }: Plan): Promise<void> {
        try {
            await this.#withFiles('records', async (files) => {
                for (const finding of records) {
                    const repair = this.#repairOf(files, finding.uuid ?? '', true);
                    this.#tell(finding, await repair.restoreRecord());
                }
                for (const uuid of images.keys()) {
                    this.#interrupt.signal.throwIfAborted();
                    await this.#repairImage(files, uuid, true);
                }
            });
        } catch (error) {
            if (!(error instanceof LockedError)) {
                throw error;
            }
            this.#isLocked = true;
            this.#invocation.terminal.note(`records cannot be changed: ${error.message}`);
            const left = [...images.values()].flat().filter(({ kind }) => REPAIRS[kind] === 'records');
            for (const finding of [...records, ...left]) {
                this.#tell(finding, { result: 'left', reason: 'it takes the lock of a stopped server' });
            }
        }
    }

    /** Looks what there is to do. */
    async #plan(files: OpenFiles): Promise<Plan> {
        const { uuids, fromArchive, source } = this.#order;
        const plan: Plan = { images: new Map(), others: [], records: [], blocked: [], unknown: [] };
        const seen = new Set<string>();
        this.#looked = await look(files, this.#invocation, {
            depth: uuids.length === 0 ? 'needed' : 'all',
            ...(uuids.length === 0 ? {} : { uuids }),
            signal: this.#interrupt.signal,
            onFinding: (finding) => {
                this.#sort(finding, plan);
                seen.add(finding.uuid ?? '');
            },
        });
        this.#interrupt.signal.throwIfAborted();
        for (const { file, reason } of files.unreadable()) {
            const uuid = file.slice(0, -'.raw'.length);
            if (uuids.length > 0 && !uuids.includes(uuid)) {
                continue;
            }
            const path = `${files.data.directories.manifests}/${file}`;
            const finding: FileFinding = { kind: 'manifest', stor: 'local', path, detail: reason, uuid };
            (fromArchive && uuids.length > 0 ? plan.records : plan.blocked).push(finding);
        }
        for (const uuid of uuids) {
            if (!seen.has(uuid) && (await this.#isUnknown(files, uuid))) {
                if (source === undefined) {
                    throw new Error(`there is no image ${uuid}, and no file of it`);
                }
                plan.unknown.push(uuid);
            }
        }
        return plan;
    }

    async #isUnknown(files: OpenFiles, uuid: string): Promise<boolean> {
        const isUnreadable = files.unreadable().some(({ file }) => file === `${uuid}.raw`);
        const places = await Promise.all(files.areas.map((area) => area.places(uuid)));
        if (isUnreadable || places.flat().length > 0) {
            return false;
        }
        return files.records.current(uuid).then(
            () => false,
            () => true,
        );
    }

    #sort(finding: FileFinding, { images, others, blocked }: Plan): void {
        const { kind, uuid } = finding;
        if (kind === 'permission') {
            blocked.push(finding);
        } else if (REPAIRS[kind] === undefined || (kind === 'orphan' && !this.#order.fromArchive)) {
            this.#invocation.terminal.trace(`${finding.path}: ${kind}, not for repair`);
        } else if (uuid === undefined) {
            others.push(finding);
        } else {
            images.set(uuid, [...(images.get(uuid) ?? []), finding]);
        }
    }

    #rehearse({ images, others, records, unknown }: Plan): void {
        const { source } = this.#order;
        for (const finding of [...others, ...records, ...[...images.values()].flat()]) {
            const isLost = finding.kind === 'missing' || finding.kind === 'corrupt';
            this.#tell(finding, { result: isLost && source === undefined ? 'left' : 'would be repaired' });
        }
        for (const uuid of unknown) {
            this.#report.add(unknownFinding(uuid), { result: 'would be imported' });
        }
    }

    /** With what an operator can do about it, where this tool did nothing. */
    #tell(finding: FileFinding, outcome: FindingOutcome | Attempt): void {
        const isLost = finding.kind === 'missing' || finding.kind === 'corrupt';
        const { uuid, expected, isLinked = false } = finding;
        const isHopeless = isLost && expected !== undefined && !isLinked;
        const commands =
            outcome.result !== 'repaired' && isHopeless && uuid !== undefined
                ? { commands: this.#importCommands(uuid) }
                : {};
        this.#report.add({ ...finding, ...commands }, outcome);
    }

    /** The way without a source: the image goes, and comes again. */
    #importCommands(uuid: string): readonly string[] {
        const { parsed, environment, terminal } = this.#invocation;
        const { config } = readLayout(configPath(parsed, environment), terminalLog(terminal));
        const tool = config.mode === 'dc' ? 'sdc-imgadm' : 'imgapi-cli';
        return [`${tool} delete ${uuid}`, `${tool} import ${uuid} -S URL`];
    }

    async #removeEmpty(files: OpenFiles, finding: FileFinding): Promise<void> {
        const area = files.areas.find(({ stor }) => stor === finding.stor);
        const isGone = (await area?.removeDirectory(finding.path)) === true;
        this.#tell(finding, { result: isGone ? 'repaired' : 'left' });
    }

    async #import(uuid: string): Promise<void> {
        const { source } = this.#order;
        this.#interrupt.signal.throwIfAborted();
        if (source !== undefined) {
            const outcome = await importMissing(this.#invocation, uuid, source, this.#interrupt.signal);
            this.#tell(unknownFinding(uuid), outcome);
        }
    }

    async #agreed(what: string): Promise<boolean> {
        if (this.#order.yes) {
            return true;
        }
        const question = `${what.charAt(0).toUpperCase()}${what.slice(1)}?`;
        const agreed = await this.#invocation.terminal.confirm(question, this.#interrupt.signal);
        if (!agreed) {
            this.#invocation.terminal.note('nothing was changed');
        }
        return agreed;
    }

    #summarize(): void {
        const interrupted = this.#interrupt.status !== undefined;
        const { dryRun } = this.#order;
        const facts = { ...this.#looked, dryRun, interrupted, at: new Date(systemClock.now()).toISOString() };
        this.#report.summarize(facts, interrupted ? ['interrupted'] : []);
    }
}

function unknownFinding(uuid: string): FileFinding {
    return { kind: 'missing', stor: 'local', path: uuid, detail: 'there is nothing of this image', uuid };
}
