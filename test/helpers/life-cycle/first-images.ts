import type fc from 'fast-check';
import { filePlan } from './byte-commands.js';
import { activatePlan } from './change-commands.js';
import { ACCOUNTS, type Model, type Rules } from './model.js';
import { type CreateInput, createPlan } from './new-image-commands.js';
import { command, type World } from './step.js';

/**
 * What every run starts with, so that the commands find something: an image as it was made, one that
 * others can see, and one that was made from it.
 */
export function firstImages(rules: Rules): fc.AsyncCommand<Model, World>[] {
    const body = { name: 'base', version: '1.0.0', type: 'zone-dataset', os: 'smartos' };
    const usual = { channel: undefined, caller: 0, owner: undefined, origin: undefined } as const;
    const upload = { caller: 0, channel: undefined, content: 0, sha1: 'none', md5: 'none' } as const;
    const file = { ...upload, storage: undefined, chunked: false, compression: 'gzip', guid: undefined };
    const isPublic = rules.mode === 'dc';
    const create = (input: Partial<CreateInput>): fc.AsyncCommand<Model, World> =>
        command('create', { ...usual, body, ...input }, 0, createPlan);
    const publish = (pick: number): fc.AsyncCommand<Model, World>[] => [
        command('file', { ...file, pick }, 0, filePlan),
        command('activate', { ...usual, pick, condition: 'none' as const }, 1, activatePlan),
    ];
    return [
        create({ body: { ...body, public: isPublic } }),
        ...publish(0),
        create({ caller: 1, owner: ACCOUNTS[1] }),
        create({ origin: 0, body: { ...body, tags: { role: 'db' }, acl: [ACCOUNTS[1]] } }),
        ...publish(2),
    ];
}
