// Who sees and who changes what in a datacenter: {owner, ACL member, stranger, operator} x {public,
// private} x {active, disabled, unactivated, creating, failed}, for every call that names an image
// and for lists (http-api 1.12, 1.15, 3.1; operations 6.2).
import t, { type Test } from 'tap';
import { startDatacenter, type Datacenter } from '../helpers/datacenter.js';
import type { Answer } from '../helpers/http-client.js';
import { USERS, type Fixture } from '../helpers/images.js';
import { DATABASES } from '../helpers/moray-place.js';
import { expectError } from '../helpers/rows.js';
import { LIMIT_MS } from '../helpers/server-process.js';
import {
    bodyOf,
    CALLERS,
    expectedOutcome,
    fixtureOf,
    isListed,
    LIST_STATES,
    OPERATIONS,
    STATES,
    type Caller,
    type Operation,
    type Outcome,
    type Sample,
} from '../helpers/visibility-rules.js';

t.setTimeout(2 * LIMIT_MS);

const CHANNELS = [
    { name: 'dev', description: 'd', default: true },
    { name: 'release', description: 'r' },
];

/** A call to be made, and what must come of it. */
interface Cell {
    readonly operation: Operation;
    readonly caller: Caller;
    readonly image: Sample;
    readonly expected: Outcome;
}

const callers = Object.keys(CALLERS) as readonly Caller[];

/** Numbers images, so that each has a uuid of its own. */
function numbering(): (facts: Omit<Sample, 'uuid'>) => Sample {
    let count = 0;
    return ({ state, public: isPublic }) => ({
        uuid: `c0000000-0000-4000-8000-${String(++count).padStart(12, '0')}`,
        state,
        public: isPublic,
    });
}

/** All kinds of images: every state, public and private. */
function allKinds(make: (facts: Omit<Sample, 'uuid'>) => Sample): readonly Sample[] {
    return STATES.flatMap((state) => [true, false].map((isPublic) => make({ state, public: isPublic })));
}

/**
 * The whole table. A refused call is made on an image all refused calls share; each that succeeds
 * gets an image for itself.
 */
function cellsFor(operations: readonly Operation[], inChannel = true): readonly Cell[] {
    const make = numbering();
    // Through another channel nothing is seen, whatever it is.
    const shared = allKinds(make).filter(
        ({ state }) => inChannel || state === 'active' || state === 'creating',
    );
    return operations.flatMap((operation) =>
        callers.flatMap((caller) =>
            shared.map((kind) => {
                const isRead = operation.method === 'GET';
                const succeeds = typeof expectedOutcome(operation, kind, caller, inChannel) === 'number';
                const image = succeeds && !isRead ? make(kind) : kind;
                return {
                    operation,
                    caller,
                    image,
                    expected: expectedOutcome(operation, image, caller, inChannel),
                };
            }),
        ),
    );
}

/** The stored images of a table, each once. */
function fixturesOf(
    cells: readonly Cell[],
    more: Readonly<Record<string, unknown>> = {},
): readonly Fixture[] {
    const images = new Map(cells.map(({ image }) => [image.uuid, image]));
    return [...images.values()].map((image) => fixtureOf(image, more));
}

function withAccount(path: string, caller: Caller, more = ''): string {
    const name = CALLERS[caller];
    const parameters = [name === undefined ? '' : `account=${USERS[name]}`, more].filter((one) => one !== '');
    const joint = path.includes('?') ? '&' : '?';
    return parameters.length === 0 ? path : `${path}${joint}${parameters.join('&')}`;
}

function send({ client }: Datacenter, cell: Cell, more: string): Promise<Answer> {
    const { operation, image, caller } = cell;
    const { method, suffix, headers = {}, body } = operation;
    const path = withAccount(`/images/${image.uuid}${suffix}`, caller, more);
    const json = bodyOf(operation, image);
    return client.request(method, path, {
        headers,
        ...(json === undefined ? {} : { json }),
        ...(body === undefined ? {} : { body }),
    });
}

/** A call that succeeds: the answer is the document as it is from now on, or the image is gone. */
async function expectSuccess(
    t: Test,
    dc: Datacenter,
    cell: Cell,
    answer: Answer,
    what: string,
): Promise<void> {
    const { operation, image, expected } = cell;
    t.equal(answer.status, expected, `${what}: ${answer.status === expected ? '' : answer.text}`);
    if (operation.document === true) {
        const now = await dc.client.get(`/images/${image.uuid}?channel=*`);
        t.equal(answer.text, now.text, `${what}: the answer is the document`);
    }
    if (answer.status === 204) {
        t.equal(await dc.record(image.uuid), undefined, `${what}: the record is gone`);
    }
}

/** Makes one call of a table; unless it succeeds it must leave the record alone. */
async function checkCell(t: Test, dc: Datacenter, cell: Cell, more: string): Promise<void> {
    const { operation, caller, image, expected } = cell;
    const kind = `${image.public ? 'public' : 'private'} ${image.state}`;
    const what = `${operation.name} by ${caller} on a ${kind} image`;
    const before = await dc.record(image.uuid);
    t.type(before, 'string', `${what}: there is a record`);
    const answer = await send(dc, cell, more);
    if (typeof expected === 'number') await expectSuccess(t, dc, cell, answer, what);
    else expectError(t, answer, expected, what);
    if (typeof expected !== 'number' || operation.allowed === 'viewer') {
        t.equal(await dc.record(image.uuid), before, `${what}: the record is what it was`);
    }
}

/** Makes every call of a table; those of one caller at the same time, as no call changes another's image. */
async function checkCells(t: Test, dc: Datacenter, cells: readonly Cell[], more = ''): Promise<void> {
    for (const operation of new Set(cells.map((cell) => cell.operation))) {
        for (const caller of callers) {
            const own = cells.filter((cell) => cell.operation === operation && cell.caller === caller);
            await Promise.all(own.map((cell) => checkCell(t, dc, cell, more)));
        }
    }
}

/** Time of publication, then uuid; what was never published comes first (http-api 3.1). */
function inOrder(images: readonly Sample[]): readonly string[] {
    const isPublished = ({ state }: Sample): number => (state === 'active' || state === 'disabled' ? 1 : 0);
    return [...images]
        .sort((a, b) => isPublished(a) - isPublished(b) || (a.uuid < b.uuid ? -1 : 1))
        .map(({ uuid }) => uuid);
}

/** Every list, for each caller: by state, by `public`, with and without the owner named. */
async function checkLists(t: Test, dc: Datacenter, images: readonly Sample[]): Promise<void> {
    for (const caller of callers) {
        for (const state of LIST_STATES) {
            for (const isPublic of ['', 'true', 'false']) {
                const shown = inOrder(images.filter((image) => isListed(caller, image, state, isPublic)));
                const filters = `state=${state}${isPublic === '' ? '' : `&public=${isPublic}`}`;
                const path = withAccount(`/images?${filters}`, caller);
                const what = `ListImages ${filters} by ${caller}`;
                t.strictSame((await dc.client.get(path)).uuids, shown, what);
                const ofOwner = await dc.client.get(`${path}&owner=${USERS.vader}`);
                t.strictSame(ofOwner.uuids, shown, `${what}, of their owner`);
                const ofOther = await dc.client.get(`${path}&owner=${USERS.sdc}`);
                t.strictSame(ofOther.uuids, [], `${what}, of somebody else`);
            }
        }
    }
}

for (const [database, options] of Object.entries(DATABASES)) {
    await t.test(`with the database ${database}`, async (outer) => {
        const cells = cellsFor(OPERATIONS.filter(({ channels }) => channels !== true));
        const dc = await startDatacenter(outer, { ...(await options(outer)), images: fixturesOf(cells) });
        // Before anything changes, and with every image of the table there.
        const images = [...new Map(cells.map(({ image }) => [image.uuid, image])).values()];
        await checkLists(outer, dc, images);
        await checkCells(outer, dc, cells);
    });

    await t.test(`with channels, with the database ${database}`, async (outer) => {
        const config = { channels: CHANNELS };
        const inDev = { channels: ['dev'] };
        const cells = cellsFor(OPERATIONS.filter(({ channels }) => channels === true));
        const images = fixturesOf(cells, inDev);
        const dc = await startDatacenter(outer, { ...(await options(outer)), config, images });
        await checkCells(outer, dc, cells);
    });

    await t.test(`through another channel, with the database ${database}`, async (outer) => {
        const config = { channels: CHANNELS };
        const inDev = { channels: ['dev'] };
        const cells = cellsFor(OPERATIONS, false);
        const images = fixturesOf(cells, inDev);
        const dc = await startDatacenter(outer, { ...(await options(outer)), config, images });
        await checkCells(outer, dc, cells, 'channel=release');
    });
}
