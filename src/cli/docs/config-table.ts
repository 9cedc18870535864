import { CONFIG_KEYS, type ConfigKey } from '../../base/config-table.js';
import type { Table } from './markdown-table.js';

/** Top-level keys for features that this release does not have: known and checked, without effect. */
export const UNUSED_KEYS: ReadonlySet<string> = new Set([
    'cnapi_service',
    'docker',
    'napi_service',
    'vmapi_service',
]);

const TYPE_NAMES: Readonly<Record<string, string>> = {
    finite: 'number',
    bool: 'boolean',
    '[string]': 'array of strings',
    '[object]': 'array of objects',
};

function typeOf({ type }: ConfigKey): string {
    return type === undefined ? '' : (TYPE_NAMES[type] ?? type);
}

function defaultOf(key: ConfigKey): string {
    if (key.default !== undefined) {
        return `\`${JSON.stringify(key.default)}\``;
    }
    return key.defaultText ?? '';
}

function keys(unused: boolean): readonly ConfigKey[] {
    return CONFIG_KEYS.filter(({ key }) => UNUSED_KEYS.has(key.split('.')[0] ?? '') === unused).sort(
        (a, b) => (a.key < b.key ? -1 : 1),
    );
}

/** Every configuration key that has an effect, in alphabetic order. */
export function configTable(): Table {
    return {
        columns: ['Key', 'Type', 'Default', 'Live', 'Meaning'],
        rows: keys(false).map((key) => [
            `\`${key.key}\``,
            typeOf(key),
            defaultOf(key),
            key.live ? 'yes' : '',
            key.summary,
        ]),
    };
}

/** The other keys. */
export function unusedConfigTable(): Table {
    return {
        columns: ['Key', 'Type', 'Belongs to'],
        rows: keys(true).map((key) => [`\`${key.key}\``, typeOf(key), key.summary]),
    };
}
