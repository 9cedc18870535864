// GET and PUT /accounts/:uuid/image-sharing (README table B, jobs-and-imports 8.8).
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Document } from '../helpers/http-client.js';
import { USERS } from '../helpers/images.js';
import {
    type ErrorRow,
    type ExpectedError,
    expectError,
    runErrorRows,
    UNAUTHORIZED,
} from '../helpers/rows.js';
import { startServer } from '../helpers/start-server.js';

const { vader, luke, emperor } = USERS;
const { server, client, guest } = await startServer(t);
const path = (account: string, query = '') => `/accounts/${account}/image-sharing${query}`;
const file = join(server.baseDir, 'sharing', `${luke}.json`);
const document = (trusted: readonly string[]) => ({ account: luke, trusted_accounts: trusted });

const OPERATOR_ONLY: ExpectedError = {
    status: 403,
    code: 'OperatorOnly',
    message: 'this endpoint may only be called by an operator',
};
const malformed = (field: string, message: string): ExpectedError => ({
    status: 422,
    code: 'InvalidParameter',
    message,
    errors: [[field, 'Invalid']],
});

await t.test('put and get', async (t) => {
    const none = await client.get(path(luke));
    t.strictSame([none.status, none.json], [200, document([])], 'of an unknown account');
    t.equal(none.text, JSON.stringify(document([]), null, 2));
    const body = { trusted_accounts: [vader, emperor, vader], more: 'is not looked at' };
    const put = await client.put(path(luke), undefined, { json: body });
    t.strictSame([put.status, put.json], [200, document([vader, emperor])], 'each once');
    t.strictSame((await client.get(path(luke, `?account=${luke}`))).json, document([vader, emperor]));
    const stored = JSON.parse(readFileSync(file, 'utf8')) as Document;
    t.match(stored, { ...document([vader, emperor]), mtime: /^\d{4}-.*Z$/ });
    const head = await client.request('HEAD', path(luke));
    t.strictSame([head.status, head.body.length], [200, 0]);
    const replaced = await client.put(path(luke, `?account=${luke}`), undefined, {
        json: { trusted_accounts: [emperor] },
    });
    t.strictSame(replaced.json, document([emperor]), 'the list is replaced, by the account itself');
    t.strictSame((await client.get(path(vader))).json, { account: vader, trusted_accounts: [] });
});

await t.test('what is refused, in order', async (t) => {
    const rows: readonly ErrorRow[] = ['GET', 'PUT'].flatMap((method) => [
        {
            name: `${method}: no account in the path`,
            method,
            path: path('nobody', '?x=1'),
            status: 404,
            code: 'ResourceNotFound',
            message: '/accounts/nobody/image-sharing?x=1 does not exist',
        },
        {
            name: `${method}: a malformed account`,
            method,
            path: path(luke, '?account=x'),
            json: { trusted_accounts: 7 },
            ...malformed('account', 'invalid "account": not a UUID: "x"'),
        },
        {
            name: `${method}: for another account`,
            method,
            path: path(luke, `?account=${vader}`),
            json: { trusted_accounts: 7 },
            ...OPERATOR_ONLY,
        },
    ]);
    await runErrorRows(t, client, rows);
    const put = { name: '', method: 'PUT', path: path(luke) };
    await runErrorRows(t, client, [
        {
            ...put,
            name: 'a body that is no JSON comes before the account',
            path: path(luke, '?account=x'),
            body: '{',
            headers: { 'content-type': 'application/json' },
            status: 400,
            code: 'InvalidContent',
            message: (
                await client.post('/images', undefined, {
                    body: '{',
                    headers: { 'content-type': 'application/json' },
                })
            ).error.message,
        },
        {
            ...put,
            name: 'no body',
            status: 422,
            code: 'ValidationFailed',
            message: 'missing request body',
            errors: [['body', 'MissingParameter']],
        },
        {
            ...put,
            name: 'no list',
            json: {},
            status: 422,
            code: 'ValidationFailed',
            message: 'missing "trusted_accounts"',
            errors: [['trusted_accounts', 'MissingParameter']],
        },
        {
            ...put,
            name: 'not a list',
            json: { trusted_accounts: luke },
            ...malformed('trusted_accounts', 'invalid "trusted_accounts" (not an array)'),
        },
        {
            ...put,
            name: 'not a uuid',
            json: { trusted_accounts: [vader, 'x'] },
            ...malformed('trusted_accounts', 'invalid "trusted_accounts" (item 1 is not a UUID): x'),
        },
    ]);
    t.strictSame((await client.get(path(luke))).json, document([emperor]), 'nothing has changed');
    for (const method of ['GET', 'PUT']) {
        expectError(t, await guest.request(method, path('nobody')), UNAUTHORIZED, `${method} by nobody`);
    }
    const wrong = await client.request('DELETE', path(luke));
    t.strictSame([wrong.status, wrong.header('allow')], [405, 'GET, HEAD, PUT']);
});

await t.test('an empty list leaves nothing behind', async (t) => {
    t.ok(existsSync(file));
    const answer = await client.put(path(luke), undefined, { json: { trusted_accounts: [] } });
    t.strictSame([answer.status, answer.json], [200, document([])]);
    t.notOk(existsSync(file));
    t.strictSame((await client.get(path(luke))).json, document([]));
});
