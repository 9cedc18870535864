import {
    notAUuid,
    resourceNotFound,
    serviceUnavailable,
    unauthorized,
    validationFailed,
} from '../base/errors.js';
import { isUuid } from '../base/uuid.js';
import { loadImage, requireAccountUuid, requireOwner } from '../images/load.js';
import type { Call } from './call.js';
import { checkDocumentConditions } from './document.js';

/**
 * The building blocks of http-api 1.12 by name, and `CHAN**`, which is `CHAN*` but for taking all channels where
 * there is no default. A chain is a list of them; they run in that order and the first that fails ends the
 * request.
 */
export type StepName =
    | 'AUTH'
    | 'PAUTH'
    | 'NAMED'
    | 'WRITER'
    | 'HOLD'
    | 'UUID'
    | 'ACCOUNT'
    | 'CHAN'
    | 'CHAN*'
    | 'CHAN**'
    | 'BODY'
    | 'LOAD'
    | 'LOAD*'
    | 'OWNER'
    | 'ADMINF'
    | 'PROVENANCE'
    | 'SHARE'
    | 'COND';

type Step = (call: Call) => Call | Promise<Call>;

function checkAccount(call: Call): Call {
    requireAccountUuid(call.account);
    return call;
}

function authenticate(call: Call): Call {
    const { authenticator } = call.services;
    if (authenticator === undefined) {
        return call;
    }
    const { exchange } = call;
    const user = authenticator.authenticate({
        method: exchange.method,
        url: exchange.target,
        httpVersion: exchange.httpVersion,
        headers: exchange.headers,
    });
    exchange.noteUser(user);
    return call.with({ user });
}

function authenticateIfAsked(call: Call): Call {
    // An empty header says no more than none (docs/decisions.md).
    return call.exchange.headers.authorization ? authenticate(call) : call;
}

/** Refuses callers without a name, also where nobody has one (README table B). */
function requireName(call: Call): Call {
    if (call.isAnonymous) {
        throw unauthorized();
    }
    return call;
}

function requireWriter(call: Call): Call {
    if (!call.services.role.isWriter()) {
        throw serviceUnavailable('this process is a reader', 1);
    }
    return call;
}

/** Refuses what only the process that runs the jobs can do, where they are run here (README table B, HOLD). */
function requireKeeper(call: Call): Call {
    const { engine, local } = call.services.jobs;
    if (engine === local) {
        local.requireKeeper();
    }
    return call;
}

function requireUuid(call: Call): Call {
    const uuid = call.exchange.params['uuid'];
    if (!isUuid(uuid)) {
        throw resourceNotFound(`${call.exchange.target} does not exist`);
    }
    return call.with({ uuid });
}

/** Whether all channels can be selected: never, by `*`, or also by naming none where there is no default. */
type AllChannels = 'never' | 'asked' | 'default';

function selectChannel(call: Call, all: AllChannels): Call {
    const { channels } = call.config;
    if (channels === undefined) {
        return call;
    }
    const name = call.exchange.query.get('channel');
    if (name === '*' && all !== 'never') {
        return call;
    }
    if (name === undefined && all === 'default' && !channels.some((one) => one.default === true)) {
        return call;
    }
    const channel = channels.find((one) => (name === undefined ? one.default === true : one.name === name));
    if (channel !== undefined) {
        return call.with({ channel: channel.name });
    }
    throw name === undefined
        ? validationFailed('channel not specified and the server has no default channel', [
              { field: 'channel', code: 'MissingParameter' },
          ])
        : validationFailed(`unknown channel: ${name}`, [{ field: 'channel', code: 'Invalid' }]);
}

async function readBody(call: Call): Promise<Call> {
    return call.with({ body: await call.exchange.readBody() });
}

async function load(call: Call): Promise<Call> {
    requireAccountUuid(call.account);
    return call.with({ image: await loadImage(call.services.images, call.context, call.uuid) });
}

/** As LOAD; the account may name an image it sees and that is based on this one (jobs-and-imports 8.1 #2). */
async function loadVia(call: Call): Promise<Call> {
    requireAccountUuid(call.account);
    const via = call.account === undefined ? undefined : call.exchange.query.get('via');
    if (via !== undefined && !isUuid(via)) {
        throw notAUuid('via', via);
    }
    return call.with({ image: await loadImage(call.services.images, call.context, call.uuid, via) });
}

function requireOwnership(call: Call): Call {
    requireAccountUuid(call.account);
    requireOwner(call.context, call.image.raw);
    return call;
}

/**
 * Reads a boolean parameter that shows what not everybody may see (http-api 1.12 ADMINF).
 *
 * @throws 401 for anonymous callers outside a datacenter, 422
 */
function privilege(call: Call, name: string): boolean {
    const isWanted = call.exchange.query.boolean(name) ?? false;
    if (isWanted && call.isAnonymous) {
        throw unauthorized(`Unauthorized (auth required to use "${name}" parameter)`);
    }
    return isWanted;
}

function adminFields(call: Call): Call {
    return call.with({ inclAdminFields: privilege(call, 'inclAdminFields') });
}

function provenance(call: Call): Call {
    return call.with({ inclProvenance: privilege(call, 'inclProvenance') });
}

function shareInfo(call: Call): Call {
    return call.with({ inclShareInfo: call.exchange.query.boolean('inclShareInfo') ?? false });
}

function checkConditions(call: Call): Call {
    checkDocumentConditions(call, call.image.raw);
    return call;
}

const STEPS: Readonly<Record<StepName, Step>> = {
    AUTH: authenticate,
    PAUTH: authenticateIfAsked,
    NAMED: requireName,
    WRITER: requireWriter,
    HOLD: requireKeeper,
    UUID: requireUuid,
    ACCOUNT: checkAccount,
    CHAN: (call) => selectChannel(call, 'never'),
    'CHAN*': (call) => selectChannel(call, 'asked'),
    'CHAN**': (call) => selectChannel(call, 'default'),
    BODY: readBody,
    LOAD: load,
    'LOAD*': loadVia,
    OWNER: requireOwnership,
    ADMINF: adminFields,
    PROVENANCE: provenance,
    SHARE: shareInfo,
    COND: checkConditions,
};

/**
 * Runs the steps of a chain in order.
 *
 * @throws what the first failing step throws
 */
export async function runChain(steps: readonly StepName[], start: Call): Promise<Call> {
    let call = start;
    for (const step of steps) {
        call = await STEPS[step](call);
    }
    return call;
}
