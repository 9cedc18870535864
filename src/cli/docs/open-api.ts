import { VERSION } from '../../base/constants.js';
import { ERROR_CATALOGUE, type ErrorFacts } from '../../base/error-catalogue.js';
import type { Endpoint } from '../../http/endpoint.js';
import type { ParameterFacts } from '../../http/route.js';
import { ENDPOINTS } from '../../http/routes.js';
import { signatureLevel } from './routes-tables.js';

type Json = Readonly<Record<string, unknown>>;

const ERROR_SCHEMA: Json = {
    type: 'object',
    required: ['code', 'message'],
    properties: {
        code: { type: 'string', enum: Object.keys(ERROR_CATALOGUE) },
        message: { type: 'string' },
        errors: {
            type: 'array',
            description: 'With ValidationFailed and InvalidParameter only.',
            items: {
                type: 'object',
                required: ['field', 'code'],
                properties: {
                    field: { type: 'string' },
                    code: { type: 'string' },
                    message: { type: 'string' },
                },
            },
        },
    },
};

const ERROR_STATUSES = [
    ...new Set((Object.values(ERROR_CATALOGUE) as ErrorFacts[]).map(({ status }) => status)),
].sort((a, b) => a - b);

function queryParameter({ name, summary, required }: ParameterFacts): Json {
    return {
        name,
        in: 'query',
        description: summary,
        required: required ?? false,
        schema: { type: 'string' },
    };
}

/** The path in OpenAPI's notation, and the names of its variable parts. */
function pathTemplate(path: string): { readonly template: string; readonly names: readonly string[] } {
    const names: string[] = [];
    const template = path.replace(/:([a-z]+)|\*$/g, (_, name?: string) => {
        names.push(name ?? 'rest');
        return `{${name ?? 'rest'}}`;
    });
    return { template, names };
}

function actionParameters({ actions, withoutAction }: Endpoint): Json[] {
    if (actions === undefined) {
        return [];
    }
    const own = new Map(actions.flatMap((one) => one.parameters ?? []).map((one) => [one.name, one]));
    return [
        {
            name: 'action',
            in: 'query',
            description: actions.map(({ action, summary }) => `${action}: ${summary}`).join('\n'),
            required: withoutAction === undefined,
            schema: { type: 'string', enum: actions.map((one) => one.action) },
        },
        // Needed by one action only, so not required by the operation as a whole.
        ...[...own.values()].map((one) => queryParameter({ ...one, required: false })),
    ];
}

function requestBody({ chain, method }: Endpoint): Json {
    if (chain.includes('BODY')) {
        return { requestBody: { content: { 'application/json': { schema: {} } } } };
    }
    return method === 'PUT'
        ? { requestBody: { content: { '*/*': { schema: { type: 'string', format: 'binary' } } } } }
        : {};
}

const SECURITY: Readonly<Record<ReturnType<typeof signatureLevel>, Json>> = {
    required: { security: [{ httpSignature: [] }] },
    optional: { security: [{}, { httpSignature: [] }] },
    'not looked at': { security: [] },
};

function operation(endpoint: Endpoint): Json {
    const { names } = pathTemplate(endpoint.path);
    const pathParameters = names.map((name) => ({
        name,
        in: 'path',
        required: true,
        schema: { type: 'string', ...(name === 'uuid' ? { format: 'uuid' } : {}) },
    }));
    return {
        operationId: endpoint.name,
        summary: endpoint.summary,
        ...SECURITY[signatureLevel(endpoint)],
        parameters: [
            ...pathParameters,
            ...actionParameters(endpoint),
            ...(endpoint.parameters ?? []).map(queryParameter),
        ],
        ...requestBody(endpoint),
        responses: {
            '2XX': { description: 'Done; the API reference describes the answer.' },
            default: {
                description: `An error; possible statuses: ${ERROR_STATUSES.join(', ')}.`,
                content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
            },
        },
    };
}

/** The HTTP interface as an OpenAPI 3.0 document, made from the route table. */
export function openApiDocument(): Json {
    const paths: Record<string, Record<string, Json>> = {};
    for (const endpoint of ENDPOINTS) {
        const { template } = pathTemplate(endpoint.path);
        (paths[template] ??= {})[endpoint.method.toLowerCase()] = operation(endpoint);
    }
    return {
        openapi: '3.0.3',
        info: { title: 'IMGAPI', version: VERSION, description: 'An image registry for private clouds.' },
        paths,
        components: {
            schemas: { Error: ERROR_SCHEMA },
            securitySchemes: {
                httpSignature: {
                    type: 'apiKey',
                    in: 'header',
                    name: 'Authorization',
                    description: 'HTTP Signature: Signature keyId="USER",algorithm="ALG",signature="BASE64"',
                },
            },
        },
    };
}
