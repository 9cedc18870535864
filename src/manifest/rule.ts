import type { ServerMode } from '../base/constants.js';
import type { EntryList } from './entry-list.js';

/** Strict: what clients send. Lenient: what is stored already and must stay readable (manifest 0). */
export type Leniency = 'strict' | 'lenient';

/** A manifest as the rules see it: nothing is known of its values. */
export type Manifest = Readonly<Record<string, unknown>>;

/** A record while it is being put together. */
export type DraftRecord = Record<string, unknown>;

/** What a rule may depend on beside the manifest. */
export interface RuleContext {
    /** `minimal`: placeholders in mode `dc` (manifest 2). */
    readonly profile: ServerMode | 'minimal';
    /** Whether channels are configured. */
    readonly channels: boolean;
    readonly leniency: Leniency;
}

/** Checks one field and adds what is wrong with it (manifest 3.3). Never throws. */
export type Rule = (manifest: Manifest, list: EntryList, context: RuleContext) => void;
