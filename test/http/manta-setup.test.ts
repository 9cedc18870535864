// imgapi-manta-setup and imgapi-external-manta-setup against a datacenter of doubles (operations 3.1).
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sshpk from 'sshpk';
import t, { type Test } from 'tap';
import { withAccountKeys } from '#lib/accounts/ufds/account-keys.js';
import { makeKeyPair } from '#lib/auth/key-pair.js';
import { EXIT } from '#lib/cli/imgapiadm/command.js';
import { EXTERNAL_MANTA_SETUP } from '#lib/cli/scripts/imgapi-external-manta-setup.js';
import { MANTA_SETUP } from '#lib/cli/scripts/imgapi-manta-setup.js';
import { verifyAccess } from '#lib/cli/scripts/manta-setup/access.js';
import {
    FIRST_LOAD_BALANCER,
    removeSetup,
    setUpExternalManta,
    setUpManta,
    showStatus,
} from '#lib/cli/scripts/manta-setup/set-up.js';
import type { UfdsKey } from '../doubles/ufds/ufds-double.js';
import { USERS } from '../helpers/images.js';
import {
    DATACENTER,
    KEY_NAME,
    startScript,
    startSetupPlace,
    type ScriptExit,
    type SetupPlace,
} from '../helpers/manta-setup.js';
import { startManta } from '../helpers/manta-place.js';
import { runHere } from '../helpers/subcommand-run.js';
import { recordingLog } from '../helpers/recording-log.js';
import { eventually } from '../helpers/server-process.js';

const SETUP = 'imgapi-manta-setup';
const EXTERNAL = 'imgapi-external-manta-setup';
const ROOT = `/admin/stor/imgapi/${DATACENTER}`;
const WAIT_MS = 20_000;

/** The changes that SAPI was told of, parsed. */
function changes({ sapi }: SetupPlace): readonly Readonly<Record<string, unknown>>[] {
    const told = sapi.requests.filter(({ method }) => method === 'PUT');
    return told.map(({ body }) => JSON.parse(body) as Readonly<Record<string, unknown>>);
}

function messages({ records }: Pick<ScriptExit, 'records'>): readonly string[] {
    return records.map(({ msg }) => msg);
}

/** Asserts success, and that no private key was told. */
function succeeded(test: Test, exit: ScriptExit, name = SETUP): void {
    test.strictSame([exit.code, exit.stderr], [0, '']);
    test.notMatch(exit.stdout, /PRIVATE KEY/);
    test.ok(exit.records.length > 0, 'it tells what it does');
    for (const record of exit.records) test.match(record, { name, level: Number, v: 0, hostname: String });
}

/** Asserts a failure that changed nothing in SAPI. */
function failed(test: Test, place: SetupPlace, exit: ScriptExit, message: string | RegExp): void {
    test.equal(exit.code, 1);
    test.match(exit.stderr, message);
    test.strictSame(changes(place), [], 'nothing has changed');
}

await t.test('a Manta that shares the accounts', async (t) => {
    const place = await startSetupPlace(t);
    const { ufds, service, manta, sapi } = place;
    const first = await place.run(SETUP, manta.url);
    succeeded(t, first);
    t.ok(
        sapi.requests.every(({ headers }) => headers['accept-version'] === '~2'),
        'the version asked for',
    );
    const [key] = ufds.keys;
    t.match(key, { uuid: USERS.sdc, name: KEY_NAME, openssh: /^ecdsa-sha2-nistp256 \S+ dc-1 imgapi key$/ });
    t.equal(ufds.keys.length, 1);
    const { IMGAPI_PRIVATE_KEY: privateKey, ...shown } = service.metadata;
    const keyId = sshpk.parsePrivateKey(String(privateKey), 'pem').fingerprint('sha256').toString();
    t.strictSame(shown, {
        OTHER: 'stays',
        IMGAPI_MANTA_URL: manta.url,
        IMGAPI_MANTA_USER: 'admin',
        IMGAPI_MANTA_INSECURE: false,
        IMGAPI_MANTA_REMOTE: false,
        IMGAPI_PUBLIC_KEY: key?.openssh,
        IMGAPI_KEY_ID: keyId,
    });
    t.match(
        messages(first).join(),
        'made a new key,public key added to the account,access to Manta verified',
    );
    t.ok(manta.requests({ kind: 'put', path: new RegExp(`^${ROOT}/\\.imgapi-manta-setup\\.`) }).length > 0);
    t.strictSame(manta.objects('/admin/stor'), [], 'the probe is gone');

    await place.setUp({ force: true, insecure: true, remote: true });
    t.strictSame([ufds.keys.length, ufds.keys.includes(key as UfdsKey)], [1, false], 'another key');
    t.match(service.metadata, {
        IMGAPI_PUBLIC_KEY: ufds.keys[0]?.openssh,
        IMGAPI_MANTA_INSECURE: true,
        IMGAPI_MANTA_REMOTE: true,
    });
    t.not(service.metadata['IMGAPI_KEY_ID'], keyId);
    succeeded(t, await place.run(SETUP, '--remove'));
    t.strictSame(service.metadata, { OTHER: 'stays' });
    sapi.requests.length = 0;
    failed(t, place, await place.run(SETUP, '--status'), `${SETUP}: error: no Manta is set up\n`);
});

await t.test('once more', async (t) => {
    const place = await startSetupPlace(t);
    const { ufds, sapi, service } = place;
    await place.setUp();
    const [key] = ufds.keys;
    sapi.requests.length = 0;
    const again = await place.setUp();
    t.match(again.join(), 'the key in use stays,the account has the public key,access to Manta verified');
    t.strictSame([changes(place), ufds.keys], [[], [key]], 'nothing to do');
    await place.setUp({ insecure: true, remote: true });
    t.strictSame(
        changes(place),
        [{ action: 'update', metadata: { IMGAPI_MANTA_INSECURE: true, IMGAPI_MANTA_REMOTE: true } }],
        'what has changed is updated, with the key in use',
    );
    const { IMGAPI_MANTA_URL: url, ...rest } = service.metadata;
    service.metadata = { ...rest, IMGAPI_MANTA_URL: 'https://old.example.com' };
    await place.setUp({ insecure: true, remote: true });
    t.strictSame(changes(place)[1], { action: 'update', metadata: { IMGAPI_MANTA_URL: url } });
    const md5 = sshpk.parseKey(String(key?.openssh), 'ssh').fingerprint('md5').toString('hex');
    service.metadata = { ...service.metadata, IMGAPI_MANTA_REMOTE: 'true', IMGAPI_KEY_ID: md5 };
    await place.setUp({ insecure: true, remote: true });
    t.equal(changes(place).length, 2, 'a switch that is text, or an older fingerprint, says the same');

    t.match((await place.within(showStatus)).join(), 'Manta is set up,access to Manta verified');
    ufds.keys.length = 0;
    await t.rejects(place.within(showStatus), { message: /^admin does not have the key SHA256:/ });
    await place.within(removeSetup);
    t.strictSame(service.metadata, { OTHER: 'stays' });
    t.match(await place.within(removeSetup), ['found the service in SAPI', 'no Manta is set up']);
    t.equal(changes(place).length, 3);

    const elsewhere = { configPath: '/none', sapiUrl: sapi.url };
    const { metadata } = place.application;
    place.application.metadata = { ...metadata, STORAGE_MANTA_BASEDIR: 'images', ufds_is_master: true };
    const { url: mantaUrl } = place.manta;
    const wish = { url: mantaUrl, insecure: false, remote: false, force: false, waitSeconds: 0 };
    const told = await place.within((dc) => setUpManta(dc, wish), elsewhere);
    t.equal(told.at(-1), 'metadata of the service updated', 'without a configuration');
    t.ok(place.manta.entry(`/admin/stor/images/${DATACENTER}`), 'where the servers will keep their files');
});

await t.test('the first load balancer, told to stop', async (t) => {
    const place = await startSetupPlace(t, { tls: true });
    const { sapi, vmapi, manta, ufds, service } = place;
    const url = FIRST_LOAD_BALANCER;
    await t.rejects(place.setUp({ url }), { message: 'SAPI has no application "manta"' });
    const owner = sapi.addApplication('manta').owner_uuid;
    const address = manta.url.replace('https://', '');
    const nic = (nic_tag: string, ip: string): object => ({ nic_tag, ip });
    const vm = (changes: object) => ({
        uuid: randomUUID(),
        owner_uuid: owner,
        state: 'running',
        tags: { manta_role: 'loadbalancer' },
        nics: [nic('manta', '10.0.0.1'), nic('external', '10.0.0.2')],
        ...changes,
    });
    vmapi.vms.push(
        vm({ owner_uuid: USERS.vader }),
        vm({ state: 'stopped' }),
        vm({ tags: { manta_role: 'webapi' } }),
        vm({ nics: [nic('manta', '10.0.0.3')] }),
    );
    await t.rejects(place.setUp({ url }), { message: /^no running load balancer of Manta/ });
    vmapi.vms.push(vm({ nics: [nic('manta', '10.0.0.4'), nic('external', address)] }));
    const untrusted = { message: /no access to Manta at https.*certificate/ };
    await t.rejects(place.setUp({ url, waitSeconds: 300 }), untrusted, 'no waiting helps');
    const unknown = `https://${'a'.repeat(64)}.example.com`;
    await t.rejects(place.setUp({ url: unknown, waitSeconds: 300 }), { message: /: getaddrinfo ENOTFOUND/ });
    t.strictSame(ufds.keys, [], 'the key is taken back');

    ufds.onKey = undefined;
    const args = ['FIRST-LB', '-i', '--config', place.configPath];
    const waiting = startScript(SETUP, args);
    const record = await eventually('a try', WAIT_MS, () =>
        waiting.records().find(({ msg }) => msg === 'no access yet'),
    );
    t.match(record, { tries: 1, reason: /KeyDoesNotExist/, secondsLeft: 300 });
    t.equal(ufds.keys.length, 1);
    waiting.child.kill('SIGINT');
    t.match(await waiting.exited, { code: 130, stderr: '' });
    t.strictSame([ufds.keys, changes(place)], [[], []], 'as if nothing had been');

    ufds.onKey = ({ openssh }) => manta.addKey('admin', openssh);
    await place.setUp({ url, insecure: true });
    t.match(service.metadata, { IMGAPI_MANTA_URL: manta.url, IMGAPI_MANTA_INSECURE: true });
    vmapi.fault = 'unavailable';
    await t.rejects(place.setUp({ url }), { message: /^VMAPI is unavailable: / });
    vmapi.fault = 'garbage';
    await t.rejects(place.setUp({ url }), { message: /^VMAPI is unavailable: / });
});

await t.test('a Manta elsewhere', async (t) => {
    const own = makeKeyPair('images@example.com');
    const place = await startSetupPlace(t, { user: 'images', accounts: { admin: { keys: [] } } });
    const { manta, service, ufds } = place;
    const file = join(place.directory, 'images.key');
    const args = [EXTERNAL, manta.url, 'images', file, '--wait', '0'] as const;
    const wish = { url: manta.url, user: 'images', keyPath: file, insecure: false, waitSeconds: 0 };
    const setUp = (): Promise<unknown> => place.within((dc) => setUpExternalManta(dc, wish));
    await t.rejects(setUp(), { message: `cannot read ${file} (ENOENT)` });
    writeFileSync(file, own.privateKey);
    writeFileSync(`${file}.pub`, `${own.publicKey}\n`);
    failed(
        t,
        place,
        await place.run(...args),
        /no access to Manta at .* as images with key SHA256:.*KeyDoesNotExist/,
    );
    manta.addKey('images', own.publicKey);
    const exit = await place.run(...args, '--sapi-url', place.sapi.url);
    succeeded(t, exit, EXTERNAL);
    t.strictSame(service.metadata, {
        OTHER: 'stays',
        IMGAPI_MANTA_URL: manta.url,
        IMGAPI_MANTA_USER: 'images',
        IMGAPI_MANTA_INSECURE: false,
        IMGAPI_MANTA_REMOTE: true,
        IMGAPI_PRIVATE_KEY: own.privateKey,
        IMGAPI_PUBLIC_KEY: own.publicKey,
        IMGAPI_KEY_ID: own.fingerprint,
    });
    t.strictSame(ufds.searches, 0, 'the accounts of the datacenter have no part in it');
    await place.within(showStatus);

    const told = await place.setUp();
    t.match(told.join(), 'the key in use belongs to another user,made a new key');
    t.equal(service.metadata['IMGAPI_MANTA_USER'], 'admin', 'back to the accounts of the datacenter');
});

await t.test('the user database', async (t) => {
    const place = await startSetupPlace(t);
    const { ufds, application, sapi, service } = place;
    ufds.uniqueNames = true;
    await place.setUp();
    await place.setUp({ force: true });
    t.equal(ufds.keys.length, 1, 'where names are unique, the old key makes room');
    t.equal(ufds.keys[0]?.openssh, service.metadata['IMGAPI_PUBLIC_KEY']);

    const used = ufds.keys.map(({ name, openssh }) => ({ name, openssh }));
    const same = (what: string): boolean => t.match(ufds.keys, used, what) && t.equal(ufds.keys.length, 1);
    const { onKey } = ufds;
    ufds.onKey = undefined;
    await t.rejects(place.setUp({ force: true }), { message: /KeyDoesNotExist/ });
    same('and comes back when the new one cannot be used');
    const waiting = startScript(SETUP, [place.manta.url, '--force', '--config', place.configPath]);
    await eventually('a try', WAIT_MS, () => waiting.records().find(({ msg }) => msg === 'no access yet'));
    waiting.child.kill('SIGINT');
    t.match(await waiting.exited, { code: 130, stderr: '' });
    same('also after Ctrl-C');
    ufds.onKey = onKey;
    sapi.refusal = { status: 409, code: 'InvalidArgument', message: 'no' };
    await t.rejects(place.setUp({ force: true }), { message: 'SAPI: no (InvalidArgument)' });
    same('and when SAPI refuses');

    ufds.keys.length = 0;
    await place.setUp();
    t.equal(ufds.keys[0]?.openssh, service.metadata['IMGAPI_PUBLIC_KEY'], 'a lost key is added again');

    const { ufds_domain: host, ...rest } = application.metadata;
    application.metadata = {
        ...rest,
        ufds_is_master: 'false',
        ufds_domain: 'no.where.invalid',
        ufds_remote_ip: host,
    };
    await place.setUp();
    application.metadata = { ...rest, ufds_domain: host };

    sapi.requests.length = 0;
    const { metadata } = service;
    const rejects = (message: RegExp | string): Promise<unknown> =>
        t.rejects(place.setUp({ force: true }), { message });
    ufds.readOnly = true;
    await rejects(/^user database ldaps:.*: InsufficientAccessRightsError: /);
    ufds.readOnly = false;
    for (const fault of ['hang-up', 'break-off', 'busy', 'no-base'] as const) {
        ufds.fault = fault;
        await rejects(/^user database ldaps:/);
    }
    ufds.fault = 'none';
    for (const key of ['ufds_ldap_root_pw', 'ufds_admin_uuid', 'datacenter_name']) {
        application.metadata = { ...rest, ufds_domain: host, [key]: '' };
        await rejects(`SAPI's application "sdc" has no metadata "${key}"`);
    }
    application.metadata = { ...rest, ufds_domain: host, ufds_admin_uuid: 'me, o=smartdc' };
    await rejects(/is no UUID/);
    application.metadata = { ...rest, ufds_domain: host, ufds_ldap_root_pw: 'wrong' };
    await rejects(/InvalidCredentials/);
    await ufds.stop();
    application.metadata = { ...rest, ufds_domain: host };
    await rejects(/^user database ldaps:/);
    t.strictSame([service.metadata, changes(place)], [metadata, []], 'nothing has changed');

    await ufds.start();
    ufds.fault = 'hang-search';
    const asked = { access: ufds.config, account: USERS.sdc, signal: AbortSignal.timeout(WAIT_MS) };
    const has = (changes: object): Promise<boolean> =>
        withAccountKeys({ ...asked, ...changes }, (keys) => keys.has(makeKeyPair('a').publicKey));
    await t.rejects(has({ limitMs: 300 }), { message: /TookTooLong/ }, 'silence');
    const reason = new Error('enough');
    await t.rejects(has({ signal: AbortSignal.abort(reason) }), { message: 'enough' });
});

await t.test('SAPI', async (t) => {
    const place = await startSetupPlace(t);
    const { sapi, service, ufds } = place;
    for (const fault of ['unavailable', 'break-off', 'garbage'] as const) {
        sapi.fault = fault;
        await t.rejects(place.setUp(), { message: /^SAPI/ }, fault);
    }
    sapi.fault = 'none';
    t.strictSame(ufds.keys, []);
    sapi.refusal = { status: 409, code: 'InvalidArgument', message: 'no' };
    await t.rejects(place.setUp(), { message: 'SAPI: no (InvalidArgument)' });
    t.strictSame(service.metadata, { OTHER: 'stays' });
    await place.setUp();
    t.equal(ufds.keys.length, 1, 'what the failed run left is removed');

    const before = service.metadata['IMGAPI_KEY_ID'];
    const stop = new AbortController();
    sapi.onChange = () => stop.abort();
    await place.setUp({ force: true }, stop.signal);
    t.ok(stop.signal.aborted, 'too late to stop');
    sapi.onChange = undefined;
    t.not(service.metadata['IMGAPI_KEY_ID'], before);
    t.strictSame(
        ufds.keys.map(({ openssh }) => openssh),
        [service.metadata['IMGAPI_PUBLIC_KEY']],
    );

    const key = service.metadata['IMGAPI_PRIVATE_KEY'];
    service.metadata = { ...service.metadata, IMGAPI_PRIVATE_KEY: 'broken' };
    const message = 'IMGAPI_PRIVATE_KEY is no private key; --force makes a new key';
    await t.rejects(place.setUp(), { message });
    await place.setUp({ force: true });
    service.metadata = { ...service.metadata, IMGAPI_PRIVATE_KEY: key };
    await t.rejects(place.setUp(), { message: /IMGAPI_PUBLIC_KEY does not belong to IMGAPI_PRIVATE_KEY/ });
    service.metadata = { OTHER: 'stays', IMGAPI_MANTA_URL: 'https://old.example.com' };
    const incomplete = /not complete: IMGAPI_MANTA_USER, .*, IMGAPI_KEY_ID missing/;
    await t.rejects(place.within(showStatus), { message: incomplete });
    sapi.services.length = 0;
    await t.rejects(place.setUp(), { message: 'SAPI has no service "imgapi"' });
});

await t.test('access is tried again for a while', async (t) => {
    const { double, config } = await startManta(t);
    const { log, records } = recordingLog();
    const key = makeKeyPair('a');
    const settings = { url: double.url, user: config.user, insecure: false, remote: false, key };
    const { signal } = new AbortController();
    const probe = { settings, rootDir: '/admin/stor/a/b', waitSeconds: 60, pauseMs: 20, signal, log };
    const verified = verifyAccess(probe);
    await eventually('two tries', WAIT_MS, () => records.length >= 2);
    await double.stop();
    await eventually('an outage', WAIT_MS, () =>
        records.some(({ reason }) => String(reason).includes('ECONNREFUSED')),
    );
    await double.restart();
    double.addKey('admin', key.publicKey);
    await verified;
    t.equal(records.at(-1)?.msg, 'access to Manta verified');
    t.strictSame(double.objects('/admin/stor'), []);

    const denied = { ...probe, settings: { ...settings, key: makeKeyPair('b') }, waitSeconds: 0.1 };
    const started = performance.now();
    await t.rejects(verifyAccess(denied), { message: /KeyDoesNotExist/ });
    t.ok(performance.now() - started < 5000, 'no longer than told');
    double.inject({ refuse: { status: 409, code: 'Odd', message: 'no' } }, { kind: 'put' });
    await t.rejects(verifyAccess(probe), { message: /Odd: no$/ }, 'what will not pass is not waited for');
});

await t.test('command lines', async (t) => {
    const scripts = { [SETUP]: MANTA_SETUP, [EXTERNAL]: EXTERNAL_MANTA_SETUP };
    for (const [name, ...args] of [
        [SETUP],
        [SETUP, 'ftp://x'],
        [SETUP, 'https://x/y'],
        [SETUP, 'https://x', 'more'],
        [SETUP, 'https://x', '--wait', 'long'],
        [SETUP, 'https://x', '--wait', '86401'],
        [SETUP, '--status', 'https://x'],
        [SETUP, '--status', '--remove'],
        [EXTERNAL, 'https://x', 'user'],
        [EXTERNAL, 'https://x', 'user', 'key', 'more'],
        [EXTERNAL, 'https://x', 'a/b', '/key'],
    ] as const) {
        const { code, stderr } = await runHere(scripts[name], args);
        t.equal(code, EXIT.usage, `${[name, ...args].join(' ')}: ${stderr.join()}`);
    }
    const { code, stdout, stderr } = await startScript(SETUP, ['--bogus']).exited;
    t.strictSame([code, stdout, stderr], [1, '', `${SETUP}: error: unknown option: --bogus\n`]);
    const help = await startScript(EXTERNAL, ['--help']).exited;
    t.strictSame([help.code, help.stderr], [0, '']);
    t.match(help.stdout, new RegExp(`^Usage: ${EXTERNAL} `));
    const lost = await startScript(SETUP, ['https://x', '--config', '/none']).exited;
    t.equal(lost.code, 1);
    t.match(lost.stderr, `${SETUP}: error: where is SAPI? Give --sapi-url. (ENOENT: `);
});
