import { FINDING_KINDS, isGarbage, type FileFinding } from '../../maintenance/files/finding.js';
import { ageOf } from '../../maintenance/files/garbage-collector.js';
import { EXIT, UsageError, type Invocation, type Subcommand } from './command.js';
import { REPORT_OPTIONS } from './common-options.js';
import { CONFIG_OPTION } from './config-path.js';
import { minAgeOf, MIN_AGE_OPTION } from './files/file-options.js';
import { FindingReport } from './files/finding-report.js';
import { look } from './files/look.js';
import { openFiles, unreadableText } from './files/open-files.js';
import { Interrupt } from './interrupt.js';

/** What is listed whatever cures it: files that are not where they belong. */
const LISTED: ReadonlySet<string> = new Set(['recoverable', 'legacy', 'foreign']);

function isListed(finding: FileFinding, minAgeMs: number): boolean {
    return (isGarbage(finding) || LISTED.has(finding.kind)) && ageOf(finding, Date.now()) >= minAgeMs;
}

async function run(invocation: Invocation): Promise<number> {
    const { parsed, terminal } = invocation;
    if (parsed.positionals.length > 0) {
        throw new UsageError(`too many arguments: ${parsed.positionals.join(' ')}`);
    }
    const minAgeMs = minAgeOf(parsed);
    const interrupt = new Interrupt();
    interrupt.listen({ onFirst: () => undefined, onSecond: () => undefined });
    const files = await openFiles(invocation, 'reading');
    try {
        const report = new FindingReport({ terminal, json: parsed.counts.has('json') });
        const unreadable = files.unreadable();
        const warning = unreadableText(unreadable);
        if (warning !== undefined) {
            terminal.note(`${warning}; of their images nothing is listed`);
        }
        const { records, images } = await look(files, invocation, {
            depth: 'needed',
            signal: interrupt.signal,
            onFinding: (finding) => {
                if (isListed(finding, minAgeMs)) {
                    report.add(finding);
                }
            },
        });
        const interrupted = interrupt.status !== undefined;
        const facts = { records, images, unreadable: unreadable.length, away: [...files.away.keys()] };
        report.summarize({ ...facts, interrupted }, interrupted ? ['interrupted'] : []);
        const isClean = report.findings + unreadable.length + files.away.size === 0;
        return interrupt.status ?? (isClean ? EXIT.clean : EXIT.findings);
    } finally {
        await files.close();
    }
}

const KINDS = Object.entries(FINDING_KINDS)
    .filter(([kind, { cure }]) => cure === 'gc' || LISTED.has(kind))
    .map(
        ([kind, { cure, meaning }]) =>
            `  ${kind.padEnd(12)} ${meaning}${cure === 'none' ? '' : `; see ${cure}`}`,
    );

/** `imgapiadm orphans` (operations 2.3, 2.4). */
export const orphans: Subcommand = {
    name: 'orphans',
    summary: 'List files that no manifest names, and temporary files nobody finished.',
    usage: '[--min-age H] [OPTIONS]',
    description: [
        'Compares all files below images/, and in Manta if that is configured, with the manifests, and lists',
        'those that belong to no image or are not where they belong. Changes nothing; a server may run.',
        '',
        'What is listed:',
        ...KINDS,
    ],
    options: [MIN_AGE_OPTION, ...REPORT_OPTIONS, CONFIG_OPTION],
    examples: ['imgapiadm orphans', 'imgapiadm orphans --min-age 1 --json'],
    run,
};
