import { invalidParameter } from '../../base/errors.js';
import type { StoredImage } from '../../database/database.js';
import { activateImage } from '../../images/activate-image.js';
import { addImageToChannel } from '../../images/add-image-to-channel.js';
import { changeImageStorage } from '../../images/change-storage.js';
import { setImageDisabled } from '../../images/enable-image.js';
import { exportImage } from '../../images/export-image.js';
import { updateImage } from '../../images/update-image.js';
import type { RawImage } from '../../manifest/types.js';
import type { Call } from '../call.js';
import type { StepName } from '../chain.js';
import { adminDocumentReply, checkDocumentConditions, documentReply } from '../document.js';
import type { Action, Endpoint, Handler } from '../endpoint.js';
import { accountParameter, channelParameter } from '../parameters.js';
import { hasChannels } from '../services.js';
import { copyToDatacentersAction, importFromDatacenterAction } from './datacenter-actions.js';
import { importAction } from './import-action.js';
import { importRemoteAction } from './import-remote-action.js';

/** Steps of the actions that change a loaded image under the conditions of the request (http-api 2). */
const CONDITIONAL: readonly StepName[] = ['LOAD', 'OWNER', 'COND'];

/** The conditions again, for each newer record a change is tried on (backends W3). */
function precondition(call: Call): (raw: RawImage) => void {
    return (raw) => {
        checkDocumentConditions(call, raw);
    };
}

function answerWith(change: (call: Call) => Promise<StoredImage>): Handler {
    return async (call) => documentReply(call, (await change(call)).raw);
}

const changeStorageAction: Action = {
    action: 'change-stor',
    name: 'AdminChangeImageStor',
    summary: 'Moves the file of an image to another storage.',
    parameters: [
        { name: 'stor', summary: 'The storage to move to.', required: true },
        { name: 'all', summary: '`true`: every file and the icon move, those that are not there yet.' },
    ],
    chain: ['LOAD'],
    handle: async (call) =>
        adminDocumentReply(
            call,
            (
                await changeImageStorage(
                    call.services.images,
                    call.context,
                    call.uuid,
                    call.exchange.query.get('stor'),
                    { all: () => call.exchange.query.boolean('all') ?? false },
                )
            ).raw,
        ),
};

const exportAction: Action = {
    action: 'export',
    name: 'ExportImage',
    summary:
        'Stores the manifest and the file of an image with its file in Manta at a path there: `{"manta_url", "image_path", "manifest_path"}`.',
    parameters: [
        {
            name: 'manta_path',
            summary:
                'A directory, for `<name>-<version>.imgmanifest` and `<name>-<version>.zfs[.gz|.bz2|.xz]`; else what precedes `.imgmanifest` and so on. With `account` in the area of that account.',
            required: true,
        },
    ],
    chain: ['LOAD', 'OWNER'],
    changesNothing: true,
    handle: async (call) => ({
        kind: 'json',
        value: await exportImage(
            call.services.images,
            call.context,
            call.uuid,
            call.exchange.query.raw('manta_path'),
        ),
    }),
};

const actions: readonly Action[] = [
    importRemoteAction,
    importAction,
    importFromDatacenterAction,
    changeStorageAction,
    exportAction,
    copyToDatacentersAction,
    {
        action: 'activate',
        name: 'ActivateImage',
        summary: 'Makes an image with a file usable; sets its publication date.',
        chain: CONDITIONAL,
        handle: answerWith((call) =>
            activateImage(call.services.images, call.context, call.uuid, precondition(call)),
        ),
    },
    ...([false, true] as const).map((disabled): Action => ({
        action: disabled ? 'disable' : 'enable',
        name: disabled ? 'DisableImage' : 'EnableImage',
        summary: disabled ? 'Keeps an image from being used for new instances.' : 'Takes a disabling back.',
        chain: CONDITIONAL,
        handle: answerWith((call) =>
            setImageDisabled(call.services.images, call.context, call.uuid, disabled, precondition(call)),
        ),
    })),
    {
        action: 'channel-add',
        name: 'ChannelAddImage',
        summary: 'Adds an image to the channel named in the body: `{"channel": "release"}`.',
        chain: CONDITIONAL,
        available: (call) => hasChannels(call.config),
        handle: answerWith((call) =>
            addImageToChannel(call.services.images, call.context, call.uuid, call.body, precondition(call)),
        ),
    },
    {
        action: 'update',
        name: 'UpdateImage',
        summary: 'Changes the fields given in the body; `null` removes a field.',
        chain: CONDITIONAL,
        handle: answerWith((call) =>
            updateImage(call.services.images, call.context, call.uuid, call.body, precondition(call)),
        ),
    },
];

/** POST /images/:uuid (http-api 3.4, 3.13-3.19). */
export const changeImageEndpoint: Endpoint = {
    name: 'UpdateImage',
    method: 'POST',
    path: '/images/:uuid',
    summary: 'Changes an image; `action` says how.',
    parameters: [accountParameter, channelParameter],
    chain: ['AUTH', 'WRITER', 'UUID', 'CHAN', 'BODY'],
    actions,
    unknownAction: CONDITIONAL,
    withoutAction: {
        chain: CONDITIONAL,
        handle: () => {
            throw invalidParameter('no image "action" was specified', [
                { field: 'action', code: 'MissingParameter' },
            ]);
        },
    },
};
