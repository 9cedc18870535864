import { invalidImage, missing, type Entry } from '../rows.js';
import type { Refusal } from './model.js';
import { type Fields, refused, type Rules, UUID, type Value } from './model.js';

const TYPES = ['zone-dataset', 'zvol', 'lx-dataset', 'lxd', 'docker', 'other'];
const SYSTEMS = ['smartos', 'linux', 'windows', 'bsd', 'illumos', 'other'];
const STATES = ['active', 'unactivated', 'disabled', 'failed', 'creating'];
export const ZVOL_FIELDS = ['nic_driver', 'disk_driver', 'cpu_type', 'image_size'] as const;

const json = (value: Value): string => JSON.stringify(value);
const isPlainObject = (value: Value): value is Fields =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
const wrong = (field: string, message?: string): Entry[] => [
    message === undefined ? [field, 'Invalid'] : [field, 'Invalid', message],
];

/** A boolean as given or as text; else `undefined`. */
export function asBoolean(value: Value): boolean | undefined {
    if (value === true || value === 'true') return true;
    return value === false || value === 'false' ? false : undefined;
}

type Rule = (value: Value, all: Fields, rules: Rules) => Entry[];

function textRule(field: string, limit: number, pattern: RegExp, allowed: string): Rule {
    const invalid = `image ${field} has invalid characters (only alpha-numeric characters and ${allowed} are allowed)`;
    return (value) => {
        if (typeof value === 'string' && value.length > limit) {
            return wrong(field, `image ${field} is too long, max ${limit} characters`);
        }
        return typeof value === 'string' && pattern.test(value) ? [] : wrong(field, invalid);
    };
}

function urlRule(field: string, name: string): Rule {
    return (value) => {
        if (typeof value !== 'string' || !/^https?:/.test(value)) {
            return wrong(field, `invalid image ${name} URL protocol`);
        }
        return value.length > 1024 ? wrong(field, `image ${name} URL is too long (max 1024 characters)`) : [];
    };
}

function uuidRule(field: string): Rule {
    return (value) => (typeof value === 'string' && UUID.test(value) ? [] : wrong(field));
}

function choiceRule(field: string, choices: readonly string[]): Rule {
    return (value) =>
        choices.includes(String(value))
            ? []
            : wrong(
                  field,
                  `invalid image ${field}, "${String(value)}", must be one of: ${choices.join(', ')}`,
              );
}

const publicRule: Rule = (value, _all, { mode }) => {
    const given = asBoolean(value);
    if (given === undefined) return wrong('public', `invalid value for "public": ${json(value)}`);
    return given && mode === 'private'
        ? wrong('public', 'public images are not allowed on a private Images API')
        : [];
};

function driverRule(field: string): Rule {
    const gap = field === 'disk_driver' ? '  ' : ' ';
    return (value, { type }) =>
        Boolean(value) && type !== 'zvol'
            ? wrong(
                  field,
                  `invalid image ${field}: "${String(value)}" (cannot have a value${gap}when image type is zvol)`,
              )
            : field === 'image_size' && Number(value) % 1 !== 0
              ? wrong(field, `invalid image image_size: "${String(value)}" (must be a positive integer)`)
              : [];
}

const aclRule: Rule = (value) => {
    if (!Array.isArray(value)) {
        return wrong('acl', `invalid image "acl" (not an array): ${String(value)}`);
    }
    const index = value.findIndex((item) => !UUID.test(String(item)));
    return index === -1
        ? []
        : wrong('acl', `invalid image "acl" (item ${index} is not a UUID): ${String(value[index])}`);
};

const requirementsRule: Rule = (value) => {
    if (!isPlainObject(value)) {
        return wrong('requirements', `invalid image "requirements" (not an object): ${json(value)}`);
    }
    const { brand, min_ram, max_ram, ...others } = value;
    const [low, high] = [min_ram, max_ram] as (number | undefined)[];
    return [
        ...(brand !== undefined && typeof brand !== 'string'
            ? wrong('requirements.brand', `invalid image "requirements.brand" (not a string): ${json(brand)}`)
            : []),
        ...(low !== undefined && high !== undefined && high < low
            ? wrong('requirements.max_ram', `min_ram must be <= max_ram, but:min_ram=${low}, max_ram=${high}`)
            : []),
        ...Object.keys(others).flatMap((key) => wrong(key, `unsupported requirement "${key}"`)),
    ];
};

function entriesRule(field: string, isGood: (entry: Value) => boolean, text: (entry: Value) => string): Rule {
    return (value) =>
        Array.isArray(value)
            ? value.filter((entry) => !isGood(entry)).flatMap((entry) => wrong(field, text(entry)))
            : wrong(field, `invalid image "${field}" (not an array): ${json(value)}`);
}

const traitsRule: Rule = (value) =>
    isPlainObject(value)
        ? Object.entries(value)
              .filter(([, one]) => typeof one === 'number' || one === null || isPlainObject(one))
              .flatMap(([key, one]) =>
                  wrong('traits', `invalid image "traits" entry: (${key}, ${json(one)})`),
              )
        : wrong('traits', `invalid image "traits" (not an object): ${json(value)}`);

const tagsRule: Rule = (value) => {
    if (!isPlainObject(value)) return wrong('tags', `invalid image "tags" (not an object): ${json(value)}`);
    const { length } = json(value);
    return length > 102_400
        ? wrong('tags', `image "tags" object is too big: ${length} characters (max 102400)`)
        : [];
};

const directoriesRule: Rule = (value, { type }) =>
    type === 'zone-dataset'
        ? entriesRule(
              'inherited_directories',
              (entry) => typeof entry === 'string',
              (entry) => `invalid image "inherited_directories" entry: ${json(entry)}`,
          )(value, {}, { mode: 'dc' })
        : wrong(
              'inherited_directories',
              `invalid image "inherited_directories" (only valid for a type:zone-dataset image): ${json(value)}`,
          );

const channelsRule: Rule = (value, _all, { channels }) => {
    if (channels === undefined) {
        return wrong('channels', 'channels is invalid with an IMGAPI not configured for channels');
    }
    return entriesRule(
        'channels',
        (entry) => typeof entry === 'string',
        (entry) => `invalid image "channels" entry: ${json(entry)}`,
    )(value, {}, { mode: 'dc' });
};

const DATE_FORMAT = 'published_at date not in "YYYY-MM-DDTHH:MM:SS(.SSS)Z" format';

/** Rules by field, in the order their complaints appear (manifest 3.2, 3.3). */
const RULES: readonly (readonly [field: string, rule: Rule])[] = [
    ['v', () => []],
    ['uuid', uuidRule('uuid')],
    ['owner', uuidRule('owner')],
    ['name', textRule('name', 1024, /^[A-Za-z0-9._/ -]+$/, '" ", ".", "-", "_" and "/"')],
    ['version', textRule('version', 512, /^[A-Za-z0-9._/+-]+$/, '".", "-", "_" and "/"')],
    ['disabled', (value) => (asBoolean(value) === undefined ? wrong('disabled') : [])],
    [
        'published_at',
        (value) =>
            /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?Z$/.test(String(value))
                ? []
                : wrong('published_at', DATE_FORMAT),
    ],
    ['public', publicRule],
    ['state', (value) => (STATES.includes(String(value)) ? [] : wrong('state'))],
    ['type', choiceRule('type', TYPES)],
    ['os', choiceRule('os', SYSTEMS)],
    ...ZVOL_FIELDS.map((field): [string, Rule] => [field, driverRule(field)]),
    ['channels', channelsRule],
    [
        'description',
        (value) =>
            String(value).length > 10_240
                ? wrong('description', 'image description is too long, max 10240 characters')
                : [],
    ],
    ['homepage', urlRule('homepage', 'homepage')],
    ['eula', urlRule('eula', 'EULA')],
    ['origin', uuidRule('origin')],
    [
        'error',
        (value) =>
            typeof value === 'object'
                ? []
                : wrong('error', `invalid image "error" (not an object): ${json(value)}`),
    ],
    ['acl', aclRule],
    ['requirements', requirementsRule],
    [
        'users',
        entriesRule(
            'users',
            (entry) => isPlainObject(entry) && Object.keys(entry).join() === 'name',
            (entry) => `invalid image "users" entry: ${json(entry)}`,
        ),
    ],
    [
        'billing_tags',
        entriesRule(
            'billing_tags',
            (entry) => typeof entry === 'string' && entry.length <= 128,
            (entry) => `invalid image "billing_tags" entry : ${String(entry)}`,
        ),
    ],
    ['traits', traitsRule],
    ['tags', tagsRule],
    [
        'generate_passwords',
        (value) =>
            asBoolean(value) === undefined
                ? wrong(
                      'generate_passwords',
                      `invalid image "generate_passwords" (not an accepted boolean value): ${json(value)}`,
                  )
                : [],
    ],
    ['inherited_directories', directoriesRule],
];

const ALWAYS = ['v', 'uuid', 'name', 'version', 'type', 'os'];
/** Needed unless the image is a placeholder of a datacenter. */
const USUALLY = ['owner', 'disabled', 'public', 'state'];

function isRequired(field: string, fields: Fields, rules: Rules): boolean {
    if (ALWAYS.includes(field)) return true;
    if (rules.mode === 'dc' && fields['state'] === 'creating') return false;
    if (USUALLY.includes(field)) return true;
    if ((ZVOL_FIELDS as readonly string[]).includes(field)) return fields['type'] === 'zvol';
    return field === 'channels' && rules.channels !== undefined;
}

/** Booleans and numbers that were given as text, lists that were given as their only entry (manifest 9). */
function normalised(fields: Fields): Fields {
    const changes = Object.entries(fields).flatMap(([key, value]): [string, Value][] => {
        if (['public', 'disabled', 'generate_passwords'].includes(key))
            return [[key, asBoolean(value) ?? value]];
        if (key === 'image_size' && typeof value === 'string') return [[key, Number(value)]];
        return ['acl', 'billing_tags'].includes(key) && typeof value === 'string' ? [[key, [value]]] : [];
    });
    return { ...fields, acl: fields['acl'] ?? [], ...Object.fromEntries(changes) };
}

/** Checks the fields of an image as they would be stored and gives them in their proper form (manifest 3). */
export function validated(fields: Fields, rules: Rules): Fields | Refusal {
    const proper = normalised(fields);
    // Where channels are required they have their place among the required fields, elsewhere the last one.
    const last = rules.channels === undefined ? ['channels'] : [];
    const ordered = [...RULES].sort(([a], [b]) => Number(last.includes(a)) - Number(last.includes(b)));
    const entries = ordered.flatMap(([field, rule]): Entry[] => {
        const value = proper[field];
        if (value !== undefined) return rule(value, proper, rules);
        return isRequired(field, proper, rules) ? [missing(field)] : [];
    });
    return entries.length === 0 ? proper : refused(invalidImage(...entries));
}
