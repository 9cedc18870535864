/**
 * Every error a client can get, as data: the serialiser, `/ping?error=`, the API reference and its
 * test read this table (http-api 1.10).
 */
export interface ErrorFacts {
    /** HTTP status. */
    readonly status: number;
    /** Name that `/ping?error=` accepts, with or without its `Error` suffix; absent: not known there. */
    readonly className?: string;
    /** Message with `<placeholders>`, for documentation; absent where it differs with each use. */
    readonly message?: string;
    /** Whether the answer has an `errors` array, possibly empty. */
    readonly hasEntries?: boolean;
    /** One line for the API reference. */
    readonly summary: string;
}

/** The table itself; the key is the `code` on the wire. */
export const ERROR_CATALOGUE = {
    ValidationFailed: {
        status: 422,
        className: 'ValidationFailedError',
        hasEntries: true,
        summary: 'A field of the manifest or a required parameter is missing or wrong.',
    },
    InvalidParameter: {
        status: 422,
        className: 'InvalidParameterError',
        hasEntries: true,
        summary: 'A query parameter or an input field is wrong.',
    },
    ImageFilesImmutable: {
        status: 422,
        className: 'ImageFilesImmutableError',
        message: 'cannot modify files on activated image <uuid>',
        summary: 'The files of an activated image cannot change.',
    },
    ImageAlreadyActivated: {
        status: 422,
        className: 'ImageAlreadyActivatedError',
        message: 'image "<uuid>" is already activated',
        summary: 'The image has been activated before.',
    },
    NoActivationNoFile: {
        status: 422,
        className: 'NoActivationNoFileError',
        message: 'image "<uuid>" cannot be activated: it has no file',
        summary: 'An image needs a file before it can be activated.',
    },
    OperatorOnly: {
        status: 403,
        className: 'OperatorOnlyError',
        message: 'this endpoint may only be called by an operator',
        summary: 'The call is not open to requests made for an account.',
    },
    ImageUuidAlreadyExists: {
        status: 409,
        className: 'ImageUuidAlreadyExistsError',
        message: 'image uuid "<uuid>" already exists',
        summary: 'Another image has this uuid.',
    },
    Upload: {
        status: 400,
        className: 'UploadError',
        summary: 'The bytes sent cannot be taken: too big, of the wrong type or not as announced.',
    },
    Download: {
        status: 400,
        className: 'DownloadError',
        summary: 'The bytes received are empty or not those announced by size or hash.',
    },
    ImageFileTooBig: {
        status: 400,
        className: 'ImageFileTooBigError',
        summary: 'A file of a Docker or LXD import is over the limit.',
    },
    StorageIsDown: {
        status: 503,
        className: 'StorageIsDownError',
        message: 'storage is down at the moment',
        summary: 'The storage cannot be read or written: unreachable, full or read-only.',
    },
    StorageUnsupported: {
        status: 503,
        className: 'StorageUnsupportedError',
        message: 'storage type is unsupported',
        summary: 'The image lies in a storage this server is not configured for.',
    },
    RemoteSourceError: {
        status: 503,
        className: 'RemoteSourceError',
        summary: 'Another image server could not be used.',
    },
    OwnerDoesNotExist: {
        status: 422,
        className: 'OwnerDoesNotExistError',
        message: 'owner "<uuid>" does not exist',
        summary: 'The owner is not a known account.',
    },
    AccountDoesNotExist: {
        status: 422,
        className: 'AccountDoesNotExistError',
        message: 'account "<uuid>" does not exist',
        summary: 'The account is not known.',
    },
    NotImageOwner: {
        status: 422,
        className: 'NotImageOwnerError',
        message: 'account <account> is not the owner of image <uuid>',
        summary: 'The account may see the image but not change it.',
    },
    ImageNotShared: {
        status: 422,
        className: 'ImageNotSharedError',
        message: 'Image <uuid> is not shared with account <account>',
        summary: 'Only an image shared with the account can be cloned.',
    },
    NotMantaPathOwner: {
        status: 422,
        className: 'NotMantaPathOwnerError',
        message: 'account <account> is not the owner of Manta path <path>',
        summary: 'An image can be exported to the own Manta area only.',
    },
    OriginDoesNotExist: {
        status: 422,
        className: 'OriginDoesNotExistError',
        message: 'origin image "<uuid>" does not exist',
        summary: 'The named origin image is not on this server.',
    },
    OriginIsNotActive: {
        status: 422,
        className: 'OriginIsNotActiveError',
        message: 'origin image "<uuid>" is not active',
        summary: 'The named origin image is not active.',
    },
    InsufficientServerVersion: {
        status: 422,
        className: 'InsufficientServerVersionError',
        summary: 'The compute node is too old for the request.',
    },
    ImageHasDependentImages: {
        status: 422,
        className: 'ImageHasDependentImagesError',
        message: 'image "<uuid>" has <n> dependent incremental image(s): <list>',
        summary: 'Other images have this one as origin.',
    },
    NotAvailable: {
        status: 501,
        className: 'NotAvailableError',
        summary: 'The feature is not available on this server.',
    },
    NotImplemented: {
        status: 400,
        className: 'NotImplementedError',
        summary: 'The request asks for something that is not supported.',
    },
    InternalError: {
        status: 500,
        className: 'InternalError',
        summary: 'Something unexpected failed; the log has the cause under the request id.',
    },
    ResourceNotFound: {
        status: 404,
        className: 'ResourceNotFoundError',
        summary: 'No such path, image, file or icon.',
    },
    NotFound: {
        status: 404,
        summary:
            'A server of LXD images does not have what was asked for; only in the stream of an import, as its last line.',
    },
    UnauthorizedError: {
        status: 401,
        className: 'UnauthorizedError',
        summary: 'A valid HTTP signature is needed.',
    },
    ServiceUnavailableError: {
        status: 503,
        className: 'ServiceUnavailableError',
        summary: 'A service this server needs is down, or the server itself is stopping or only a reader.',
    },
    BadRequestError: {
        status: 400,
        className: 'BadRequestError',
        summary: 'The request path is malformed.',
    },
    InvalidHeader: { status: 400, className: 'InvalidHeaderError', summary: 'A header is malformed.' },
    InvalidVersion: {
        status: 400,
        message: '<range> is not supported by <METHOD> <path>',
        summary: 'No API version satisfies the Accept-Version range.',
    },
    MethodNotAllowedError: {
        status: 405,
        message: '<METHOD> is not allowed',
        summary: 'The path exists, the method does not; see the Allow header.',
    },
    InvalidContent: {
        status: 400,
        summary: 'The request body, or what a server of LXD images answers, cannot be parsed.',
    },
    BadDigest: {
        status: 400,
        message: "Content-MD5 '<given>' didn't match '<computed>'",
        summary: 'The body is not the one its Content-MD5 describes.',
    },
    PayloadTooLargeError: {
        status: 413,
        message: 'Request body size exceeds 8388608',
        summary: 'A JSON body is over 8 MiB.',
    },
    PreconditionFailed: { status: 412, summary: 'A condition of the request headers does not hold.' },
    RangeNotSatisfiable: {
        status: 416,
        message: "range '<header>' is not satisfiable for size <size>",
        summary: 'The range starts behind the end of the file.',
    },
    InvalidArgument: { status: 409, summary: 'An argument of POST /state is wrong.' },
    MissingParameter: { status: 409, summary: 'POST /state needs an action.' },
    NotAuthorized: { status: 403, summary: 'The path leads out of the documentation.' },
    RequestTimeoutError: { status: 408, summary: 'The header section of a request did not come in time.' },
    ExpectationFailedError: { status: 417, summary: 'The Expect header asks for something unknown.' },
    RequestHeaderFieldsTooLargeError: {
        status: 431,
        summary: 'The header section of a request is too large.',
    },
    ConflictError: { status: 409, summary: 'The state of a job does not allow this.' },
} as const satisfies Record<string, ErrorFacts>;

/** A `code` on the wire. */
export type ErrorCode = keyof typeof ERROR_CATALOGUE;
