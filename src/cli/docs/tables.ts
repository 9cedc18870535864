import { configTable, unusedConfigTable } from './config-table.js';
import { errorsTable } from './errors-table.js';
import { fieldsTable } from './fields-table.js';
import { scriptsTable } from './manual/script-manual.js';
import {
    environmentTable,
    exitStatusTable,
    subcommandsMarkdown,
    subcommandsTable,
} from './manual/tool-manual.js';
import { metricsTable } from './metrics-table.js';
import { optionsTable } from './options-table.js';
import { parametersTable, routesTable } from './routes-tables.js';
import type { Filling } from './markdown-table.js';

/** The tables that documentation pages have places for, by the name in their markers. */
export async function documentationTables(): Promise<ReadonlyMap<string, Filling>> {
    return new Map<string, Filling>([
        ['config', configTable()],
        ['config-unused', unusedConfigTable()],
        ['errors', errorsTable()],
        ['fields', fieldsTable()],
        ['imgapiadm', subcommandsTable()],
        ['imgapiadm-environment', environmentTable()],
        ['imgapiadm-reference', { markdown: subcommandsMarkdown() }],
        ['imgapiadm-status', exitStatusTable()],
        ['metrics', await metricsTable()],
        ['options', optionsTable()],
        ['parameters', parametersTable()],
        ['routes', routesTable()],
        ['scripts', scriptsTable()],
    ]);
}
