// Whom accounts trust (jobs-and-imports 8.8, README table B).
import t from 'tap';
import { newUuid } from '#lib/base/uuid.js';
import { getImageSharing, putImageSharing } from '#lib/images/image-sharing.js';
import type { JsonValue } from '#lib/manifest/types.js';
import { dcBench, THIRD } from '../helpers/clone-bench.js';
import { onEveryBackend, refusal, type Refusal, refused } from '../helpers/image-bench.js';
import { USERS } from '../helpers/images.js';

const { vader, luke } = USERS;

onEveryBackend(t, 'trusted accounts', async (t, backend) => {
    const bench = await dcBench(t, { backend });
    const get = (account: string, context = {}) =>
        getImageSharing(bench.services, bench.context(context), account);
    const put = (account: string, body: JsonValue | undefined, context = {}) =>
        putImageSharing(bench.services, bench.context(context), account, body);
    t.same(await get(luke), { account: luke, trusted_accounts: [] }, 'of an unknown account');
    const three = { account: luke, trusted_accounts: [THIRD, vader] };
    t.same(await put(luke, { trusted_accounts: [THIRD, vader, THIRD] }), three, 'the first of each stays');
    t.same(await get(luke, { account: luke }), three);
    t.same(await get(vader), { account: vader, trusted_accounts: [] });
    const only = refused(403, 'OperatorOnly', 'this endpoint may only be called by an operator');
    t.same(await refusal(get(luke, { account: vader })), only);
    t.same(await refusal(put(luke, undefined, { account: vader })), only, 'before the body');

    const field = 'trusted_accounts';
    const invalid = (why: string) =>
        refused(422, 'InvalidParameter', `invalid "${field}" ${why}`, [field, 'Invalid']);
    const many = Array.from({ length: 1001 }, newUuid);
    const rows: readonly (readonly [body: JsonValue | undefined, expected: Refusal])[] = [
        [undefined, refused(422, 'ValidationFailed', 'missing request body', ['body', 'MissingParameter'])],
        [
            [luke],
            refused(422, 'ValidationFailed', 'invalid request body: not a JSON object', ['body', 'Invalid']),
        ],
        [{}, refused(422, 'ValidationFailed', `missing "${field}"`, [field, 'MissingParameter'])],
        [{ [field]: null }, invalid('(not an array)')],
        [{ [field]: luke }, invalid('(not an array)')],
        [{ [field]: { 0: luke } }, invalid('(not an array)')],
        [{ [field]: [luke, 'x'] }, invalid('(item 1 is not a UUID): x')],
        [{ [field]: [7] }, invalid('(item 0 is not a UUID): 7')],
        [{ [field]: [luke.toUpperCase()] }, invalid(`(item 0 is not a UUID): ${luke.toUpperCase()}`)],
        [{ [field]: [...many, 'x'] }, invalid('(item 1001 is not a UUID): x')],
        [{ [field]: many }, invalid('(more than 1000)')],
    ];
    for (const [body, expected] of rows) {
        t.same(await refusal(put(luke, body)), expected, JSON.stringify(body)?.slice(0, 60));
    }
    t.same(await get(luke), three, 'a refused list changes nothing');
    const most = many.slice(1);
    await put(luke, { [field]: [...most, ...most] });
    t.same((await get(luke)).trusted_accounts, most, '1000 accounts, however often each is named');
    t.same(await put(luke, { [field]: [] }), { account: luke, trusted_accounts: [] });
    t.same(await get(luke), { account: luke, trusted_accounts: [] });
});
