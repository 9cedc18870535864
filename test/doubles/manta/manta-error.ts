/** An error as Manta answers it: status, code and message, and headers that go with it. */
export class MantaError extends Error {
    constructor(
        readonly status: number,
        readonly code: string,
        message: string,
        readonly headers: Readonly<Record<string, string>> = {},
    ) {
        super(message);
    }
}

export function resourceNotFound(path: string): MantaError {
    return new MantaError(404, 'ResourceNotFound', `${path} was not found`);
}

export function preconditionFailed(message: string): MantaError {
    return new MantaError(412, 'PreconditionFailed', message);
}
