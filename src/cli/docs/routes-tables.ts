import type { Endpoint } from '../../http/endpoint.js';
import { ENDPOINTS } from '../../http/routes.js';
import type { ParameterFacts } from '../../http/route.js';
import type { Table } from './markdown-table.js';

/** What the chain of an endpoint asks of the caller, in one word. */
export function signatureLevel({ chain }: Endpoint): 'required' | 'optional' | 'not looked at' {
    return chain.includes('AUTH') ? 'required' : chain.includes('PAUTH') ? 'optional' : 'not looked at';
}

/** Every endpoint, and beneath it the values of `action` that it knows. */
export function routesTable(): Table {
    return {
        columns: ['Endpoint', 'Request', 'Signature', 'What it does'],
        rows: ENDPOINTS.flatMap((endpoint) => [
            [
                `**${endpoint.name}**`,
                [endpoint.path, ...(endpoint.aliases ?? [])]
                    .map((path) => `\`${endpoint.method} ${path}\``)
                    .join(', '),
                signatureLevel(endpoint),
                endpoint.summary,
            ],
            ...(endpoint.actions ?? []).map(({ action, name, summary }) => [
                name,
                `\`${endpoint.method} ${endpoint.path}?action=${action}\``,
                signatureLevel(endpoint),
                summary,
            ]),
        ]),
    };
}

function parameterRow(endpoint: string, { name, required, summary }: ParameterFacts): string[] {
    return [endpoint, `\`${name}\``, required === true ? 'required' : '', summary];
}

/** Every query parameter by endpoint and action. */
export function parametersTable(): Table {
    return {
        columns: ['Endpoint', 'Parameter', '', 'Meaning'],
        rows: ENDPOINTS.flatMap((endpoint) => [
            ...(endpoint.parameters ?? []).map((one) =>
                parameterRow(`${endpoint.method} ${endpoint.path}`, one),
            ),
            ...(endpoint.actions ?? []).flatMap((action) =>
                (action.parameters ?? []).map((one) =>
                    parameterRow(`${endpoint.method} ${endpoint.path}, \`action=${action.action}\``, one),
                ),
            ),
        ]),
    };
}
