import type { CommandOption, ParsedOptions } from '../../options.js';
import { UsageError } from '../command.js';

const HOUR_MS = 3_600_000;
const DEFAULT_HOURS = 24;
const MAX_HOURS = 87_600;

export const MIN_AGE_OPTION: CommandOption = {
    name: 'min-age',
    argument: 'H',
    help: [`Leave alone what has changed in the last H hours; default: ${DEFAULT_HOURS}.`],
};

/** Reads {@link MIN_AGE_OPTION}, milliseconds. @throws UsageError */
export function minAgeOf({ values }: Pick<ParsedOptions, 'values'>): number {
    const given = values.get(MIN_AGE_OPTION.name);
    const hours =
        given === undefined ? DEFAULT_HOURS : /^\d{1,6}(\.\d{1,3})?$/.test(given) ? Number(given) : NaN;
    if (!(hours <= MAX_HOURS)) {
        throw new UsageError(`--min-age must be 0..${MAX_HOURS} hours: "${given}"`);
    }
    return hours * HOUR_MS;
}
