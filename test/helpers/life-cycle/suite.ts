import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Test } from 'tap';
import type { HttpClient } from '../http-client.js';
import { UNKNOWN } from '../images.js';
import { deleteIconCommands, fileCommands, iconCommands } from './byte-commands.js';
import {
    aclCommands,
    activateCommands,
    channelAddCommands,
    disableCommands,
    unknownActionCommands,
} from './change-commands.js';
import { firstImages } from './first-images.js';
import { cloneCommands } from './clone-commands.js';
import { deleteCommands } from './delete-commands.js';
import { compareImages, type Model, type Rules } from './model.js';
import { createCommands, importCommands } from './new-image-commands.js';
import { expectList, listCommands } from './list-commands.js';
import { expectBytes, getCommands, getFileCommands, getIconCommands } from './read-commands.js';
import { updateCommands } from './update-commands.js';
import { anyChannel, expectDocument, type World } from './step.js';

/** Servers to try, all on one set of images, which is empty. */
export interface LifeCycleServers {
    readonly clients: readonly HttpClient[];
    readonly rules: Rules;
}

export interface LifeCycleOptions {
    /** Runs, unless `LIFE_CYCLE_RUNS` says otherwise. */
    readonly runs: number;
}

const MAX_COMMANDS = 40;
const LIMIT_MS = 3_600_000;

type Commands = typeof createCommands;

/** Commands with how often they are drawn; without images little else can be tried, so those come often. */
function allCommands(rules: Rules): Commands[] {
    const times = (count: number, commands: Commands): Commands[] =>
        Array.from({ length: count }, () => commands);
    return [
        ...times(5, createCommands),
        ...times(3, importCommands),
        ...times(6, fileCommands),
        ...times(2, iconCommands),
        ...times(6, activateCommands),
        ...times(3, disableCommands),
        ...times(6, updateCommands),
        ...times(5, aclCommands),
        ...times(3, getCommands),
        ...times(6, listCommands),
        ...times(3, deleteCommands),
        ...times(rules.mode === 'dc' ? 5 : 1, cloneCommands),
        ...times(2, deleteIconCommands),
        getFileCommands,
        getIconCommands,
        unknownActionCommands,
        ...times(rules.channels === undefined ? 1 : 4, channelAddCommands),
    ];
}

/** Every image, each list and all bytes are what the model says. */
async function expectSameImages(model: Model, clients: readonly HttpClient[]): Promise<void> {
    const images = [...model.images.values()].sort(compareImages);
    const headers = { 'accept-version': '~2' };
    const any = anyChannel(model);
    for (const client of clients) {
        if (model.rules.mode === 'dc') {
            const all = `/images${any === '' ? '?' : `${any}&`}state=all&sort=published_at`;
            expectList(await client.get(`${all}.asc`, { headers }), images);
            expectList(await client.get(`${all}.desc`, { headers }), [...images].reverse());
        }
        for (const [uuid, image] of model.images) {
            expectDocument(await client.get(`/images/${uuid}${any}`, { headers }), image);
            const { file, icon } = image;
            if (file !== undefined) {
                const answer = await client.get(`/images/${uuid}/file${any}`);
                expectBytes(answer, file.bytes, 'application/octet-stream');
            }
            if (icon !== undefined) {
                expectBytes(await client.get(`/images/${uuid}/icon${any}`), icon.bytes, icon.contentType);
            }
        }
    }
}

/** Deletes an image in whatever channel it is; true: it is gone. */
async function deleteOne(client: HttpClient, uuid: string, { channels }: Rules): Promise<boolean> {
    const queries = channels?.map((name) => `?channel=${name}&force_all_channels=true`) ?? [''];
    for (const query of queries) {
        const { status } = await client.delete(`/images/${uuid}${query}`);
        if (status === 204) return true;
        if (status === 422) return false;
    }
    return true;
}

/** Deletes images, dependents first, until none is left; whatever a failed run has left as well. */
async function deleteAll(client: HttpClient, model: Model): Promise<void> {
    const any = anyChannel(model);
    const all = `/images${any === '' ? '?' : `${any}&`}state=all`;
    let uuids = new Set([...model.images.keys(), ...model.former, UNKNOWN]);
    while (uuids.size > 0) {
        const left = new Set<string>();
        for (const uuid of uuids) {
            if (!(await deleteOne(client, uuid, model.rules))) left.add(uuid);
        }
        const listed = (await client.get(all)).uuids;
        assert.ok(
            left.size < uuids.size || listed.some((uuid) => !uuids.has(uuid)),
            'some image can be deleted',
        );
        uuids = new Set([...left, ...listed]);
    }
}

/** Numbers from the environment, for longer runs and for repeating one. */
function environmentNumber(name: string): number | undefined {
    const value = process.env[name];
    return value === undefined ? undefined : Number(value);
}

/**
 * Tries random commands on servers and on a model of a registry that knows the specification but not
 * the code; after each the answers, at the end of a run everything stored is compared.
 */
export async function lifeCycle(
    t: Test,
    name: string,
    start: (t: Test) => Promise<LifeCycleServers>,
    { runs }: LifeCycleOptions,
): Promise<void> {
    t.setTimeout(LIMIT_MS);
    await t.test(name, async (test) => {
        const { rules, clients } = await start(test);
        test.setTimeout(LIMIT_MS);
        const [first] = clients;
        assert.ok(first !== undefined);
        const seed = environmentNumber('LIFE_CYCLE_SEED') ?? Date.now() % 2 ** 31;
        const numRuns = environmentNumber('LIFE_CYCLE_RUNS') ?? runs;
        test.comment(`seed ${seed}`);
        const world: World = { clients, outcomes: new Map() };
        const property = fc.asyncProperty(
            fc.commands(allCommands(rules), { maxCommands: MAX_COMMANDS, size: 'max' }),
            async (commands) => {
                const model: Model = { rules, images: new Map(), former: new Set() };
                try {
                    await fc.asyncModelRun(
                        () => ({ model, real: world }),
                        [...firstImages(rules), ...commands],
                    );
                    await expectSameImages(model, clients);
                } finally {
                    await deleteAll(first, model);
                }
            },
        );
        const found = await fc.check(property, {
            seed,
            numRuns,
            interruptAfterTimeLimit: LIMIT_MS / 2,
            endOnFailure: false,
        });
        if (found.failed) test.comment(String(found.errorInstance));
        test.equal(found.failed, false, fc.defaultReportMessage(found) ?? 'no counterexample');
        const counts = [...world.outcomes].sort().map(([outcome, count]) => `${outcome}: ${count}`);
        const made = [...world.outcomes.values()].reduce((sum, count) => sum + count, 0);
        test.ok(made > 10 * found.numRuns, 'runs are not empty');
        test.comment(`${found.numRuns} runs, ${made} commands; ${counts.join(', ')}`);
    });
}
