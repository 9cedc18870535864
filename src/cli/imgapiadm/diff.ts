import type { JsonValue } from '../../manifest/types.js';
import { EXIT, UsageError, type Invocation, type Subcommand } from './command.js';
import { JSON_OPTION } from './common-options.js';
import { differences, type ComparableManifest, type FieldDifference } from './diffing/manifest-form.js';
import { manifestSource, type ManifestSource } from './diffing/sources.js';
import { Interrupt } from './interrupt.js';
import { countText } from '../../base/quantities.js';
import { SERVER_ACCESS_OPTIONS } from './server-access.js';
import type { Terminal } from './terminal.js';

function textOf(value: JsonValue): string {
    return typeof value === 'string' ? value : JSON.stringify(value);
}

/** How often what was found. */
interface Counts {
    same: number;
    differs: number;
    onlyA: number;
    onlyB: number;
    unreadable: number;
}

/** Tells differences, an image each, as they are found. */
class DiffReport {
    readonly counts: Counts = { same: 0, differs: 0, onlyA: 0, onlyB: 0, unreadable: 0 };
    readonly #terminal: Terminal;
    readonly #json: boolean;

    constructor(terminal: Terminal, json: boolean) {
        this.#terminal = terminal;
        this.#json = json;
    }

    only(side: 'a' | 'b', manifest: ComparableManifest): void {
        this.counts[side === 'a' ? 'onlyA' : 'onlyB'] += 1;
        this.#tell(side === 'a' ? '-' : '+', `only-${side}`, manifest);
    }

    both(manifest: ComparableManifest, fields: ReadonlyMap<string, FieldDifference>): void {
        if (fields.size === 0) {
            this.counts.same += 1;
            return;
        }
        this.counts.differs += 1;
        this.#tell('~', 'differs', manifest, fields);
    }

    unreadable(side: 'a' | 'b', what: string): void {
        this.counts.unreadable += 1;
        this.#terminal.line(
            this.#json
                ? JSON.stringify({ result: 'unreadable', side, what })
                : `! ${what}: no manifest, or damaged`,
        );
    }

    summarize(interrupted: boolean): void {
        const { counts } = this;
        if (this.#json) {
            this.#terminal.line(JSON.stringify({ summary: { ...counts, interrupted } }));
            return;
        }
        const { same, differs, onlyA, onlyB, unreadable } = counts;
        const parts = [
            `${countText(same, 'image')} the same`,
            `${differs} different`,
            `${onlyA} only in the first`,
            `${onlyB} only in the second`,
            ...(unreadable === 0 ? [] : [`${unreadable} unreadable`]),
        ];
        this.#terminal.line(`${parts.join(', ')}${interrupted ? '; interrupted' : ''}`);
    }

    #tell(
        mark: string,
        result: string,
        { uuid, document }: ComparableManifest,
        fields: ReadonlyMap<string, FieldDifference> = new Map(),
    ): void {
        const [name = null, version = null] = [document['name'], document['version']];
        if (this.#json) {
            const differing = fields.size === 0 ? {} : { fields: Object.fromEntries(fields) };
            this.#terminal.line(JSON.stringify({ uuid, name, version, result, ...differing }));
            return;
        }
        this.#terminal.line(`${mark} ${uuid} ${textOf(name)}@${textOf(version)}`);
        for (const [field, { a, b }] of fields) {
            this.#terminal.line(
                `    ${field}: ${JSON.stringify(a) ?? '(none)'} -> ${JSON.stringify(b) ?? '(none)'}`,
            );
        }
    }
}

/** Compares two sides; of the first, all manifests are held in memory. */
async function compare(
    a: ManifestSource,
    b: ManifestSource,
    ignored: ReadonlySet<string>,
    report: DiffReport,
): Promise<void> {
    const left = new Map<string, ComparableManifest>();
    for await (const one of a) {
        if ('unreadable' in one) {
            report.unreadable('a', one.unreadable);
        } else {
            left.set(one.uuid, one);
        }
    }
    for await (const one of b) {
        if ('unreadable' in one) {
            report.unreadable('b', one.unreadable);
            continue;
        }
        const other = left.get(one.uuid);
        if (other === undefined) {
            report.only('b', one);
        } else {
            left.delete(one.uuid);
            report.both(one, differences(other, one, ignored));
        }
    }
    left.forEach((one) => report.only('a', one));
}

async function start(invocation: Invocation): Promise<number> {
    const { parsed, terminal } = invocation;
    const [a, b, ...more] = parsed.positionals;
    if (a === undefined || b === undefined || more.length > 0) {
        throw new UsageError('give two sources to compare');
    }
    const interrupt = new Interrupt();
    const { signal } = interrupt;
    const report = new DiffReport(terminal, parsed.counts.has('json'));
    const sides = [
        await manifestSource(a, invocation, signal),
        await manifestSource(b, invocation, signal),
    ] as const;
    interrupt.listen({ onFirst: () => undefined, onSecond: () => undefined });
    try {
        await compare(...sides, new Set(parsed.lists.get('ignore')), report);
    } catch (error) {
        if (!signal.aborted) {
            throw error;
        }
    }
    report.summarize(signal.aborted);
    const { differs, onlyA, onlyB, unreadable } = report.counts;
    return interrupt.status ?? (differs + onlyA + onlyB + unreadable > 0 ? EXIT.findings : EXIT.clean);
}

/** `imgapiadm diff` (operations 3.3). */
export const diffCommand: Subcommand = {
    name: 'diff',
    summary: 'Compare the manifests of two places.',
    usage: '[OPTIONS] A B',
    description: [
        'Compares all manifests of A with those of B. Each of them is one of:',
        '',
        '  URL             a server, e.g. https://images.example.com?channel=dev: its images in any state',
        '  DIR             a base directory with etc/imgapi.config.json: its database, local or Moray; or',
        '                  one with .raw files, e.g. of "imgapiadm export-manifests", or with manifests/',
        '  FILE.json       a configuration file: its database',
        '  FILE            JSON lines, a record or manifest each, or a row with it as its "value"',
        '',
        'Prints "-" for images that only A has, "+" for those that only B has, and "~" with each field for',
        'those that differ. Compared is what a server shows of an image. Fields that a server may not show',
        'to everybody, "acl", "channels" and where files are stored, count only where both sides have them.',
        'Order in "acl" and "billing_tags", and empty lists, are no differences. Files are not read.',
    ],
    options: [
        { name: 'ignore', argument: 'FIELD', help: ['Do not compare this field; may be repeated.'] },
        JSON_OPTION,
        ...SERVER_ACCESS_OPTIONS.filter(({ name }) => name !== 'url' && name !== 'config'),
    ],
    examples: [
        'imgapiadm diff /data/imgapi https://images.example.com',
        'imgapiadm diff --ignore channels --json before.jsonl after.jsonl',
    ],
    exitStatuses: [
        ['0', 'no differences'],
        ['1', 'there are differences, or manifests that cannot be read'],
    ],
    run: start,
};
