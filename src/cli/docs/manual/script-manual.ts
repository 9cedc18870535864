import { SCRIPTS } from '../../scripts/all-scripts.js';
import { SCRIPT_HELP_OPTION, type ScriptDefinition } from '../../scripts/script.js';
import type { Table } from '../markdown-table.js';
import { describedBy, headline, optionsBlock, type Manual } from './manual.js';
import { plain } from './markdown.js';

const ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
    ['IMGAPI_CONFIG', 'Configuration file of the server.'],
    ['IMGAPI_DATA', 'Base directory of the server.'],
    ['IMGAPI_PREFIX', 'Where the code is installed.'],
    ['TRACE', 'Not empty: tell on stderr what is going on, and where an error comes from.'],
];

/** The page of one script. */
export function scriptManual(script: ScriptDefinition): Manual {
    const { name, summary, usage, description, options, exitStatuses, examples } = script;
    return {
        name,
        summary: headline(summary),
        usage,
        sections: [
            { title: 'Description', blocks: describedBy(description) },
            { title: 'Options', blocks: optionsBlock([SCRIPT_HELP_OPTION, ...options]) },
            { title: 'Exit status', blocks: [{ kind: 'list', items: exitStatuses }] },
            { title: 'Environment', blocks: [{ kind: 'list', items: ENVIRONMENT }] },
            ...(examples.length === 0
                ? []
                : [{ title: 'Examples', blocks: [{ kind: 'code', lines: examples } as const] }]),
            { title: 'See also', blocks: [{ kind: 'text', paragraphs: ['imgapi(8), imgapiadm(8)'] }] },
        ],
    };
}

/** The list of scripts. */
export function scriptsTable(): Table {
    return {
        columns: ['Script', 'What it does'],
        rows: SCRIPTS.map(({ name, summary }) => [`\`${name}\``, plain(summary)]),
    };
}
