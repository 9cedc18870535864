import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { UfdsAccounts } from '#lib/accounts/ufds/ufds-accounts.js';
import type { UfdsLimits } from '#lib/accounts/ufds/limits.js';
import { ApiError } from '#lib/base/errors.js';
import { systemClock } from '#lib/base/clock.js';
import { UfdsDouble, type UfdsDoubleOptions, type UfdsFault } from '../doubles/ufds/ufds-double.js';
import { UNKNOWN, USERS } from '../helpers/images.js';
import { recordingLog, type LogRecord } from '../helpers/recording-log.js';
import { selfSigned } from '../helpers/self-signed.js';
import { eventually, freePort, PROJECT_ROOT } from '../helpers/server-process.js';
import { noSlapd, Slapd } from '../helpers/slapd.js';

const WAIT_MS = 20_000;
/** Short, so that recovery is soon; long enough for a busy machine. */
const QUICK: Partial<UfdsLimits> = { firstPauseMs: 20, longestPauseMs: 100 };
/** After a failure nobody asks again while the test runs. */
const ONCE: Partial<UfdsLimits> = { firstPauseMs: 600_000, longestPauseMs: 600_000 };

interface Setup {
    readonly double: UfdsDouble;
    readonly accounts: UfdsAccounts;
    readonly records: LogRecord[];
    /** Moves the clock. */
    readonly pass: (ms: number) => void;
}

async function setup(
    test: Test,
    limits: Partial<UfdsLimits> = QUICK,
    options: UfdsDoubleOptions & { readonly bindPassword?: string } = {},
): Promise<Setup> {
    const double = await UfdsDouble.start(options);
    const { log, records } = recordingLog();
    let now = Date.now();
    const access = { ...double.config, bindPassword: options.bindPassword ?? double.bindPassword };
    const accounts = new UfdsAccounts({ access, log, clock: { now: () => now }, limits });
    test.teardown(async () => {
        await accounts.close();
        await double.stop();
    });
    return { double, accounts, records, pass: (ms) => (now += ms) };
}

/** Asserts the one answer that a client may see while accounts cannot be looked up. */
async function rejectsUnavailable(test: Test, asked: Promise<unknown>, comment: string): Promise<void> {
    const error: unknown = await asked.then(
        () => undefined,
        (reason: unknown) => reason,
    );
    test.ok(error instanceof ApiError, comment);
    if (error instanceof ApiError) {
        test.equal(error.code, 'ServiceUnavailableError');
        test.equal(error.message, 'user database is unavailable');
        test.equal(error.status, 503);
        test.strictSame(error.headers, { 'Retry-After': '5' });
        test.ok(error.cause instanceof Error, 'the cause is for the log');
    }
}

/** Asks until there is an answer; what comes before must be the documented refusal. */
async function recovers(test: Test, accounts: UfdsAccounts, uuid: string): Promise<void> {
    const known = await eventually('an answer', WAIT_MS, async () => {
        try {
            return { known: await accounts.exists(uuid) };
        } catch (error) {
            if (!(error instanceof ApiError) || error.code !== 'ServiceUnavailableError') throw error;
            return undefined;
        }
    });
    test.strictSame(known, { known: true });
}

void t.test('accounts are there or not', async (t) => {
    const { double, accounts } = await setup(t);
    for (const uuid of Object.values(USERS)) t.equal(await accounts.exists(uuid), true);
    t.equal(await accounts.exists(UNKNOWN), false);
    for (const [login, uuid] of Object.entries(USERS)) t.equal(await accounts.login(uuid), login);
    t.equal(await accounts.login(UNKNOWN), undefined);
    t.equal(double.lookups[0], `(&(objectclass=sdcperson)(uuid=${USERS.vader}))`);
    t.equal(double.searches, 6, 'one search an account, and each time for one that is not there');
    t.equal(double.binds, 1, 'on one connection');
    t.equal(double.connections, 1);
});

void t.test('found accounts are remembered for a minute, nothing else is', async (t) => {
    const { double, accounts, pass } = await setup(t);
    for (let i = 0; i < 3; i += 1) t.equal(await accounts.exists(USERS.vader), true);
    t.equal(double.lookups.length, 1);

    t.equal(await accounts.exists(UNKNOWN), false);
    double.users.set(UNKNOWN, { uuid: UNKNOWN, login: 'new' });
    t.equal(await accounts.exists(UNKNOWN), true, 'a new account is seen at once');
    t.equal(double.lookups.length, 3);

    double.users.delete(USERS.vader);
    pass(59_999);
    t.equal(await accounts.exists(USERS.vader), true, 'remembered');
    pass(1);
    t.equal(await accounts.exists(USERS.vader), false, 'asked again');

    t.equal(await accounts.exists(USERS.luke), true);
    double.users.delete(USERS.luke);
    pass(-120_000);
    t.equal(await accounts.exists(USERS.luke), false, 'a clock that was set back keeps nothing alive');
});

void t.test('the account that was not asked for the longest is forgotten', async (t) => {
    const { double, accounts } = await setup(t, { ...QUICK, maxFound: 2 });
    await accounts.exists(USERS.vader);
    await accounts.exists(USERS.luke);
    await accounts.exists(USERS.vader);
    await accounts.exists(USERS.emperor);
    t.equal(double.lookups.length, 3);
    await accounts.exists(USERS.vader);
    t.equal(double.lookups.length, 3, 'vader was used since');
    await accounts.exists(USERS.luke);
    t.equal(double.lookups.length, 4, 'luke was forgotten');
});

void t.test('what is asked for never becomes a filter', async (t) => {
    const { double, accounts } = await setup(t);
    for (const text of ['*', '86055c40*', `*)(uuid=${USERS.vader}`, `${USERS.vader}\\2a`, '\0']) {
        t.equal(await accounts.exists(text), false, JSON.stringify(text));
    }
    t.equal(double.binds, 1);
    t.equal(double.lookups[0], '(&(objectclass=sdcperson)(uuid=\\2a))');
});

void t.test('lookups of one account share a search, others go on at the same time', async (t) => {
    const { double, accounts } = await setup(t, { ...QUICK, maxLookups: 2 });
    await accounts.ping();
    const release = double.hold();
    const asked = [USERS.vader, USERS.vader, USERS.luke, USERS.vader].map((uuid) => accounts.exists(uuid));
    await rejectsUnavailable(t, accounts.exists(USERS.emperor), 'more at a time than allowed');
    release();
    t.strictSame(await Promise.all(asked), [true, true, true, true]);
    t.equal(double.lookups.length, 2);
    t.equal(double.binds, 1);
    t.equal(await accounts.exists(USERS.emperor), true);
});

void t.test('refused credentials', async (t) => {
    const { double, accounts, records, pass } = await setup(t, QUICK, { bindPassword: 'guessed wrong' });
    await rejectsUnavailable(t, accounts.exists(USERS.vader), 'a lookup');
    await t.rejects(accounts.ping(), { name: 'InvalidCredentialsError' });
    await eventually('more tries', WAIT_MS, () => double.refusedBinds > 3);
    const complaints = (): LogRecord[] => records.filter(({ level }) => level >= 40);
    t.match(
        complaints(),
        [
            {
                level: 50,
                msg: 'user database refuses ufds.bindDN and ufds.bindPassword',
                component: 'accounts',
                ufdsClient: true,
                err: { message: /Invalid Credentials/i },
            },
        ],
        'one line',
    );
    t.equal(complaints().length, 1);
    pass(60_000);
    await eventually('a second complaint a minute later', WAIT_MS, () => complaints().length === 2);

    double.bindPassword = 'guessed wrong';
    await recovers(t, accounts, USERS.vader);
    t.match(records.at(-1), { level: 30, msg: 'user database answers' });
    t.notMatch(JSON.stringify(records), 'guessed wrong', 'the password is not logged');
});

void t.test('an outage', async (t) => {
    const { double, accounts, records } = await setup(t);
    t.equal(await accounts.exists(USERS.vader), true);
    await double.stop();
    await rejectsUnavailable(t, accounts.exists(USERS.luke), 'a lookup');
    await rejectsUnavailable(t, accounts.exists(UNKNOWN), 'never an absence');
    await t.rejects(accounts.ping(), /ECONNREFUSED/);
    t.equal(await accounts.exists(USERS.vader), true, 'what is remembered is answered');
    await double.start();
    await recovers(t, accounts, USERS.luke);
    t.equal(await accounts.exists(UNKNOWN), false);
    t.strictSame(
        records.map(({ msg }) => msg),
        ['user database answers', 'user database is unavailable', 'user database answers'],
        'a line a change',
    );
});

void t.test('a directory that comes late is found without being asked for', async (t) => {
    const { double, accounts } = await setup(t);
    await double.stop();
    await t.rejects(accounts.ping());
    await double.start();
    await eventually('a connection', WAIT_MS, () => double.binds === 1);
});

void t.test('a restart costs no request', async (t) => {
    const { double, accounts } = await setup(t, ONCE);
    t.equal(await accounts.exists(USERS.vader), true);
    await double.stop();
    await double.start();
    t.equal(await accounts.exists(USERS.luke), true);
    t.equal(double.binds, 2);

    double.failOnce('break-off');
    t.equal(await accounts.exists(USERS.emperor), true, 'broken off in the middle of an answer, asked again');
    t.equal(double.binds, 3);

    double.failOnce('forget');
    t.equal(await accounts.exists(UNKNOWN), false, 'told to bind anew');
    t.equal(double.binds, 4);
});

void t.test('after a failure requests do not wait', async (t) => {
    const { double, accounts } = await setup(t, { ...ONCE, callMs: 300 });
    double.fault = 'hang';
    await rejectsUnavailable(t, accounts.exists(USERS.vader), 'in time');
    double.fault = 'none';
    const started = performance.now();
    await rejectsUnavailable(t, accounts.exists(USERS.vader), 'at once');
    t.ok(performance.now() - started < 200);
    t.equal(double.binds, 0);
});

void t.test('one that does not answer is given up in time, connected or not', async (t) => {
    for (const fault of ['hang', 'hang-search'] as const) {
        const { double, accounts } = await setup(t, { ...QUICK, callMs: 300 });
        double.fault = fault;
        const started = performance.now();
        await rejectsUnavailable(t, accounts.exists(USERS.luke), fault);
        double.fault = 'none';
        await recovers(t, accounts, USERS.luke);
        double.fault = 'hang-search';
        await rejectsUnavailable(t, accounts.exists(USERS.vader), `${fault}, then on a good connection`);
        t.ok(performance.now() - started < 4000);
        double.fault = 'none';
        await recovers(t, accounts, USERS.vader);
    }
});

void t.test('answers that are none', async (t) => {
    const faults: UfdsFault[] = [
        'break-off',
        'hang-up',
        'busy',
        'no-base',
        'strange-code',
        'nonsense',
        'forget',
    ];
    for (const fault of faults) {
        const { double, accounts } = await setup(t, { ...ONCE, callMs: 1000 });
        double.fault = fault;
        await rejectsUnavailable(t, accounts.exists(USERS.vader), fault);
    }
    for (const fault of faults) {
        const { double, accounts } = await setup(t, { ...QUICK, callMs: 1000 });
        t.equal(await accounts.exists(USERS.vader), true);
        double.fault = fault;
        if (fault === 'hang-up') double.dropConnections();
        await rejectsUnavailable(t, accounts.exists(USERS.luke), `${fault} on a good connection`);
        double.fault = 'none';
        await recovers(t, accounts, USERS.luke);
    }
});

void t.test('a busy directory keeps its connection', async (t) => {
    const { double, accounts, records } = await setup(t, ONCE);
    t.equal(await accounts.exists(USERS.vader), true);
    for (let i = 0; i < 5; i += 1) {
        double.fault = 'busy';
        await rejectsUnavailable(t, accounts.exists(USERS.luke), 'busy');
        double.fault = 'none';
        t.equal(await accounts.exists(UNKNOWN), false);
    }
    t.equal(double.binds, 1);
    t.equal(records.filter(({ level }) => level === 50).length, 1, 'complained of once a minute');
    t.equal(records.length, 3);
});

void t.test('an entry without the uuid asked for is no account', async (t) => {
    const { double, accounts } = await setup(t);
    t.equal(await accounts.exists(USERS.vader.toUpperCase()), false);
    t.equal(double.lookups.length, 1);
});

void t.test('an idle connection is given up and made again', async (t) => {
    const { double, accounts } = await setup(t, { ...QUICK, idleMs: 50 });
    t.equal(await accounts.exists(USERS.vader), true);
    await eventually('the unbind', WAIT_MS, () => double.unbinds === 1 && double.connections === 0);
    t.equal(await accounts.exists(USERS.luke), true);
    t.equal(double.binds, 2);
});

void t.test('TLS with a certificate nobody has signed', async (t) => {
    const { double, accounts } = await setup(t, QUICK, { tls: selfSigned('ufds.example.com') });
    t.match(double.url, /^ldaps:/);
    t.equal(await accounts.exists(USERS.vader), true);
    t.equal(await accounts.exists(UNKNOWN), false);
    await double.stop();
    await double.start();
    t.equal(await accounts.exists(USERS.luke), true);
    await double.stop();
    await rejectsUnavailable(t, accounts.exists(USERS.emperor), 'an outage');
});

void t.test('a URL that is none', async (t) => {
    const { log } = recordingLog();
    for (const url of ['http://127.0.0.1', 'nowhere', `ldap://127.0.0.1:${await freePort()}`]) {
        const access = { url, bindDN: 'cn=root', bindPassword: 'x' };
        const accounts = new UfdsAccounts({ access, log, clock: systemClock, limits: ONCE });
        await rejectsUnavailable(t, accounts.exists(USERS.vader), url);
        await accounts.close();
    }
});

void t.test('closing', async (t) => {
    const { double, accounts } = await setup(t);
    await accounts.exists(USERS.vader);
    double.fault = 'hang';
    const asked = accounts.exists(USERS.luke);
    await eventually('the search', WAIT_MS, () => double.lookups.length === 2);
    await Promise.all([rejectsUnavailable(t, asked, 'what was under way'), accounts.close()]);
    await eventually('the end of the connection', WAIT_MS, () => double.connections === 0);
    await rejectsUnavailable(t, accounts.exists(USERS.luke), 'afterwards');

    const early = await setup(t, QUICK);
    early.double.fault = 'hang';
    const never = early.accounts.exists(USERS.luke);
    await eventually('a connection', WAIT_MS, () => early.double.connections === 1);
    await Promise.all([rejectsUnavailable(t, never, 'while binding'), early.accounts.close()]);
    await eventually('no connection', WAIT_MS, () => early.double.connections === 0);
});

void t.test('nothing keeps a process alive once it is closed', async (t) => {
    const { double } = await setup(t);
    for (const fault of ['none', 'hang-up', 'hang-search'] as const) {
        double.fault = fault;
        const script = `
            import { UfdsAccounts } from '#lib/accounts/ufds/ufds-accounts.js';
            import { createLogger } from '#lib/base/log.js';
            const access = ${JSON.stringify(double.config)};
            const accounts = new UfdsAccounts({ access, log: createLogger(), clock: Date, limits: { callMs: 500 } });
            await accounts.exists('${USERS.vader}').catch(() => undefined);
            await accounts.close();
        `;
        const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
            cwd: PROJECT_ROOT,
            env: { PATH: process.env['PATH'] },
            stdio: ['ignore', 'ignore', 'inherit'],
            timeout: WAIT_MS,
            killSignal: 'SIGKILL',
        });
        t.strictSame(await once(child, 'exit'), [0, null], fault);
    }
});

void t.test("Debian's slapd", { skip: noSlapd }, async (t) => {
    const slapd = await Slapd.start(USERS);
    const { url, bindDN, bindPassword } = slapd;
    const { log } = recordingLog();
    const open = (password: string): UfdsAccounts =>
        new UfdsAccounts({
            access: { url, bindDN, bindPassword: password },
            log,
            clock: systemClock,
            limits: QUICK,
        });
    const accounts = open(bindPassword);
    const stranger = open('wrong');
    t.teardown(async () => {
        await accounts.close();
        await stranger.close();
        await slapd.remove();
    });
    await accounts.ping();
    for (const [login, uuid] of Object.entries(USERS)) t.equal(await accounts.login(uuid), login);
    t.equal(await accounts.exists(UNKNOWN), false);
    t.equal(await accounts.exists('*'), false);
    await t.rejects(stranger.ping(), { name: 'InvalidCredentialsError' });
    await rejectsUnavailable(t, stranger.exists(USERS.vader), 'refused credentials');

    await slapd.stop();
    await rejectsUnavailable(t, accounts.exists(UNKNOWN), 'an outage');
    t.equal(await accounts.exists(USERS.vader), true, 'remembered');
    await slapd.start();
    await eventually('an answer', WAIT_MS, async () =>
        accounts.exists(UNKNOWN).then(
            (known) => !known,
            () => false,
        ),
    );
    t.equal(await accounts.exists(UNKNOWN), false);
    await accounts.ping();
});
