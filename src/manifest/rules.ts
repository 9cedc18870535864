import type { EntryList } from './entry-list.js';
import { type FieldName, fieldNamed, FIELDS, fieldsByRank } from './fields.js';
import type { Manifest, Rule, RuleContext } from './rule.js';
import {
    checkDescription,
    checkError,
    checkFlag,
    checkName,
    checkOptionalFlag,
    checkOs,
    checkPublic,
    checkPublishedAt,
    checkState,
    checkType,
    checkUrl,
    checkUrn,
    checkUuid,
    checkV,
    checkVersion,
} from './rules-basic.js';
import {
    checkAcl,
    checkBillingTags,
    checkChannels,
    checkFiles,
    checkInheritedDirectories,
    checkTags,
    checkTraits,
    checkUsers,
} from './rules-lists.js';
import { checkRequirements } from './rules-requirements.js';
import { checkCpuType, checkDiskDriver, checkImageSize, checkNicDriver } from './rules-zvol.js';

/** The rule of each field (manifest 3.3). */
const RULES: Readonly<Record<FieldName, Rule>> = {
    v: checkV,
    uuid: checkUuid('uuid'),
    urn: checkUrn,
    owner: checkUuid('owner'),
    name: checkName,
    version: checkVersion,
    description: checkDescription,
    homepage: checkUrl('homepage', 'homepage'),
    eula: checkUrl('eula', 'EULA'),
    disabled: checkFlag('disabled'),
    activated: checkFlag('activated'),
    published_at: checkPublishedAt,
    state: checkState,
    public: checkPublic,
    type: checkType,
    os: checkOs,
    origin: checkUuid('origin'),
    error: checkError,
    files: checkFiles,
    icon: checkOptionalFlag('icon'),
    acl: checkAcl,
    requirements: checkRequirements,
    users: checkUsers,
    billing_tags: checkBillingTags,
    traits: checkTraits,
    tags: checkTags,
    generate_passwords: checkOptionalFlag('generate_passwords'),
    inherited_directories: checkInheritedDirectories,
    nic_driver: checkNicDriver,
    disk_driver: checkDiskDriver,
    cpu_type: checkCpuType,
    image_size: checkImageSize,
    channels: checkChannels,
};

/** Which rules run and in what order. */
interface Plan {
    /** Run whether the field is there or not. */
    readonly required: readonly (readonly [FieldName, Rule])[];
    /** Run behind them, for fields that are own keys of the manifest. */
    readonly optional: readonly (readonly [FieldName, Rule])[];
}

function plan(minimal: boolean, channels: boolean): Plan {
    const ranked = fieldsByRank(({ required }) => {
        const isRequired =
            required !== undefined &&
            (required.when === 'always' || (!minimal && (required.when !== 'channels' || channels)));
        return isRequired ? required.rank : undefined;
    });
    const withRule = ({ name }: { readonly name: FieldName }): readonly [FieldName, Rule] => [
        name,
        RULES[name],
    ];
    return {
        required: ranked.map(withRule),
        optional: FIELDS.filter((field) => !ranked.includes(field)).map(withRule),
    };
}

const MINIMAL = plan(true, false);
const FULL = plan(false, false);
const FULL_WITH_CHANNELS = plan(false, true);

/** Runs every rule that applies, in the order of manifest 3.2, items 2 and 3. */
export function checkFields(manifest: Manifest, list: EntryList, context: RuleContext): void {
    const full = context.channels ? FULL_WITH_CHANNELS : FULL;
    const { required, optional } = context.profile === 'minimal' ? MINIMAL : full;
    for (const [, rule] of required) {
        rule(manifest, list, context);
    }
    for (const [name, rule] of optional) {
        if (Object.hasOwn(manifest, name)) {
            rule(manifest, list, context);
        }
    }
}

/** Refuses every key that is no field of the manifest (manifest 3.2, item 4). */
export function checkUnknownKeys(manifest: Manifest, list: EntryList): void {
    for (const key of Object.keys(manifest)) {
        if (fieldNamed(key) === undefined) {
            list.invalid(key);
        }
    }
}
