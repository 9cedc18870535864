import { stat } from 'node:fs/promises';
import { systemClock } from '../../../base/clock.js';
import { forEachParallel } from '../../../base/parallel.js';
import { unlessMissing } from '../../../base/unless-missing.js';
import { isGarbage, type FileFinding } from '../../../maintenance/files/finding.js';
import { GarbageCollector } from '../../../maintenance/files/garbage-collector.js';
import { isStoredFileName } from '../../../storage/file-names.js';
import { EXIT, type Invocation } from '../command.js';
import { failureText } from '../failure-text.js';
import { Interrupt } from '../interrupt.js';
import { bytesText, countText } from '../../../base/quantities.js';
import { FindingReport } from './finding-report.js';
import { look, type LookedAt } from './look.js';
import { unreadableText, type OpenFiles } from './open-files.js';
import { askForUploads } from './server-uploads.js';
import { expiredTrash, freshStamp, type Expired } from './trash.js';

const HOUR_MS = 3_600_000;
/** What stays when nobody tells what is being uploaded (operations 2.2). */
const UNKNOWN_UPLOADS_MS = 24 * HOUR_MS;
/** Age at which no upload of any process can be under way: one that is silent for 10 minutes is given up. */
const OTHERS_UPLOADS_MS = HOUR_MS;
/** The same where other machines use the Manta area: their claims are not seen here (backends 8). */
const DISTANT_MS = { file: 24 * HOUR_MS, temporary: 48 * HOUR_MS } as const;
/** Share of images without a manifest from which it is rather the base directory that is wrong. */
const MAX_ORPHANS = 0.2;
/** Images dealt with at the same time. */
const PARALLEL = 4;

/** What `gc` is asked to do. */
export interface GcOrder {
    readonly minAgeMs: number;
    readonly purge: boolean;
    readonly force: boolean;
    readonly dryRun: boolean;
    readonly yes: boolean;
    readonly json: boolean;
}

/** What belongs together: all of one image, or what belongs to none. */
type Group = readonly FileFinding[];

function groupsOf(findings: readonly FileFinding[]): readonly Group[] {
    const groups = new Map<string, FileFinding[]>();
    for (const finding of findings) {
        const key = finding.uuid ?? `${finding.stor} ${finding.path}`;
        const group = groups.get(key);
        if (group === undefined) {
            groups.set(key, [finding]);
        } else {
            group.push(finding);
        }
    }
    return [...groups.values()];
}

/** Images with files and without a manifest. */
function orphanImages(findings: readonly FileFinding[]): number {
    const files = findings.filter(
        ({ kind, found }) => kind === 'orphan' && isStoredFileName(found?.name ?? ''),
    );
    return new Set(files.map(({ uuid }) => uuid)).size;
}

/** One run of `gc` (operations 2.3, 2.4). */
export class GcRun {
    readonly #files: OpenFiles;
    readonly #invocation: Invocation;
    readonly #order: GcOrder;
    readonly #interrupt = new Interrupt();
    readonly #report: FindingReport;
    readonly #kept = new Map<string, number>();
    #purged = 0;
    #failures = 0;
    #looked: LookedAt = { records: 0, images: 0 };

    constructor(files: OpenFiles, invocation: Invocation, order: GcOrder) {
        this.#files = files;
        this.#invocation = invocation;
        this.#order = order;
        this.#report = new FindingReport({ terminal: invocation.terminal, json: order.json });
    }

    /** @returns the exit status. @throws Error when nothing may be touched */
    async execute(): Promise<number> {
        this.#interrupt.listen({
            onFirst: () => this.#invocation.terminal.note('stopping'),
            onSecond: () => this.#summarize(),
        });
        this.#requireReadable();
        await this.#requireOneFileSystem();
        const { signal } = this.#interrupt;
        const findings: FileFinding[] = [];
        this.#looked = await look(this.#files, this.#invocation, {
            depth: 'needed',
            signal,
            onFinding: (finding) => {
                if (isGarbage(finding)) {
                    findings.push(finding);
                }
            },
        });
        if (!signal.aborted) {
            // Once more: a server may have met such records meanwhile.
            this.#requireReadable();
            this.#requireFewOrphans(findings);
            await this.#deal(findings);
        }
        this.#summarize();
        return this.#interrupt.status ?? this.#status();
    }

    #status(): number {
        const isLeft = this.#order.dryRun && this.#report.findings + this.#purged > 0;
        return isLeft || this.#failures + this.#files.away.size > 0 ? EXIT.findings : EXIT.clean;
    }

    #requireReadable(): void {
        const text = unreadableText(this.#files.unreadable());
        if (text !== undefined) {
            throw new Error(`${text}; nothing is touched`);
        }
    }

    /** Files are moved by giving them another name, which works within one file system only. */
    async #requireOneFileSystem(): Promise<void> {
        const { base, images, trash } = this.#files.data.directories;
        const there = (await unlessMissing(stat(trash))) ?? (await stat(base));
        const here = await unlessMissing(stat(images));
        if (here !== undefined && here.dev !== there.dev) {
            throw new Error(
                `${images} is on another file system than ${trash}, so that files cannot be moved there; nothing is touched`,
            );
        }
    }

    #requireFewOrphans(findings: readonly FileFinding[]): void {
        const orphans = orphanImages(findings);
        const { records } = this.#looked;
        if (orphans > MAX_ORPHANS * (records + orphans) && !this.#order.force) {
            throw new Error(
                `${countText(orphans, 'image')} without a manifest beside ${records} with one: is ${this.#files.data.directories.base} the right directory? If so, use --force`,
            );
        }
    }

    async #deal(findings: readonly FileFinding[]): Promise<void> {
        const { data } = this.#files;
        const { terminal } = this.#invocation;
        const { signal } = this.#interrupt;
        // Behind the survey: an upload that it has seen is named in the answer, or over.
        const asked = await askForUploads(this.#invocation, data, signal);
        const isAnswered = asked.uploads !== undefined;
        if (!isAnswered && this.#order.minAgeMs < UNKNOWN_UPLOADS_MS) {
            terminal.note(
                `what is younger than 24 hours stays: nobody tells what is being uploaded (${asked.reason})`,
            );
        }
        const now = systemClock.now();
        const collector = new GarbageCollector({
            ...this.#files,
            directories: data.directories,
            clock: systemClock,
            minAgeMs: (finding) => this.#minAge(finding, isAnswered),
            isUploading: (name) => asked.uploads?.has(name) === true,
            stamp: await freshStamp(this.#files, now),
            signal,
        });
        const due = findings.filter((finding) => this.#isDue(finding, collector));
        const expired = this.#order.purge ? await expiredTrash(this.#files, now) : [];
        if (this.#order.dryRun) {
            due.forEach((finding) => this.#report.add(finding, { result: 'would be moved' }));
            expired.forEach((one) => this.#tellPurged(one, 'would be deleted'));
        } else if (await this.#agreed(due, expired)) {
            await this.#files.requireOwnAreas();
            await this.#collect(due, collector);
            await this.#purge(expired);
        }
    }

    #isDue(finding: FileFinding, collector: GarbageCollector): boolean {
        const reason = collector.keepReason(finding);
        if (reason !== undefined) {
            this.#kept.set(reason, (this.#kept.get(reason) ?? 0) + 1);
            this.#invocation.terminal.trace(`${finding.path}: kept, ${reason}`);
        }
        return reason === undefined;
    }

    #minAge({ stor, found }: FileFinding, isAnswered: boolean): number {
        const { minAgeMs } = this.#order;
        const type = isStoredFileName(found?.name ?? '') ? 'file' : 'temporary';
        const shared = this.#files.data.database.writers === 'all';
        return Math.max(
            minAgeMs,
            isAnswered ? 0 : UNKNOWN_UPLOADS_MS,
            shared && type === 'temporary' && found?.type === 'file' ? OTHERS_UPLOADS_MS : 0,
            shared && stor === 'manta' && found?.type === 'file' ? DISTANT_MS[type] : 0,
        );
    }

    async #agreed(due: readonly FileFinding[], expired: readonly Expired[]): Promise<boolean> {
        const bytes = due.reduce((sum, { found }) => sum + (found?.type === 'file' ? found.size : 0), 0);
        const parts = [
            ...(due.length === 0
                ? []
                : [`take away ${countText(due.length, 'finding')} (${bytesText(bytes)})`]),
            ...(expired.length === 0 ? [] : [`delete ${expired.length} from trash and quarantine`]),
        ];
        if (parts.length === 0 || this.#order.yes) {
            return true;
        }
        const text = parts.join(', ');
        const question = `${text.charAt(0).toUpperCase()}${text.slice(1)}?`;
        const agreed = await this.#invocation.terminal.confirm(question, this.#interrupt.signal);
        if (!agreed) {
            this.#invocation.terminal.note('nothing was changed');
            this.#failures += 1;
        }
        return agreed;
    }

    async #collect(due: readonly FileFinding[], collector: GarbageCollector): Promise<void> {
        const { signal } = this.#interrupt;
        try {
            await forEachParallel(groupsOf(due), PARALLEL, async (group) => {
                for (const { finding, ...outcome } of await collector.collect(group)) {
                    this.#failures += outcome.result === 'failed' ? 1 : 0;
                    this.#report.add(finding, outcome);
                }
            });
        } catch (error) {
            if (!signal.aborted) {
                throw error;
            }
        }
    }

    async #purge(expired: readonly Expired[]): Promise<void> {
        for (const one of expired) {
            if (this.#interrupt.signal.aborted) {
                return;
            }
            try {
                await one.remove();
                this.#tellPurged(one, 'deleted');
            } catch (error) {
                this.#failures += 1;
                this.#tellPurged(one, 'failed', failureText(error));
            }
        }
    }

    #tellPurged({ stor, path }: Expired, result: string, reason?: string): void {
        this.#purged += result === 'failed' ? 0 : 1;
        const { terminal } = this.#invocation;
        const facts = { kind: 'trash', stor, path, result, ...(reason === undefined ? {} : { reason }) };
        terminal.line(
            this.#order.json
                ? JSON.stringify(facts)
                : `trash ${stor} ${path}: ${result}${reason === undefined ? '' : ` (${reason})`}`,
        );
    }

    #summarize(): void {
        const { dryRun } = this.#order;
        const { records, images } = this.#looked;
        const interrupted = this.#interrupt.status !== undefined;
        const kept = Object.fromEntries(this.#kept);
        const left = [...this.#kept].map(([reason, count]) => `${count} kept (${reason})`);
        this.#report.summarize(
            {
                records,
                images,
                kept,
                purged: this.#purged,
                away: [...this.#files.away.keys()],
                dryRun,
                interrupted,
            },
            [...left, ...(interrupted ? ['interrupted'] : [])],
        );
    }
}
