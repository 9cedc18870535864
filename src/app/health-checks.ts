import type { AccountDirectory } from '../accounts/accounts.js';
import type { KeyStore } from '../auth/auth.js';
import type { Database } from '../database/database.js';
import type { WfapiEngine } from '../jobs/wfapi/wfapi-engine.js';
import type { BaseLock } from '../lock/base-lock.js';
import type { EmbeddedEngine } from '../jobs/embedded/embedded-engine.js';
import { type HealthCheck, HealthProblem, judgeFree } from '../maintenance/health.js';
import type { MarkedOwner } from '../maintenance/owner-marker.js';
import type { Storage } from '../storage/storage.js';

/** What the checks look at. */
export interface HealthSubjects {
    readonly database: Database;
    readonly storages: Iterable<Storage>;
    /** How many files in `manifests/` hold records that cannot be used; absent: there are no such files. */
    readonly skippedRecords: (() => number) | undefined;
    /** Absent: accounts are not looked up. */
    readonly accounts: AccountDirectory | undefined;
    readonly keys: KeyStore | undefined;
    readonly jobs: Pick<EmbeddedEngine, 'countBad' | 'requireRoom'>;
    /** Runs the jobs elsewhere; absent: no workflow service is used. */
    readonly workflows: Pick<WfapiEngine, 'problem'> | undefined;
    readonly lock: BaseLock;
    /** Who else uses the Manta area; absent: nobody looks. */
    readonly foreignOwner: (() => MarkedOwner | undefined) | undefined;
    /** When the TLS certificate is not valid any more, ms since the epoch; absent: TLS is not spoken. */
    readonly certificateExpiry: (() => number | undefined) | undefined;
}

/** Days before its end from which a certificate is to be renewed (operations 1.6). */
const EXPIRY_WARNING_DAYS = 14;
const DAY_MS = 86_400_000;

function storageCheck(storage: Storage, isOnly: boolean): HealthCheck {
    const impact = isOnly ? 'down' : 'degraded';
    return {
        name: `stor.${storage.type}`,
        impact,
        run: async () => {
            const facts = { ...(await storage.check()) };
            judgeFree('space', facts.freeBytes, facts.totalBytes, facts, impact);
            judgeFree('inodes', facts.freeInodes, facts.totalInodes, facts, impact);
            return facts;
        },
    };
}

function recordsCheck(skippedRecords: () => number): HealthCheck {
    return {
        name: 'records',
        impact: 'degraded',
        run: () => {
            const skipped = skippedRecords();
            return skipped > 0
                ? Promise.reject(
                      new HealthProblem(`${skipped} record(s) could not be read; see the log`, 'degraded', {
                          skipped,
                      }),
                  )
                : Promise.resolve({ skipped });
        },
    };
}

function accountsCheck(accounts: AccountDirectory): HealthCheck {
    return {
        name: 'ufds',
        impact: 'degraded',
        run: async () => {
            await accounts.ping();
            return {};
        },
    };
}

function keysCheck(keys: KeyStore): HealthCheck {
    return {
        name: 'authkeys',
        impact: 'degraded',
        run: () => {
            const count = Object.values(keys.counts()).reduce((sum, one) => sum + one, 0);
            return count === 0
                ? Promise.reject(new Error('no keys loaded: every signed request is refused'))
                : Promise.resolve({ count });
        },
    };
}

function jobsCheck(jobs: HealthSubjects['jobs']): HealthCheck {
    return {
        name: 'jobs',
        impact: 'degraded',
        run: async () => {
            const bad = await jobs.countBad();
            if (bad > 0) {
                throw new HealthProblem(`${bad} job file(s) could not be read; see the log`, 'degraded');
            }
            jobs.requireRoom();
            return {};
        },
    };
}

function workflowsCheck(workflows: NonNullable<HealthSubjects['workflows']>): HealthCheck {
    return {
        name: 'wfapi',
        impact: 'degraded',
        run: () => {
            const { problem } = workflows;
            return problem === undefined ? Promise.resolve({}) : Promise.reject(new Error(problem));
        },
    };
}

function lockCheck(lock: BaseLock): HealthCheck {
    return {
        name: 'lock',
        impact: 'degraded',
        run: () =>
            lock.foreign
                ? Promise.reject(new HealthProblem('run/imgapi.lock belongs to another host', 'degraded'))
                : Promise.resolve({ held: lock.held }),
    };
}

function ownerCheck(foreignOwner: () => MarkedOwner | undefined): HealthCheck {
    return {
        name: 'manta.owner',
        impact: 'degraded',
        run: () => {
            const owner = foreignOwner();
            return owner === undefined
                ? Promise.resolve({})
                : Promise.reject(
                      new HealthProblem('another host uses this Manta area', 'degraded', { owner }),
                  );
        },
    };
}

function certificateCheck(expiry: () => number | undefined): HealthCheck {
    return {
        name: 'tls',
        impact: 'degraded',
        run: () => {
            const expiresAt = expiry();
            if (expiresAt === undefined) {
                return Promise.reject(new Error('the TLS listener is not there yet'));
            }
            const daysLeft = Math.floor((expiresAt - Date.now()) / DAY_MS);
            const facts = { expiresAt: new Date(expiresAt).toISOString(), daysLeft };
            return daysLeft < EXPIRY_WARNING_DAYS
                ? Promise.reject(
                      new HealthProblem(
                          daysLeft < 0
                              ? 'the TLS certificate is not valid any more'
                              : `the TLS certificate ends in ${daysLeft} day(s)`,
                          'degraded',
                          facts,
                      ),
                  )
                : Promise.resolve(facts);
        },
    };
}

/** Whether a check of {@link healthChecks} is about something the server depends on, not about itself. */
export function isDependency(check: string): boolean {
    return check === 'database' || check === 'ufds' || check === 'wfapi' || check.startsWith('stor.');
}

/** The checks of `/health` (operations 1.6). */
export function healthChecks(subjects: HealthSubjects): readonly HealthCheck[] {
    const storages = [...subjects.storages];
    return [
        {
            name: 'database',
            impact: 'down',
            run: async () => {
                await subjects.database.ping();
                return {};
            },
        },
        ...storages.map((storage) => storageCheck(storage, storages.length === 1)),
        ...(subjects.skippedRecords === undefined ? [] : [recordsCheck(subjects.skippedRecords)]),
        ...(subjects.accounts === undefined ? [] : [accountsCheck(subjects.accounts)]),
        ...(subjects.keys === undefined ? [] : [keysCheck(subjects.keys)]),
        jobsCheck(subjects.jobs),
        ...(subjects.workflows === undefined ? [] : [workflowsCheck(subjects.workflows)]),
        lockCheck(subjects.lock),
        ...(subjects.foreignOwner === undefined ? [] : [ownerCheck(subjects.foreignOwner)]),
        ...(subjects.certificateExpiry === undefined ? [] : [certificateCheck(subjects.certificateExpiry)]),
    ];
}
