import type { Filter } from '../database/query.js';
import type { ListInput, ListState } from './list-input.js';

/** Filter S of http-api 3.1: what a state means in terms of activated and disabled. */
const STATE_FILTERS: Readonly<Record<ListState, Filter>> = {
    active: { activated: true, disabled: false },
    disabled: { activated: true, disabled: true },
    unactivated: { activated: false },
    all: {},
    creating: { state: 'creating' },
    failed: { state: 'failed' },
};

/** Parameters that match nothing when they are given without a value. */
const TEXT_PARAMETERS = ['owner', 'name', 'version', 'os', 'type'] as const;

/** What is asked for, apart from the page. */
export interface ListCondition {
    readonly input: ListInput;
    readonly state: ListState;
    readonly isPublic: boolean | undefined;
    readonly account: string | undefined;
    readonly channel: string | undefined;
    /** The image they were made from, which an account may know of its own images only. */
    readonly sourceImage: string | undefined;
}

/** S and F of http-api 3.1: all filters except the owner. */
function commonFilter(condition: ListCondition): Filter {
    const { input, isPublic, channel, sourceImage } = condition;
    const { name, version, os, type, tags, billingTags } = input;
    return {
        ...STATE_FILTERS[condition.state],
        ...(name === undefined ? {} : { name }),
        ...(version === undefined ? {} : { version }),
        ...(os === undefined ? {} : { os }),
        ...(type === undefined ? {} : { type }),
        ...(isPublic === undefined ? {} : { public: isPublic }),
        ...(tags.length === 0 ? {} : { tags: tags.map(([key, value]) => `${key}=${value}`) }),
        ...(billingTags.length === 0 ? {} : { billing_tags: billingTags }),
        ...(channel === undefined ? {} : { channels: [channel] }),
        ...(sourceImage === undefined ? {} : { source_image: sourceImage }),
    };
}

/**
 * What an account may access of others' images: the activated ones that are public or shared with it
 * (http-api 1.15).
 *
 * @param isPublic only public images, or only those that are not; absent: both
 */
export function accessibleOfOthers(account: string, common: Filter, isPublic?: boolean): readonly Filter[] {
    return [
        ...(isPublic === false ? [] : [{ ...common, activated: true, public: true }]),
        ...(isPublic === true ? [] : [{ ...common, activated: true, public: false, acl: [account] }]),
    ];
}

/** What an account is shown of others' images, by the table of http-api 3.1. */
function sharedWith(account: string, condition: ListCondition, common: Filter): readonly Filter[] {
    const { isPublic, state, sourceImage } = condition;
    const onlyOwn = state === 'disabled' || state === 'unactivated' || sourceImage !== undefined;
    return onlyOwn ? [] : accessibleOfOthers(account, common, isPublic);
}

/**
 * The filters whose union ListImages answers with, by the table of http-api 3.1; none when nothing
 * can match.
 */
export function listFilters(condition: ListCondition): readonly Filter[] {
    const { input, account } = condition;
    if (TEXT_PARAMETERS.some((name) => input[name] === '')) {
        return [];
    }
    const common = commonFilter(condition);
    const { owner } = input;
    if (account === undefined) {
        return [owner === undefined ? common : { ...common, owner }];
    }
    if (owner === undefined) {
        return [{ ...common, owner: account }, ...sharedWith(account, condition, common)];
    }
    return owner === account ? [{ ...common, owner }] : sharedWith(account, condition, { ...common, owner });
}
