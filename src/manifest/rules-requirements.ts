import { isObject, json, text } from './coerce.js';
import type { EntryList } from './entry-list.js';
import { BOOT_ROMS } from './limits.js';
import type { Rule } from './rule.js';
import { isBootRom, isInteger, isNetwork } from './shapes.js';

type Requirements = Readonly<Record<string, unknown>>;
type Part = (requirements: Requirements, list: EntryList) => void;

function addWrong(list: EntryList, name: string, need: string, value: unknown): void {
    list.invalid(`requirements.${name}`, `invalid image "requirements.${name}" (${need}): ${json(value)}`);
}

const checkNetworks: Part = ({ networks }, list) => {
    if (!Array.isArray(networks)) {
        addWrong(list, 'networks', 'not an array', networks);
        return;
    }
    for (const network of networks as readonly unknown[]) {
        if (!isNetwork(network)) {
            list.invalid(
                'requirements.networks',
                `invalid image "requirements.networks" entry: ${json(network)}`,
            );
            if (list.isFull) {
                return;
            }
        }
    }
};

const checkBrand: Part = ({ brand }, list) => {
    if (typeof brand !== 'string') {
        addWrong(list, 'brand', 'not a string', brand);
    }
};

const checkSshKey: Part = ({ ssh_key: sshKey }, list) => {
    if (typeof sshKey !== 'boolean') {
        addWrong(list, 'ssh_key', 'not a boolean', sshKey);
    }
};

const checkMinRam: Part = ({ min_ram: minRam }, list) => {
    if (!isInteger(minRam)) {
        addWrong(list, 'min_ram', 'not a positive integer', minRam);
    }
};

const checkMaxRam: Part = ({ min_ram: minRam, max_ram: maxRam }, list) => {
    if (!isInteger(maxRam)) {
        addWrong(list, 'max_ram', 'not a positive integer', maxRam);
    } else if (Boolean(minRam) && isInteger(minRam) && (maxRam as number) < (minRam as number)) {
        list.invalid(
            'requirements.max_ram',
            `min_ram must be <= max_ram, but:min_ram=${text(minRam)}, max_ram=${text(maxRam)}`,
        );
    }
};

const FIRST_PLATFORM_YEAR = 2012;

/**
 * Whether `value` looks like a platform version `YYYYMMDDTHHMMSSZ`. Comparisons with NaN are false, so
 * characters that are not digits pass; that must stay (manifest 3.4).
 */
function isPlatform(value: unknown): boolean {
    if (typeof value !== 'string' || value.length !== 16 || value[8] !== 'T' || value[15] !== 'Z') {
        return false;
    }
    const part = (from: number, to: number): number => Number(value.slice(from, to));
    const isBadDatePart = (number: number, most: number): boolean => number > most || number === 0;
    return !(
        part(0, 4) < FIRST_PLATFORM_YEAR ||
        isBadDatePart(part(4, 6), 12) ||
        isBadDatePart(part(6, 8), 31) ||
        part(9, 11) > 23 ||
        part(11, 13) > 59 ||
        part(13, 15) > 59
    );
}

function checkPlatform(name: 'min_platform' | 'max_platform'): Part {
    return (requirements, list) => {
        const platforms = requirements[name];
        if (typeof platforms !== 'object' || platforms === null || Object.keys(platforms).length === 0) {
            addWrong(list, name, 'not an object', platforms);
            return;
        }
        for (const [key, value] of Object.entries(platforms as Requirements)) {
            if (!isPlatform(value)) {
                list.invalid(
                    `requirements.${name}`,
                    `invalid image "requirements.${name}" entry: "${key}: ${text(value)}" not a valid platform version`,
                );
                if (list.isFull) {
                    return;
                }
            }
        }
    };
}

const checkBootrom: Part = ({ brand, bootrom }, list) => {
    const field = 'requirements.bootrom';
    if (!brand) {
        list.missing(
            field,
            '"requirements.brand" not specified. "requirements.bootrom" requires "requirements.brand" to be set to "bhyve"',
        );
    } else if (brand !== 'bhyve') {
        list.invalid(
            field,
            `invalid bootrom "${field}" not supported with "${text(brand)}" brand; "requirements.brand" must be "bhyve"`,
        );
    } else if (!isBootRom(bootrom)) {
        const accepted = BOOT_ROMS.join(', ');
        list.invalid(
            field,
            `invalid bootrom "${field}" invalid entry "${text(bootrom)}"; must be one of: ${accepted}`,
        );
    }
};

/** The sub-fields in the order they are checked (manifest 3.4). */
const PARTS: ReadonlyMap<string, Part> = new Map([
    ['networks', checkNetworks],
    ['brand', checkBrand],
    ['ssh_key', checkSshKey],
    ['min_ram', checkMinRam],
    ['max_ram', checkMaxRam],
    ['min_platform', checkPlatform('min_platform')],
    ['max_platform', checkPlatform('max_platform')],
    ['bootrom', checkBootrom],
]);

/** What stored records may hold although clients may no longer send it (manifest 3.4). */
function passesUnchecked(requirements: unknown): boolean {
    return (
        Array.isArray(requirements) ||
        typeof requirements === 'number' ||
        typeof requirements === 'boolean' ||
        requirements === ''
    );
}

/** Rule of `requirements`: falsy sub-values are skipped, unknown keys refused under their bare name. */
export const checkRequirements: Rule = ({ requirements }, list, { leniency }) => {
    if (requirements === undefined) {
        list.missing('requirements');
        return;
    }
    if (!isObject(requirements)) {
        if (leniency === 'strict' || !passesUnchecked(requirements)) {
            list.invalid(
                'requirements',
                `invalid image "requirements" (not an object): ${json(requirements)}`,
            );
        }
        return;
    }
    for (const [name, check] of PARTS) {
        if (Object.hasOwn(requirements, name) && Boolean(requirements[name])) {
            check(requirements, list);
        }
    }
    for (const key of Object.keys(requirements)) {
        if (!PARTS.has(key) && !list.isFull) {
            list.invalid(key, `unsupported requirement "${key}"`);
        }
    }
};
