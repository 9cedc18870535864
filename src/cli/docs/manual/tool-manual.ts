import { exitStatusesOf, type Subcommand } from '../../imgapiadm/command.js';
import { GLOBAL_OPTIONS, VERSION_OPTION } from '../../imgapiadm/common-options.js';
import { allSubcommands } from '../../imgapiadm/subcommands.js';
import { TOOL } from '../../imgapiadm/tool-command.js';
import type { Table } from '../markdown-table.js';
import { describedBy, headline, optionsBlock, type Block, type Manual } from './manual.js';
import { markdownOf } from './markdown.js';

const SUBCOMMANDS = await allSubcommands();

/** Variables that commands read, beside those that their options name. */
export const TOOL_ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
    ['IMGAPI_CONFIG', 'Configuration file of the server; see --config.'],
    [
        'IMGAPI_DATA',
        'Base directory, whose etc/imgapi.config.json is the configuration file without IMGAPI_CONFIG.',
    ],
    ['IMGAPI_LOG_DIR', 'Directory of rotated logs; see --log-dir.'],
    ['IMGAPI_CLI_URL', 'The server, where --url or the configuration file does not name it.'],
    ['IMGAPI_CLI_USER, IMGAPI_CLI_IDENTITY', 'User and private key to sign with; see --user and --identity.'],
    ['IMGAPI_CLI_AUTH', '"none": the two above are not used; "signature": there must be a user and a key.'],
    ['IMGAPI_CLI_CHANNEL', 'See --channel.'],
    ['IMGAPI_CLI_INSECURE', 'See --insecure; empty, "0" and "false" mean no.'],
];

/** All that is said of one subcommand. */
function subcommandBlocks({
    name,
    usage,
    description,
    options,
    examples,
    exitStatuses,
}: Subcommand): readonly Block[] {
    const statuses = exitStatuses ?? [];
    return [
        { kind: 'subsection', title: name },
        { kind: 'code', lines: [`${TOOL.name} ${name} ${usage}`] },
        ...describedBy(description),
        ...optionsBlock(options),
        ...(statuses.length === 0
            ? []
            : ([
                  { kind: 'text', paragraphs: ['Exit status:'] },
                  { kind: 'list', items: statuses },
              ] as const)),
        { kind: 'text', paragraphs: ['Examples:'] },
        { kind: 'code', lines: examples },
    ];
}

/** `imgapiadm(8)`. */
export function toolManual(): Manual {
    return {
        name: TOOL.name,
        summary: headline(TOOL.summary),
        usage: TOOL.usage,
        sections: [
            { title: 'Description', blocks: describedBy(TOOL.description) },
            { title: 'Options', blocks: optionsBlock([...GLOBAL_OPTIONS, VERSION_OPTION]) },
            { title: 'Subcommands', blocks: SUBCOMMANDS.flatMap(subcommandBlocks) },
            { title: 'Exit status', blocks: [{ kind: 'list', items: exitStatusesOf({}) }] },
            { title: 'Environment', blocks: [{ kind: 'list', items: TOOL_ENVIRONMENT }] },
            { title: 'See also', blocks: [{ kind: 'text', paragraphs: ['imgapi(8)'] }] },
        ],
    };
}

/** The chapter of the manual in Markdown that tells of all subcommands. */
export function subcommandsMarkdown(): string {
    return markdownOf(SUBCOMMANDS.flatMap(subcommandBlocks));
}

/** The list of them. */
export function subcommandsTable(): Table {
    return {
        columns: ['Subcommand', 'What it does'],
        rows: SUBCOMMANDS.map(({ name, summary }) => [`[\`${name}\`](#${name})`, summary]),
    };
}

/** What exit statuses mean. */
export function exitStatusTable(): Table {
    return {
        columns: ['Exit status', 'Meaning'],
        rows: exitStatusesOf({}).map(([status, meaning]) => [status, meaning]),
    };
}

/** What variables mean. */
export function environmentTable(): Table {
    return {
        columns: ['Variable', 'Meaning'],
        rows: TOOL_ENVIRONMENT.map(([names, meaning]) => [
            names
                .split(', ')
                .map((name) => `\`${name}\``)
                .join(', '),
            meaning,
        ]),
    };
}
