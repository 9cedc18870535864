import type { FileFinding, FindingKind } from '../../../maintenance/files/finding.js';
import { FINDING_KINDS } from '../../../maintenance/files/finding.js';
import { bytesText, countText, durationText } from '../../../base/quantities.js';
import type { Terminal } from '../terminal.js';

/** What became of a finding, where something was done. */
export interface FindingOutcome {
    readonly result: string;
    /** Where it is now. */
    readonly to?: string;
    readonly reason?: string;
}

const KIND_WIDTH = Math.max(...Object.keys(FINDING_KINDS).map((kind) => kind.length));

function sizeOf({ found }: FileFinding): number {
    return found?.type === 'file' ? found.size : 0;
}

/** A finding as JSON. */
function documentOf(finding: FileFinding, outcome: FindingOutcome | undefined): Record<string, unknown> {
    const { kind, stor, path, uuid, file, found, detail, target, commands } = finding;
    return {
        kind,
        stor,
        path,
        ...(uuid === undefined ? {} : { uuid }),
        ...(file === undefined ? {} : { file }),
        ...(found === undefined ? {} : { size: sizeOf(finding) }),
        ...(found === undefined || found.mtime === 0 ? {} : { mtime: new Date(found.mtime).toISOString() }),
        detail,
        ...(target === undefined ? {} : { target }),
        ...(commands === undefined ? {} : { commands }),
        ...outcome,
    };
}

function lineOf(finding: FileFinding, outcome: FindingOutcome | undefined, now: number): string {
    const { kind, stor, path, found, detail } = finding;
    const age = found === undefined || found.mtime === 0 ? [] : [durationText(now - found.mtime)];
    const facts = found?.type === 'file' ? [bytesText(found.size), ...age] : age;
    const size = facts.length === 0 ? '' : ` (${facts.join(', ')})`;
    const to = outcome?.to === undefined ? '' : ` to ${outcome.to}`;
    const why = outcome?.reason === undefined ? '' : ` (${outcome.reason})`;
    const what = outcome === undefined ? '' : `: ${outcome.result}${to}${why}`;
    return `${kind.padEnd(KIND_WIDTH)} ${stor} ${path}${size}: ${detail}${what}`;
}

/** Tells what was found, a line each, and counts (operations 2.2). */
export class FindingReport {
    readonly #terminal: Terminal;
    readonly #json: boolean;
    readonly #kinds = new Map<FindingKind, number>();
    readonly #results = new Map<string, number>();
    readonly #startedAt = performance.now();
    #bytes = 0;

    constructor({ terminal, json }: { readonly terminal: Terminal; readonly json: boolean }) {
        this.#terminal = terminal;
        this.#json = json;
    }

    /** Findings so far. */
    get findings(): number {
        return [...this.#kinds.values()].reduce((sum, count) => sum + count, 0);
    }

    /** How many findings had a result. */
    results(result: string): number {
        return this.#results.get(result) ?? 0;
    }

    add(finding: FileFinding, outcome?: FindingOutcome): void {
        this.#kinds.set(finding.kind, (this.#kinds.get(finding.kind) ?? 0) + 1);
        this.#bytes += sizeOf(finding);
        if (outcome !== undefined) {
            this.#results.set(outcome.result, this.results(outcome.result) + 1);
        }
        this.#terminal.line(
            this.#json ? JSON.stringify(documentOf(finding, outcome)) : lineOf(finding, outcome, Date.now()),
        );
        const isDone = outcome?.result === 'repaired';
        for (const command of this.#json || isDone ? [] : (finding.commands ?? [])) {
            this.#terminal.line(`    Fix: ${command}`);
        }
    }

    /** The last line. @param facts further members of the summary; @param words what follows the sentence */
    summarize(facts: Readonly<Record<string, unknown>>, words: readonly string[] = []): void {
        const elapsedMs = performance.now() - this.#startedAt;
        const results = Object.fromEntries(this.#results);
        if (this.#json) {
            const summary = {
                findings: this.findings,
                bytes: this.#bytes,
                kinds: Object.fromEntries(this.#kinds),
                ...(this.#results.size === 0 ? {} : { results }),
                ...facts,
                elapsedMs: Math.round(elapsedMs),
            };
            this.#terminal.line(JSON.stringify({ summary }));
            return;
        }
        const kinds = [...this.#kinds].map(([kind, count]) => `${count} ${kind}`);
        const list = kinds.length === 0 ? '' : `: ${kinds.join(', ')}`;
        const done = Object.entries(results).map(([result, count]) => `${count} ${result}`);
        const parts = [
            `${countText(this.findings, 'finding')} (${bytesText(this.#bytes)}) in ${durationText(elapsedMs)}${list}`,
            ...(done.length === 0 ? [] : [done.join(', ')]),
            ...words,
        ];
        this.#terminal.line(parts.join('; '));
    }
}
