import type { Endpoint } from '../endpoint.js';

/** POST /authkeys/reload (http-api 3.25, README table B). */
export const reloadAuthKeysEndpoint: Endpoint = {
    name: 'AdminReloadAuthKeys',
    method: 'POST',
    path: '/authkeys/reload',
    summary: 'Reads the key files again; the answer comes when they are in force.',
    parameters: [
        { name: 'wait', summary: '`true` waits for keys in Manta, too; 503 `StorageIsDown` if that failed.' },
    ],
    chain: ['AUTH'],
    handle: async (call) => {
        await call.services.control.reloadAuthKeys(call.exchange.query.boolean('wait', true) ?? false);
        return { kind: 'json', value: {} };
    },
};
