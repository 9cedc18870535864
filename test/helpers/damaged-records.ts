import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { entry, OWNER } from './golden-forms.js';
import { imageDirectory, gzipFile } from './images.js';

type Json = Readonly<Record<string, unknown>>;

/** Files that records of damaged images name. */
export const BYTES = gzipFile('damaged');
/** When the file of an image was last changed. */
export const FILE_TIME = '2021-03-04T05:06:07.000Z';

/** Something wrong in a data directory, and what `fsck` should make of it. */
export interface Damage {
    readonly name: string;
    readonly uuid: string;
    /** The record; text: what is in its file; absent: there is none. */
    readonly record?: Json | string;
    /** Name of its file; default: `<uuid>.raw`. */
    readonly file?: string;
    /** Findings: name of the check and severity, in this order. */
    readonly findings: readonly (readonly [check: string, severity: string, message?: RegExp])[];
    /** The record after `--fix-safe`; `gone`: deleted; absent: as before. */
    readonly fixed?: Json | 'gone';
    /** Its manifest in the archive. */
    readonly archived?: Json;
    /** Findings that `--fix-safe` leaves, where it repairs others. */
    readonly left?: readonly string[];
}

export const damagedUuid = (n: number): string => `bad00000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** A record without a fault, but for what is put in its place. */
export function goodRecord(n: number, changes: Json = {}): Json {
    const record = {
        v: 2,
        owner: OWNER,
        name: `image-${n}`,
        version: '1.0.0',
        type: 'zone-dataset',
        os: 'smartos',
        public: false,
        disabled: false,
        activated: true,
        state: 'active',
        acl: [],
        uuid: damagedUuid(n),
        published_at: '2020-01-01T00:00:00.000Z',
        files: [{ ...entry(BYTES, 'gzip'), mtime: '2020-01-01T00:00:01.000Z' }],
        ...changes,
    };
    // Keys given as undefined are left out, as they are in JSON.
    return JSON.parse(JSON.stringify(record)) as Json;
}

const file = entry(BYTES, 'gzip');
const withoutKey = (key: string): Json => Object.fromEntries(Object.entries(file).filter(([k]) => k !== key));

/** A damaged record: one that is good but for some changes. */
function damage(
    n: number,
    name: string,
    changes: Json,
    findings: Damage['findings'],
    more: Partial<Damage> = {},
): Damage {
    return { name, uuid: damagedUuid(n), record: goodRecord(n, changes), findings, ...more };
}

const EXPIRED = {
    state: 'creating',
    activated: false,
    type: 'null',
    os: 'null',
    published_at: undefined,
    files: undefined,
    expires_at: '2020-02-02T00:00:00.000Z',
};
const MISSING = '00000000-dead-4000-8000-000000000000';
const ARCHIVED = {
    v: 2,
    uuid: damagedUuid(6),
    owner: OWNER,
    name: 'image-6',
    version: '1.0.0',
    state: 'active',
    disabled: false,
    public: false,
    published_at: '2020-01-01T00:00:00.000Z',
    type: 'zone-dataset',
    os: 'smartos',
    files: [{ sha1: file['sha1'], size: file['size'], compression: 'gzip' }],
    description: 'archived',
};
const CUT = JSON.stringify(goodRecord(2), null, 2).slice(0, -40);

/** Each row of operations 2.5 that does not depend on channels, accounts or the mode of the server. */
export const DAMAGES: readonly Damage[] = [
    damage(1, 'nothing is wrong', {}, []),
    { name: 'cut short', uuid: damagedUuid(2), record: CUT, findings: [['unparsable', 'error', /bad JSON/]] },
    { name: 'empty', uuid: damagedUuid(3), record: '', findings: [['unparsable', 'error', /empty/]] },
    { name: 'no object', uuid: damagedUuid(4), record: 'null', findings: [['unparsable', 'error']] },
    {
        name: 'cut short, and archived',
        uuid: damagedUuid(6),
        record: CUT,
        archived: ARCHIVED,
        findings: [['unparsable', 'error', /bad JSON/]],
        fixed: { ...goodRecord(6, { files: [{ ...file, mtime: FILE_TIME }] }), description: 'archived' },
    },
    damage(5, 'another uuid', { uuid: damagedUuid(99) }, [['uuid', 'error', new RegExp(damagedUuid(99))]]),
    {
        name: 'a foreign file',
        uuid: '',
        file: 'notes.txt',
        record: 'do not touch',
        findings: [['foreign', 'warn']],
    },
    {
        name: 'a copy by hand',
        uuid: '',
        file: `old-${damagedUuid(1)}.raw`,
        record: JSON.stringify(goodRecord(1)),
        findings: [['foreign', 'warn']],
    },
    {
        name: 'an unfinished write',
        uuid: '',
        file: `${damagedUuid(1)}.raw.0123456789abcdef.tmp`,
        record: '{"v":',
        findings: [['unfinished', 'info']],
        fixed: 'gone',
    },
    damage(10, 'broken rules', { name: 'a\u0007b', homepage: 'gopher://x' }, [
        ['invalid', 'error', /^name: Invalid: /],
        ['invalid', 'error', /^homepage: Invalid: /],
    ]),
    damage(11, 'a state of its own', { state: 'unactivated' }, [['state', 'error', /"active"/]], {
        fixed: { state: 'active' },
    }),
    damage(12, 'disabled in secret', { disabled: true }, [['state', 'error', /"disabled"/]], {
        fixed: { state: 'disabled' },
    }),
    damage(
        13,
        'activated in secret',
        { activated: false, published_at: undefined },
        [['state', 'error', /"unactivated"/]],
        { fixed: { state: 'unactivated' } },
    ),
    damage(14, 'active, but a placeholder', { state: 'creating' }, [['state', 'error']]),
    damage(15, 'active without files', { files: undefined }, [['no-files', 'error']]),
    ...(['sha1', 'size', 'compression', 'stor'] as const).map((key, index) =>
        damage(16 + index, `a file without ${key}`, { files: [withoutKey(key)] }, [
            ['file-entry', 'error', new RegExp(`"${key}"`)],
        ]),
    ),
    damage(20, 'an unknown storage', { files: [{ ...file, stor: 's3' }] }, [['file-entry', 'error', /"s3"/]]),
    damage(21, 'Manta, which is not there', { files: [{ ...file, stor: 'manta' }] }, [
        ['file-entry', 'error', /"manta"/],
    ]),
    damage(22, 'no date', { published_at: undefined }, [['published-at', 'warn']], {
        fixed: { published_at: '2020-01-01T00:00:01.000Z' },
    }),
    damage(
        23,
        'no date, nor one of the file',
        { published_at: undefined, files: [withoutKey('mtime')] },
        [['published-at', 'warn']],
        { fixed: { published_at: FILE_TIME } },
    ),
    damage(24, 'other search strings', { tags: ['a=b'], tagsObj: { a: 'c', n: 1 } }, [['tags', 'warn']], {
        fixed: { tags: ['a=c', 'n=1'] },
    }),
    damage(25, 'search strings only', { tags: ['a=b'] }, [['tags', 'warn']], {
        fixed: { tags: ['a=b'], tagsObj: { a: 'b' } },
    }),
    damage(26, 'one account as text', { acl: OWNER }, [['old-form', 'info', /acl/]], {
        fixed: { acl: [OWNER] },
    }),
    damage(27, 'one billing tag as text', { billing_tags: 'x' }, [['old-form', 'info', /billing_tags/]], {
        fixed: { billing_tags: ['x'] },
    }),
    damage(
        28,
        'booleans as texts',
        { public: 'false', disabled: 'false', activated: 'true' },
        [['old-form', 'info', /public, disabled, activated/]],
        { fixed: { public: false, disabled: false, activated: true } },
    ),
    damage(30, 'no origin', { origin: MISSING }, [['origin', 'error', /is missing/]]),
    damage(31, 'unfinished', { activated: false, state: 'unactivated', published_at: undefined }, []),
    damage(32, 'based on it', { origin: damagedUuid(31) }, [['origin', 'error', /not active/]]),
    damage(33, 'round and', { origin: damagedUuid(34) }, [['origin', 'error', /circle/]]),
    damage(34, 'round', { origin: damagedUuid(33) }, [['origin', 'error', /circle/]]),
    damage(35, 'on what nobody can use', { origin: damagedUuid(15) }, [['origin', 'error', /cannot use/]]),
    damage(36, 'out of use', { disabled: true, state: 'disabled' }, []),
    damage(37, 'based on it', { origin: damagedUuid(36) }, [['origin', 'info', /disabled/]]),
    damage(40, 'expired', EXPIRED, [['expired', 'warn']], { fixed: 'gone' }),
    damage(41, 'expired long ago', { ...EXPIRED, state: 'failed' }, [['expired', 'warn']], { fixed: 'gone' }),
    damage(42, 'not yet', { ...EXPIRED, expires_at: '2126-01-01T00:00:00.000Z' }, []),
    damage(43, 'twin', { name: 'twin' }, [['duplicate-name', 'info', new RegExp(damagedUuid(44))]]),
    damage(44, 'twin', { name: 'twin' }, [['duplicate-name', 'info', new RegExp(damagedUuid(43))]]),
    damage(45, 'a disabled twin', { name: 'twin', disabled: true, state: 'disabled' }, []),
    damage(46, 'urn', { urn: 'sdc:sdc:x:1' }, [['duplicate-urn', 'error', /sdc:sdc:x:1/]]),
    damage(47, 'urn', { urn: 'sdc:sdc:x:1' }, [['duplicate-urn', 'error']]),
    damage(
        48,
        'several at once',
        { state: 'disabled', tags: ['a=b'], acl: OWNER, origin: MISSING },
        [
            ['state', 'error'],
            ['tags', 'warn'],
            ['old-form', 'info'],
            ['origin', 'error'],
        ],
        { fixed: { state: 'active', tagsObj: { a: 'b' }, acl: [OWNER] }, left: ['origin'] },
    ),
    damage(
        49,
        'beyond repair',
        { state: 'disabled', name: 'a\u0007b' },
        [
            ['invalid', 'error'],
            ['state', 'error'],
        ],
        { left: ['invalid', 'state'] },
    ),
];

/** How long a chain of origins is that is too long, and its records: each is based on the next one. */
export function longChain(length: number, from: number): readonly Json[] {
    return Array.from({ length }, (_, index) =>
        goodRecord(from + index, index === length - 1 ? {} : { origin: damagedUuid(from + index + 1) }),
    );
}

/** Name of the file of a damaged record in `manifests/`. */
export function fileOf({ file: name, uuid }: Pick<Damage, 'file' | 'uuid'>): string {
    return name ?? `${uuid}.raw`;
}

/** Writes the record and, if it names one, the file of an image. */
export function plantRecord(baseDir: string, name: string, record: Json | string): void {
    const text = typeof record === 'string' ? record : JSON.stringify(record, null, 2);
    mkdirSync(join(baseDir, 'manifests'), { recursive: true });
    writeFileSync(join(baseDir, 'manifests', name), text);
    if (typeof record !== 'string' && record['files'] !== undefined) {
        plantFile(baseDir, name.slice(0, -'.raw'.length));
    }
}

/** Writes the archived manifest of an image, whose file is there. */
export function plantArchived(baseDir: string, uuid: string, manifest: Json): void {
    const directory = join(baseDir, 'archive', uuid.slice(0, 3));
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `${uuid}.json`), JSON.stringify(manifest, null, 2), { mode: 0o640 });
    plantFile(baseDir, uuid);
}

function plantFile(baseDir: string, uuid: string): void {
    const directory = imageDirectory(baseDir, uuid);
    const path = join(directory, 'file0');
    mkdirSync(directory, { recursive: true });
    writeFileSync(path, BYTES);
    utimesSync(path, new Date(FILE_TIME), new Date(FILE_TIME));
}

/** Writes the configuration of a server, and returns its path. */
export function plantConfig(baseDir: string, config: Json = {}): string {
    const path = join(baseDir, 'etc', 'imgapi.config.json');
    mkdirSync(join(baseDir, 'etc'), { recursive: true });
    writeFileSync(path, JSON.stringify({ mode: 'private', authType: 'none', dataDir: baseDir, ...config }));
    return path;
}
