import { SERVER_OPTIONS } from '../server-options.js';
import type { Table } from './markdown-table.js';

/** The server's command line. */
export function optionsTable(): Table {
    return {
        columns: ['Option', 'Meaning'],
        rows: SERVER_OPTIONS.map(({ name, short, argument, help }) => [
            [...(short === undefined ? [] : [`-${short}`]), `--${name}`]
                .map((form) => `\`${argument === undefined ? form : `${form} ${argument}`}\``)
                .join(', '),
            help.join(' '),
        ]),
    };
}
