import { text, toNumber } from './coerce.js';
import type { FieldName } from './fields.js';
import type { Rule } from './rule.js';

/**
 * Common part of the rules of zvol fields: they must be there for type `zvol` and be empty for any
 * other (the message says the opposite and is kept, manifest 3.3).
 */
function zvolRule(
    field: FieldName,
    isGood: (value: unknown) => boolean,
    need: string,
    condition = 'cannot have a value when image type is zvol',
): Rule {
    return (manifest, list) => {
        const value = manifest[field];
        const isZvol = manifest.type === 'zvol';
        if (value === undefined) {
            if (isZvol) {
                list.missing(field);
            }
        } else if (Boolean(value) && !isZvol) {
            list.invalid(field, `invalid image ${field}: "${text(value)}" (${condition})`);
        } else if (!isGood(value)) {
            list.invalid(field, `invalid image ${field}: "${text(value)}" (${need})`);
        }
    };
}

const isText = (value: unknown): boolean => typeof value === 'string';

export const checkNicDriver = zvolRule('nic_driver', isText, 'must be a string');
/** Its message has two spaces (manifest 3.3). */
export const checkDiskDriver = zvolRule(
    'disk_driver',
    isText,
    'must be a string',
    'cannot have a value  when image type is zvol',
);
export const checkCpuType = zvolRule('cpu_type', isText, 'must be a string');
/** Any integer passes, in whatever form; 0 and negative ones too. */
export const checkImageSize = zvolRule(
    'image_size',
    (value) => toNumber(value) % 1 === 0,
    'must be a positive integer',
);
