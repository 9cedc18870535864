import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ADMIN } from '../datacenter.js';
import type { Answer, Document, HttpClient } from '../http-client.js';
import { badAccount, notFound, notOwner, validationFailed } from '../rows.js';
import {
    accountOf,
    type Caller,
    type Fields,
    keep,
    list,
    load,
    type Model,
    type ModelImage,
    ownerOf,
    Refusal,
    refused,
    selectChannel,
    UNSET_OWNER,
    uuidOf,
} from './model.js';
import { commands, NEWEST, picked, query, type Step } from './step.js';
import { callers, type Pick, picks } from './values.js';

interface CloneInput {
    readonly pick: Pick;
    readonly caller: Caller;
    readonly unshare: boolean;
}

/** The images a clone copies, nearest first, and the one it then rests on. */
interface Chain {
    readonly images: readonly ModelImage[];
    readonly base?: string;
}

const notOneFile = refused({
    status: 400,
    code: 'NotImplemented',
    message: 'cannot clone images with multiple files',
});

/** Whether an account may clone an image at all (http-api 3.21 #0-#5). */
function cloneRefusal(image: ModelImage, account: string | undefined): Refusal | undefined {
    if (account === undefined) return refused(badAccount('undefined'));
    const uuid = uuidOf(image);
    if (image.fields['state'] !== 'active') {
        return refused(validationFailed('image is not active', ['active', 'Invalid']));
    }
    if (!list(image, 'acl').includes(account)) {
        const message = `Image ${uuid} is not shared with account ${account}`;
        return refused({ status: 422, code: 'ImageNotShared', message });
    }
    if (image.fields['type'] === 'docker') {
        return refused(validationFailed('docker images cannot be cloned', ['type', 'Invalid']));
    }
    return image.file === undefined ? notOneFile : undefined;
}

/** Follows the origins up to the first image that everybody has. */
function chainOf(model: Model, image: ModelImage): Chain | Refusal {
    const images = [image];
    let at = image.fields['origin'];
    while (typeof at === 'string') {
        const origin = model.images.get(at);
        if (origin === undefined) return refused(notFound(`image ${at} not found`));
        if ([ADMIN, UNSET_OWNER].includes(ownerOf(origin))) return { images, base: at };
        images.push(origin);
        at = origin.fields['origin'];
    }
    return { images };
}

function ancestorRefusal({ images }: Chain, account: string): Refusal | undefined {
    const [image, ...ancestors] = images;
    const owners = [account, image === undefined ? account : ownerOf(image)];
    const foreign = ancestors.find(
        (one) =>
            !owners.includes(ownerOf(one)) &&
            one.fields['public'] !== true &&
            !list(one, 'acl').includes(account),
    );
    if (foreign !== undefined) return refused(notOwner(account, uuidOf(foreign)));
    return ancestors.some((one) => one.file === undefined) ? notOneFile : undefined;
}

const NOT_COPIED = ['urn', 'error', 'origin', 'published_at', 'acl'];

function cloneFields(source: ModelImage, owner: string, found: Document, isLast: boolean): Fields {
    const copied = Object.entries(source.fields).filter(([key]) => !NOT_COPIED.includes(key));
    return {
        ...Object.fromEntries(copied),
        uuid: found['uuid'],
        owner,
        published_at: found['published_at'],
        public: false,
        disabled: !isLast,
        state: isLast ? 'active' : 'disabled',
        acl: [],
    };
}

/** Finds the clones by their origins and notes them, the base first. */
async function noteClones(
    model: Model,
    chain: Chain,
    owner: string,
    answer: Answer,
    sentAt: number,
    client: HttpClient,
): Promise<ModelImage | undefined> {
    const found: Document[] = [answer.document];
    while (found.length < chain.images.length) {
        const origin = String(found.at(-1)?.['origin']);
        found.push((await client.get(`/images/${origin}`, { headers: NEWEST })).document);
    }
    let origin = chain.base;
    let last: ModelImage | undefined;
    for (const [index, document] of [...found.entries()].reverse()) {
        const source = chain.images[index];
        assert.ok(source !== undefined);
        const uuid = String(document['uuid']);
        assert.match(uuid, /^[0-9a-f-]{14}4[0-9a-f]{3}-[89ab]/);
        assert.ok(!model.images.has(uuid), 'a uuid of its own');
        const time = Date.parse(String(document['published_at']));
        assert.ok(time >= sentAt && time <= Date.now(), 'published now');
        const fields = cloneFields(source, owner, document, index === 0);
        last = keep(model, {
            ...(source.file === undefined ? {} : { file: source.file }),
            activated: true,
            fields: { ...fields, ...(origin === undefined ? {} : { origin }) },
        });
        origin = uuid;
    }
    return last;
}

function clonePlan(model: Model, input: CloneInput): Step {
    const uuid = picked(model, input.pick);
    const account = accountOf(input.caller);
    const path = `/images/${uuid}/clone`;
    const request = {
        method: 'POST',
        path: `${path}${query(input.caller, input.unshare ? { unshare: 'true' } : {})}`,
        tagged: false,
    };
    if (model.rules.mode !== 'dc')
        return { ...request, expected: refused(notFound(`${path} does not exist`)) };
    const channel = selectChannel(model, undefined);
    const image = channel instanceof Refusal ? channel : load(model, uuid, input.caller, channel);
    if (image instanceof Refusal) return { ...request, expected: image };
    const refusal = cloneRefusal(image, account);
    if (refusal !== undefined || account === undefined)
        return { ...request, expected: refusal ?? notOneFile };
    const chain = chainOf(model, image);
    if (chain instanceof Refusal) return { ...request, expected: chain };
    return {
        ...request,
        expected:
            ancestorRefusal(chain, account) ??
            (async (answer, sentAt, client) => {
                const clone = await noteClones(model, chain, account, answer, sentAt, client);
                if (input.unshare) {
                    const acl = list(image, 'acl').filter((one) => one !== account);
                    keep(model, { ...image, fields: { ...image.fields, acl } });
                }
                return clone;
            }),
    };
}

export const cloneCommands = commands(
    'clone',
    fc.record<CloneInput>({
        pick: picks,
        caller: fc.oneof(
            { weight: 12, arbitrary: fc.constantFrom<Caller[]>(0, 1, 1, 1, 2) },
            { weight: 1, arbitrary: callers },
        ),
        unshare: fc.boolean(),
    }),
    clonePlan,
);
