import { ERROR_CATALOGUE, type ErrorFacts } from '../../base/error-catalogue.js';
import type { Table } from './markdown-table.js';

/** Every error a client can get, in the order of the catalogue. */
export function errorsTable(): Table {
    const entries = Object.entries(ERROR_CATALOGUE) as [string, ErrorFacts][];
    return {
        columns: ['Code', 'Status', 'Meaning', 'Message'],
        rows: entries.map(([code, { status, summary, message }]) => [
            `\`${code}\``,
            String(status),
            summary,
            message === undefined ? '' : `\`${message}\``,
        ]),
    };
}
