import type { Endpoint } from '../endpoint.js';

/** POST /authkeys/reload (http-api 3.25). */
export const reloadAuthKeysEndpoint: Endpoint = {
    name: 'AdminReloadAuthKeys',
    method: 'POST',
    path: '/authkeys/reload',
    summary: 'Reads the key files again; the answer comes when they are in force.',
    chain: ['AUTH'],
    handle: async (call) => {
        await call.services.control.reloadAuthKeys();
        return { kind: 'json', value: {} };
    },
};
