import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import t from 'tap';
import { ApiError, type ErrorEntry } from '#lib/base/errors.js';
import { type BuildKind, buildImage } from '#lib/manifest/build.js';
import { uuidFromDockerDigests } from '#lib/manifest/docker-digest.js';
import { deepFreeze } from '#lib/manifest/freeze.js';
import { readOldFormats } from '#lib/manifest/old-formats.js';
import { toApiManifest } from '#lib/manifest/serialize.js';
import type { JsonObject, JsonValue, ManifestRules, RawImage } from '#lib/manifest/types.js';
import { applyUpdate } from '#lib/manifest/update.js';
import { upgradeManifest } from '#lib/manifest/upgrade.js';
import {
    validateDcManifest,
    validateMinimalManifest,
    validatePrivateManifest,
    validatePublicManifest,
    validateRaw,
} from '#lib/manifest/validate.js';
import {
    DATE,
    GOOD,
    flag,
    json,
    manifest,
    mixed,
    reparsed,
    rules,
    text,
    uuid,
    wild,
} from '../helpers/manifest-arbitraries.js';
import { without } from '../helpers/manifests.js';

type Validator = (
    manifest: JsonObject,
    options?: { channelFromName?: object },
) => readonly ErrorEntry[] | null;

/** The older, independent rules; throw where input surprises them. */
interface OtherOpinion {
    readonly validateMinimalManifest: Validator;
    readonly validateDcManifest: Validator;
    readonly validatePublicManifest: Validator;
    readonly validatePrivateManifest: Validator;
    readonly upgradeManifest: (manifest: JsonObject) => JsonObject;
    readonly imgUuidFromDockerDigests: (digests: readonly string[]) => string;
}

const other = createRequire(import.meta.url)('imgmanifest') as OtherOpinion;

/** The result, or the error a client would get; anything else thrown fails the test. */
function attempt<T>(run: () => T): T | ApiError {
    try {
        return run();
    } catch (error) {
        if (error instanceof ApiError && error.status === 422 && error.errors !== undefined) {
            return error;
        }
        throw error;
    }
}

const RUNS = { numRuns: 1500 };

void t.test('agrees with the other implementation', async (t) => {
    const validators: readonly (readonly [Validator, Validator])[] = [
        [validateMinimalManifest, other.validateMinimalManifest],
        [validateDcManifest, other.validateDcManifest],
        [validatePublicManifest, other.validatePublicManifest],
        [validatePrivateManifest, other.validatePrivateManifest],
    ];
    const seen = { accepted: 0, refused: 0 };
    fc.assert(
        fc.property(manifest, fc.integer({ min: 0, max: 3 }), fc.boolean(), (input, at, channels) => {
            const [mine, theirs] = validators[at]!;
            // The other minimal rules fail on channels (M7), its dc rules know none (H56).
            fc.pre(at !== 0 || !Object.hasOwn(input, 'channels'));
            const knowsChannels = at >= 2;
            const options = knowsChannels && channels ? { channelFromName: {} } : {};
            const found = mine(input, options);
            seen[found === null ? 'accepted' : 'refused'] += 1;
            assert.deepStrictEqual(found, theirs(input, options));
        }),
        RUNS,
    );
    t.ok(seen.accepted > 20 && seen.refused > 200, `both outcomes are frequent: ${JSON.stringify(seen)}`);
});

void t.test('refuses what makes the other implementation throw', async (t) => {
    let thrown = 0;
    fc.assert(
        fc.property(wild.map(mixed), (input) => {
            fc.pre(
                !['__proto__', 'constructor', 'toString', 'hasOwnProperty'].some((key) =>
                    Object.hasOwn(input, key),
                ),
            );
            const found = validateDcManifest(input);
            let theirs: readonly ErrorEntry[] | null;
            try {
                theirs = other.validateDcManifest(input);
            } catch {
                thrown += 1;
                return found !== null;
            }
            // Beyond that it takes more than we do: H35, M4, M5, non-text URLs included.
            return theirs === null || found !== null;
        }),
        RUNS,
    );
    t.ok(thrown > 20, `${thrown} inputs made it throw`);
});

void t.test('upgrades and names images as the other implementation', async () => {
    const old = fc.record(
        {
            uuid,
            creator_uuid: uuid,
            v: fc.constantFrom<JsonValue[]>(1, 2, '1', 0, 3),
            owner: uuid,
            restricted_to_uuid: uuid,
            public: fc.boolean(),
            disabled: flag,
            created_at: fc.constantFrom('2012-05-02T15:14Z', DATE),
            published_at: fc.constantFrom('2012-05-02T15:14Z', DATE, ''),
            files: fc.array(
                fc.record(
                    {
                        path: fc.constantFrom('a.gz', 'a.bz2', 'a', 'a.b.gz'),
                        compression: fc.constantFrom('xz', ''),
                    },
                    {
                        requiredKeys: ['path'],
                    },
                ),
                { maxLength: 2 },
            ),
            image_size: fc.constantFrom<JsonValue[]>('10', 10),
            _url: text,
            more: json,
        },
        { requiredKeys: ['uuid'] },
    ) as fc.Arbitrary<JsonObject>;
    fc.assert(
        fc.property(old.map(reparsed), (input) => {
            let theirs = input;
            try {
                theirs = other.upgradeManifest(input);
            } catch {
                // Not upgradable: ours returns it as it is.
            }
            assert.deepEqual(upgradeManifest(deepFreeze(structuredClone(input))), theirs);
        }),
        { numRuns: 300 },
    );
    const digest = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `sha256:${hex}`);
    fc.assert(
        fc.property(
            fc.array(digest, { maxLength: 4 }),
            (chain) => uuidFromDockerDigests(chain) === other.imgUuidFromDockerDigests(chain),
        ),
        { numRuns: 50 },
    );
});

void t.test('nothing but an ApiError is ever thrown, and inputs stay as they are', async (t) => {
    const kinds = fc.constantFrom<BuildKind[]>('create', 'import', 'placeholder');
    const raw = validateRaw(
        { ...GOOD, tags: ['a=b'], files: [{ sha1: 'x', size: 1, compression: 'none' }] },
        { mode: 'dc', channels: false },
        'lenient',
    );
    const outcomes = { good: 0, bad: 0 };
    fc.assert(
        fc.property(
            fc.oneof(wild, wild.map(mixed), manifest),
            rules,
            kinds,
            fc.boolean(),
            (input, ruleSet, kind, account) => {
                const text = JSON.stringify(input);
                const options = { rules: ruleSet, lifespanDays: 7, now: 0 };
                const results = [
                    attempt(() => validateRaw(readOldFormats({ ...input }), ruleSet, 'lenient')),
                    attempt(() => validateRaw(input, ruleSet, 'strict')),
                    attempt(() => buildImage(kind, input, options)),
                    attempt(() =>
                        applyUpdate(raw, input, {
                            rules: ruleSet,
                            channelNames: ruleSet.channels ? ['dev'] : undefined,
                            accountGiven: account,
                        }),
                    ),
                ];
                for (const result of results) {
                    outcomes[result instanceof ApiError ? 'bad' : 'good'] += 1;
                    if (!(result instanceof ApiError)) {
                        assert.ok(allFrozen(result));
                        toApiManifest(result, { mode: ruleSet.mode, version2: true, inclAdminFields: true });
                    }
                }
                return JSON.stringify(input) === text && raw.name === 'n';
            },
        ),
        RUNS,
    );
    t.ok(outcomes.good > 50 && outcomes.bad > 500, JSON.stringify(outcomes));
});

function allFrozen(value: unknown): boolean {
    return (
        typeof value !== 'object' ||
        value === null ||
        (Object.isFrozen(value) && Object.values(value).every(allFrozen))
    );
}

void t.test('a stored record is read back as it was, and its document makes the same image', async (t) => {
    const dc: ManifestRules = { mode: 'dc', channels: false };
    const options = { rules: dc, lifespanDays: 7, now: 0 };
    const document = (raw: RawImage): JsonObject =>
        toApiManifest(raw, { mode: 'dc', version2: true, inclAdminFields: false });
    let built = 0;
    fc.assert(
        fc.property(manifest, (input) => {
            const body = without(input, 'activated', 'unknown') as JsonObject;
            const raw = attempt(() => buildImage('import', body, options));
            if (raw instanceof ApiError) {
                return;
            }
            built += 1;
            const read = validateRaw(
                readOldFormats(JSON.parse(JSON.stringify(raw)) as Record<string, unknown>),
                dc,
                'lenient',
            );
            assert.deepStrictEqual(read, raw, 'what strict rules let in, lenient ones read');
            const again = buildImage('import', document(raw), options);
            assert.equal(
                JSON.stringify(document(again)),
                JSON.stringify(document(raw)),
                'through another server',
            );
        }),
        RUNS,
    );
    t.ok(built > 30, `${built} images built`);
});
