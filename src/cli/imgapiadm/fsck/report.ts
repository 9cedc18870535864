import { countText } from '../../../base/quantities.js';
import type { Terminal } from '../terminal.js';
import type { Finding, Severity } from './check.js';
import type { Coverage } from './coverage.js';
import type { Repaired } from './repairs.js';

/** How a run ended as a whole. */
export interface Ending {
    readonly records: number;
    readonly interrupted: boolean;
    /** `undefined`: nothing was to be repaired. */
    readonly repair?: 'done' | 'dry-run' | 'refused';
    /** Absent: nothing was left out, as the data themselves were looked at. */
    readonly coverage?: Coverage;
}

const SEVERITIES: readonly Severity[] = ['error', 'warn', 'info'];
const WORDS: Readonly<Record<Severity, string>> = { error: 'error', warn: 'warning', info: 'note' };

/** Whether a finding is one that is still to be dealt with. */
function isLeft(repaired: Repaired | undefined): boolean {
    return repaired?.result !== 'fixed';
}

/** Tells what was found, and counts (operations 2.2). */
export class Report {
    readonly #terminal: Terminal;
    readonly #json: boolean;
    readonly #counts = { error: 0, warn: 0, info: 0, fixed: 0, failed: 0, fixable: 0 };

    constructor({ terminal, json }: { readonly terminal: Terminal; readonly json: boolean }) {
        this.#terminal = terminal;
        this.#json = json;
    }

    /** Whether anything is left that the exit status tells of: a note is none, a warning only if it counts. */
    isAlarming(warningsCount: boolean): boolean {
        return this.#counts.error + (warningsCount ? this.#counts.warn : 0) > 0;
    }

    add(finding: Finding, repaired: Repaired | undefined, ending: Ending): void {
        const { severity, fixable } = finding;
        const counts = this.#counts;
        counts[severity] += isLeft(repaired) ? 1 : 0;
        counts.fixed += isLeft(repaired) ? 0 : 1;
        counts.failed += repaired?.result === 'failed' ? 1 : 0;
        counts.fixable += fixable && isLeft(repaired) ? 1 : 0;
        if (this.#json) {
            this.#terminal.line(JSON.stringify(documentOf(finding, repaired, ending)));
            return;
        }
        this.#terminal.line(lineOf(finding, repaired, ending));
        for (const advice of isLeft(repaired) ? finding.advice : []) {
            this.#terminal.line(`    Fix: ${advice}`);
        }
    }

    /** The last line. */
    summarize({ records, interrupted, repair, coverage }: Ending): void {
        const { error, warn, info, fixed, failed, fixable } = this.#counts;
        if (this.#json) {
            const summary = {
                records,
                errors: error,
                warnings: warn,
                infos: info,
                fixed,
                failed,
                fixable,
                dryRun: repair === 'dry-run',
                interrupted,
                ...coverage,
            };
            this.#terminal.line(JSON.stringify({ summary }));
            return;
        }
        const parts = SEVERITIES.map((severity) => countText(this.#counts[severity], WORDS[severity]));
        const more = [
            ...(repair === 'done' ? [`${fixed} fixed`] : []),
            ...(failed === 0 ? [] : [`${failed} could not be fixed`]),
            ...(repair !== 'done' && fixable > 0
                ? [
                      `${fixable} can be fixed with --fix-safe${coverage === undefined ? '' : ', without --url'}`,
                  ]
                : []),
        ];
        if (coverage !== undefined) {
            this.#terminal.line(coverageText(coverage));
        }
        const sentence = [`${countText(records, 'record')}: ${parts.join(', ')}`, ...more].join('; ');
        this.#terminal.line(`${sentence}${interrupted ? '; interrupted' : ''}`);
    }
}

function coverageText({ leftOut, partly }: Coverage): string {
    return [
        `left out, as the API does not show it: ${leftOut.join(', ')}`,
        ...(partly.length === 0 ? [] : [`checked in part: ${partly.join(', ')}`]),
    ].join('; ');
}

function resultOf(finding: Finding, repaired: Repaired | undefined, { repair }: Ending): string {
    return repaired?.result ?? (finding.fixable && repair === 'dry-run' ? 'would-fix' : 'found');
}

function documentOf(finding: Finding, repaired: Repaired | undefined, ending: Ending): object {
    const { check, severity, message, uuid, file, image, advice, fixable } = finding;
    return {
        ...(uuid === undefined ? {} : { uuid }),
        ...(file === undefined ? {} : { file }),
        ...image,
        check,
        severity,
        message,
        ...(advice.length === 0 ? {} : { advice }),
        fixable,
        result: resultOf(finding, repaired, ending),
        ...(repaired?.result === 'failed' ? { reason: repaired.reason } : {}),
    };
}

function lineOf(finding: Finding, repaired: Repaired | undefined, ending: Ending): string {
    const { check, severity, message, uuid, file, image } = finding;
    const place = file ?? uuid;
    const name = image === undefined ? '' : ` ${image.name}@${image.version}`;
    const results: Readonly<Record<string, string>> = {
        fixed: ' (fixed)',
        failed: ` (not fixed: ${repaired?.result === 'failed' ? repaired.reason : ''})`,
        'would-fix': ' (would be fixed)',
    };
    const result = results[resultOf(finding, repaired, ending)] ?? '';
    return `${place === undefined ? '' : `${place}${name}: `}${WORDS[severity]}: ${check}: ${message}${result}`;
}
