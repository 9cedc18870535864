import { TookTooLong, within } from '../../base/within.js';
import { LdapSession, type LdapAccess } from './ldap-session.js';
import { endsSession } from './ldap-results.js';
import type { UfdsLimits } from './limits.js';
import type { OutageLog } from './outage-log.js';
import { checkUsers } from './search.js';

/** A question to the directory. */
export type Question<T> = (session: LdapSession) => Promise<T>;

/** What a {@link UfdsConnection} is made from. */
export interface ConnectionOptions {
    readonly access: LdapAccess;
    readonly limits: UfdsLimits;
    readonly outages: OutageLog;
}

/**
 * Keeps one bound connection: made when somebody asks, given up when nobody asks for a while. After a
 * failure questions are refused at once for a pause that grows with each further failure, at whose end
 * it tries again by itself (jobs-and-imports 10).
 */
export class UfdsConnection {
    readonly #options: ConnectionOptions;
    readonly #closing = new AbortController();
    #session: LdapSession | undefined;
    /** The session that has answered a question. */
    #proven: LdapSession | undefined;
    #opening: Promise<LdapSession> | undefined;
    #asking = 0;
    #idleTimer: NodeJS.Timeout | undefined;
    /** Failures since the last answer. */
    #failures = 0;
    /** Why nobody connects at the moment. */
    #pause: { readonly reason: unknown; readonly timer: NodeJS.Timeout } | undefined;

    constructor(options: ConnectionOptions) {
        this.#options = options;
    }

    /**
     * Asks. When a connection that has answered before turns out to be lost, the question is asked once
     * more on a new one, so that a restart of the directory costs no request.
     *
     * @throws Error of the network or the directory; TookTooLong
     */
    async ask<T>(question: Question<T>): Promise<T> {
        const deadline = performance.now() + this.#options.limits.callMs;
        const kept = this.#proven;
        try {
            return await this.#askOnce(question, deadline);
        } catch (error) {
            if (kept === undefined || !kept.isLost || error instanceof TookTooLong) {
                throw error;
            }
            return this.#askOnce(question, deadline);
        }
    }

    /** Checks that questions are answered. @throws as {@link ask} */
    async ping(): Promise<void> {
        await this.ask(checkUsers);
    }

    /** Ends everything. */
    async close(): Promise<void> {
        this.#closing.abort(new Error('the user database is no longer used'));
        clearTimeout(this.#idleTimer);
        clearTimeout(this.#pause?.timer);
        await this.#session?.end();
    }

    async #askOnce<T>(question: Question<T>, deadline: number): Promise<T> {
        clearTimeout(this.#idleTimer);
        this.#asking += 1;
        try {
            const session = await within(deadline - performance.now(), this.#ready());
            return await this.#askSession(session, question, deadline);
        } finally {
            this.#asking -= 1;
            this.#endWhenIdle();
        }
    }

    async #askSession<T>(session: LdapSession, question: Question<T>, deadline: number): Promise<T> {
        try {
            const answer = await within(deadline - performance.now(), question(session));
            this.#noteAnswer(session);
            return answer;
        } catch (error) {
            this.#noteFailure(session, error);
            throw error;
        }
    }

    async #ready(): Promise<LdapSession> {
        this.#closing.signal.throwIfAborted();
        if (this.#session?.isLost === false) {
            return this.#session;
        }
        if (this.#opening === undefined && this.#pause !== undefined) {
            throw this.#pause.reason;
        }
        this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
        return this.#opening;
    }

    async #open(): Promise<LdapSession> {
        const { access, limits, outages } = this.#options;
        try {
            this.#session = await LdapSession.open(access, limits.callMs, this.#closing.signal);
            this.#endWhenIdle();
            return this.#session;
        } catch (error) {
            outages.failed(error);
            this.#startPause(error);
            throw error;
        }
    }

    #noteAnswer(session: LdapSession): void {
        this.#proven = session;
        this.#failures = 0;
        this.#options.outages.succeeded();
    }

    #noteFailure(session: LdapSession, error: unknown): void {
        const isSilent = error instanceof TookTooLong;
        if (!isSilent && !session.isLost && !endsSession(error)) {
            this.#options.outages.failed(error);
            return;
        }
        session.destroy();
        // Others that asked on the same session have seen to it already.
        if (this.#session !== session) {
            return;
        }
        this.#session = undefined;
        if (isSilent || this.#proven !== session) {
            this.#options.outages.failed(error);
            this.#startPause(error);
        }
    }

    #startPause(reason: unknown): void {
        const { firstPauseMs, longestPauseMs } = this.#options.limits;
        clearTimeout(this.#pause?.timer);
        if (this.#closing.signal.aborted) {
            return;
        }
        const length = Math.min(longestPauseMs, firstPauseMs * 2 ** this.#failures);
        this.#failures += 1;
        const timer = setTimeout(() => {
            this.#pause = undefined;
            this.ping().catch(() => undefined);
        }, length);
        timer.unref();
        this.#pause = { reason, timer };
    }

    #endWhenIdle(): void {
        clearTimeout(this.#idleTimer);
        if (this.#asking > 0 || this.#closing.signal.aborted) {
            return;
        }
        this.#idleTimer = setTimeout(() => {
            const session = this.#session;
            this.#session = undefined;
            void session?.end();
        }, this.#options.limits.idleMs);
        this.#idleTimer.unref();
    }
}
