/** An error as registries answer it. */
export class RegistryError extends Error {
    readonly status: number;
    readonly code: string;
    readonly detail: unknown;
    readonly headers: Readonly<Record<string, string>>;

    constructor(
        status: number,
        code: string,
        message: string,
        more: { readonly detail?: unknown; readonly headers?: Readonly<Record<string, string>> } = {},
    ) {
        super(message);
        this.status = status;
        this.code = code;
        this.detail = more.detail ?? null;
        this.headers = more.headers ?? {};
    }

    get text(): string {
        return JSON.stringify({
            errors: [{ code: this.code, message: this.message, detail: this.detail }],
        });
    }
}
