import { objectArgument, stringArgument } from './arguments.js';
import type { Procedures } from './calls.js';
import { invocationError } from './moray-error.js';

/** What the version call answers: the RPC interface of Moray since it can reindex online. */
const RPC_VERSION = 2;

/** Procedures about the server itself. */
export const serverCalls: Procedures = {
    async ping({ store }, [optionsArgument]) {
        const { deep } = objectArgument('ping', 'options', optionsArgument);
        if (deep === true) await store.run((transaction) => transaction.buckets(), 'read');
        return [];
    },

    async version() {
        return [{ version: RPC_VERSION }];
    },

    async getTokens() {
        throw invocationError('getTokens: operation not supported');
    },

    async sql({ store }, [statementArgument, values]) {
        const statement = stringArgument('sql', 'statement', statementArgument);
        return store.sql(statement, Array.isArray(values) ? values : []);
    },
};
