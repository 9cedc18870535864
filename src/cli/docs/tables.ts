import { configTable, unusedConfigTable } from './config-table.js';
import { errorsTable } from './errors-table.js';
import { fieldsTable } from './fields-table.js';
import { metricsTable } from './metrics-table.js';
import { optionsTable } from './options-table.js';
import { parametersTable, routesTable } from './routes-tables.js';
import type { Table } from './markdown-table.js';

/** The tables that documentation pages have places for, by the name in their markers. */
export async function documentationTables(): Promise<ReadonlyMap<string, Table>> {
    return new Map([
        ['config', configTable()],
        ['config-unused', unusedConfigTable()],
        ['errors', errorsTable()],
        ['fields', fieldsTable()],
        ['metrics', await metricsTable()],
        ['options', optionsTable()],
        ['parameters', parametersTable()],
        ['routes', routesTable()],
    ]);
}
