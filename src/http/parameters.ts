import type { ParameterFacts } from './route.js';

/** The account a call is made for. */
export const accountParameter: ParameterFacts = {
    name: 'account',
    summary: 'UUID of the account the call is made for; visibility and ownership rules then apply.',
};

/** The account whose jobs a call may know of. */
export const jobAccountParameter: ParameterFacts = {
    name: 'account',
    summary: 'UUID of an account; only its own jobs are there then.',
};

/** The channel of a call that changes something. */
export const channelParameter: ParameterFacts = {
    name: 'channel',
    summary: 'Channel to work in; default: the default channel. Ignored on a server without channels.',
};

/** The channel of a call that reads. */
export const channelOrAnyParameter: ParameterFacts = {
    name: 'channel',
    summary:
        'Channel to look in, `*` for all; default: the default channel. Ignored on a server without channels.',
};

/** An image that lets an account see the images it is based on. */
export const viaParameter: ParameterFacts = {
    name: 'via',
    summary:
        'With `account`: UUID of an image that the account may see and that is based on this one, which it then sees too.',
};

/** Shows where images came from. */
export const provenanceParameter: ParameterFacts = {
    name: 'inclProvenance',
    summary:
        '`true` adds `provenance`, what an image was made from, for operators and owners; needs authentication.',
};

/** Shows what is shared with an account. */
export const shareInfoParameter: ParameterFacts = {
    name: 'inclShareInfo',
    summary:
        '`true` adds `share` to images that the `account` sees only because they are shared with it; without `account` it does nothing.',
};

/** Where an operator wants the bytes. */
export const storageParameter: ParameterFacts = {
    name: 'storage',
    summary: '`local` or `manta`; operators only.',
};

/** Hash the uploaded bytes must have. */
export const sha1Parameter: ParameterFacts = {
    name: 'sha1',
    summary: 'Hex SHA-1 of the bytes; the upload fails if they have another one.',
};

/** How the file is compressed. */
export const compressionParameter: ParameterFacts = {
    name: 'compression',
    summary: '`gzip`, `bzip2`, `xz` or `none`.',
    required: true,
};

/** What is in the file. */
export const datasetGuidParameter: ParameterFacts = {
    name: 'dataset_guid',
    summary: 'GUID of the ZFS dataset in the file.',
};
