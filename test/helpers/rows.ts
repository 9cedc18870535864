import type { Test } from 'tap';
import type { Answer, HttpClient } from './http-client.js';

/** An entry of `errors`: field, code and the message, if it has one. */
export type Entry = readonly [field: string, code: string, message?: string];

/** What an error answer must be, byte for byte. */
export interface ExpectedError {
    readonly status: number;
    readonly code: string;
    readonly message: string;
    readonly errors?: readonly Entry[];
}

/** A request with the error it must get. */
export interface ErrorRow extends ExpectedError {
    readonly name: string;
    readonly method: string;
    readonly path: string;
    readonly json?: unknown;
    readonly body?: string | Buffer;
    readonly headers?: Readonly<Record<string, string>>;
    readonly sign?: boolean;
}

/** Checks an error answer: status, code, message, entries and that it is a JSON document. */
export function expectError(t: Test, answer: Answer, expected: ExpectedError, name: string): void {
    const { status, code, message } = expected;
    const errors = expected.errors?.map(([field, entryCode, text]) => ({
        field,
        code: entryCode,
        ...(text === undefined ? {} : { message: text }),
    }));
    const actual = answer.body.length === 0 ? undefined : answer.json;
    t.strictSame(
        { status: answer.status, type: answer.header('content-type'), body: actual },
        {
            status,
            type: 'application/json',
            body: { code, message, ...(errors === undefined ? {} : { errors }) },
        },
        name,
    );
}

/** Sends every row and checks its error. */
export async function runErrorRows(t: Test, client: HttpClient, rows: readonly ErrorRow[]): Promise<void> {
    for (const row of rows) {
        const answer = await client.request(row.method, row.path, {
            ...(row.json === undefined ? {} : { json: row.json }),
            ...(row.body === undefined ? {} : { body: row.body }),
            ...(row.headers === undefined ? {} : { headers: row.headers }),
            ...(row.sign === undefined ? {} : { sign: row.sign }),
        });
        expectError(t, answer, row, row.name);
    }
}

/** Makes rows that PUT the same body to different paths. */
export function putRows(
    body: Buffer,
): (path: string, expected: ExpectedError, rest?: Partial<ErrorRow>) => ErrorRow {
    return (path, expected, rest = {}) => ({
        name: `PUT ${path} ${JSON.stringify(rest.headers) ?? ''}`,
        method: 'PUT',
        path,
        body,
        ...expected,
        ...rest,
    });
}

// ---- the errors used most, as the specification words them

export const UNAUTHORIZED: ExpectedError = {
    status: 401,
    code: 'UnauthorizedError',
    message: 'Unauthorized',
};

export function notFound(message: string): ExpectedError {
    return { status: 404, code: 'ResourceNotFound', message };
}

export function invalidParameter(message: string, ...errors: readonly Entry[]): ExpectedError {
    return { status: 422, code: 'InvalidParameter', message, errors };
}

export function validationFailed(message: string, ...errors: readonly Entry[]): ExpectedError {
    return { status: 422, code: 'ValidationFailed', message, errors };
}

export function badAccount(value: string): ExpectedError {
    return invalidParameter(`invalid "account": not a UUID: "${value}"`, ['account', 'Invalid']);
}

export function notBoolean(name: string, value: string): ExpectedError {
    return invalidParameter(`invalid value for "${name}" param: ${JSON.stringify(value)} is not a boolean`, [
        name,
        'Invalid',
    ]);
}

export function repeated(name: string): ExpectedError {
    return invalidParameter(`invalid "${name}": parameter given multiple times`, [name, 'Invalid']);
}

/** A row that posts JSON. */
export function post(path: string, json: unknown, expected: ExpectedError, name = ''): ErrorRow {
    return {
        name: `POST ${path} ${JSON.stringify(json) ?? ''} ${name}`,
        method: 'POST',
        path,
        ...(json === undefined ? {} : { json }),
        ...expected,
    };
}

/** The manifest as it would be stored is not valid. */
export function invalidImage(...entries: readonly Entry[]): ExpectedError {
    return validationFailed(`invalid image data: ${entries.map(([field]) => field).join(', ')}`, ...entries);
}

export function missing(field: string): Entry {
    return [field, 'MissingParameter'];
}

export function extraParameters(...names: readonly string[]): ExpectedError {
    return invalidParameter(
        `invalid extra parameters: ${names.map((name) => `"${name}"`).join(', ')}`,
        ...names.map((name): Entry => [name, 'Invalid']),
    );
}

export function badAction(action: string): ExpectedError {
    return invalidParameter(`"${action}" is not a valid action`, ['action', 'Invalid']);
}

export function notOwner(account: string, uuid: string): ExpectedError {
    const message = `account ${account} is not the owner of image ${uuid}`;
    return { status: 422, code: 'NotImageOwner', message };
}

export function uuidExists(uuid: string): ExpectedError {
    return { status: 409, code: 'ImageUuidAlreadyExists', message: `image uuid "${uuid}" already exists` };
}

export const OPERATOR_ONLY: ExpectedError = {
    status: 403,
    code: 'OperatorOnly',
    message: 'this endpoint may only be called by an operator',
};
