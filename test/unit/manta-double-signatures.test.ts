import t from 'tap';
import { HttpClient } from '../helpers/http-client.js';
import { startManta } from '../helpers/manta-place.js';
import { codeOf, rawKey } from '../helpers/manta-raw.js';
import { createKey, signatureHeaders, type KeyKind, type SigningKey } from '../helpers/signing.js';

const USER = createKey('user');
const OPERATOR = createKey('ops');
const ACCOUNTS = {
    user: { keys: [USER.publicLine] },
    ops: { keys: [OPERATOR.publicLine], operator: true },
};

void t.test('who may do what', async (t) => {
    const { double } = await startManta(t, { accounts: ACCOUNTS });
    const http = new HttpClient(double.port);
    const code = async (headers: Record<string, string>, path = '/user/stor'): Promise<string> => {
        const answer = await http.get(path, { headers });
        return answer.status === 200 ? '200' : codeOf(answer);
    };
    const as = (key: SigningKey, date?: Date): Record<string, string> => signatureHeaders(key, date);
    const [user, operator] = [rawKey('user', USER), rawKey('ops', OPERATOR)];
    const minutes = (count: number): Date => new Date(Date.now() + count * 60_000);

    t.equal(await code(as(user)), '200');
    t.equal(await code(as(user, minutes(4.9))), '200');
    t.equal(await code(as(user, minutes(5.1))), '400 InvalidHeader');
    t.equal(await code(as(user, minutes(-5.1))), '400 InvalidHeader');
    t.equal(await code({}), '403 AuthorizationFailed');
    t.equal(await code({ authorization: 'Signature keyId="x"' }), '400 InvalidHeader');
    t.equal(await code(as({ ...user, user: '/user/keys/00:11' })), '403 KeyDoesNotExist');
    t.equal(await code(as({ ...user, user: rawKey('user', OPERATOR).user })), '403 KeyDoesNotExist');
    t.equal(await code(as(rawKey('nobody', USER))), '403 AccountDoesNotExist');
    t.equal(await code(as({ ...user, user: 'user' })), '403 AccountDoesNotExist');
    t.equal(await code(as({ ...OPERATOR, user: user.user })), '403 InvalidSignature');
    t.equal(await code({ ...as(user), date: minutes(1).toUTCString() }), '403 InvalidSignature');
    t.equal(await code(as({ ...user, algorithm: 'ecdsa-sha256' })), '403 InvalidSignature');
    t.equal(await code(as(user), '/admin/stor'), '403 AuthorizationFailed');
    t.equal(await code(as(user), '/nobody/stor'), '403 AccountDoesNotExist');
    t.equal(await code(as(operator), '/admin/stor'), '200');
    t.equal(await code(as(operator), '/nobody/stor'), '403 AccountDoesNotExist');
});

void t.test('every kind of key', async (t) => {
    for (const kind of ['rsa', 'ecdsa', 'ed25519'] satisfies readonly KeyKind[]) {
        const key = createKey('user', kind);
        const { double } = await startManta(t, {
            accounts: { user: { keys: [USER.publicLine, key.publicLine] } },
        });
        for (const each of [key, USER]) {
            const answer = await new HttpClient(double.port, rawKey('user', each)).get('/user/stor');
            t.equal(answer.status, 200);
        }
        const forged = { ...key, sign: (text: string) => createKey('user', kind).sign(text) };
        const refused = await new HttpClient(double.port, { ...rawKey('user', key), sign: forged.sign }).get(
            '/user/stor',
        );
        t.equal(codeOf(refused), '403 InvalidSignature');
    }
});
