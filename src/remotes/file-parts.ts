import type { AnswerHeaders, OpenAnswer } from '../base/http-client.js';
import { OutgoingError } from '../base/http-errors.js';
import { discard } from '../base/http-redirects.js';
import type { OpenedSourceFile, ResumePoint } from './image-source.js';

function textOf(headers: AnswerHeaders, name: string): string | undefined {
    const value = headers[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
}

/** An entity tag without its quotes; weak ones are of no use for ranges. */
function etagOf(headers: AnswerHeaders): string | undefined {
    const etag = textOf(headers, 'etag');
    return etag === undefined || etag.startsWith('W/') ? undefined : etag.replace(/^"(.*)"$/, '$1');
}

function lengthOf(headers: AnswerHeaders): number | undefined {
    const length = textOf(headers, 'content-length');
    return length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : undefined;
}

/** `bytes 5-9/10`; the total may be `*`. */
function rangeOf(headers: AnswerHeaders): { readonly start: number; readonly size?: number } | undefined {
    const [, start, size] =
        /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(textOf(headers, 'content-range') ?? '') ?? [];
    if (start === undefined || size === undefined) {
        return undefined;
    }
    return { start: Number(start), ...(size === '*' ? {} : { size: Number(size) }) };
}

function extent(
    status: number,
    headers: AnswerHeaders,
    resume: ResumePoint | undefined,
): { readonly start: number; readonly size?: number } | undefined {
    if (status === 206) {
        const range = rangeOf(headers);
        return range?.start === resume?.offset ? range : undefined;
    }
    const size = lengthOf(headers);
    return { start: 0, ...(size === undefined ? {} : { size }) };
}

/** Asks for what is behind a point, if the file is still the same, else for all of it. */
export function partHeaders(resume: ResumePoint | undefined): Readonly<Record<string, string>> {
    return resume === undefined ? {} : { range: `bytes=${resume.offset}-`, 'if-range': `"${resume.etag}"` };
}

/**
 * The file, or the part of it, that an answer brings.
 *
 * @param resume as it was asked for by {@link partHeaders}
 * @throws OutgoingError when it is another part; the body is given up then
 */
export function openedFile(answer: OpenAnswer, resume: ResumePoint | undefined): OpenedSourceFile {
    const { status, headers, body } = answer;
    const found = extent(status, headers, resume);
    if (found === undefined) {
        discard(body);
        throw new OutgoingError('malformed', `${answer.url}: another part of the file than asked for`);
    }
    const etag = etagOf(headers);
    const contentMD5 = textOf(headers, 'content-md5');
    return {
        ...found,
        ...(etag === undefined ? {} : { etag }),
        ...(contentMD5 === undefined ? {} : { contentMD5 }),
        body,
        failure: (error) => answer.failure(error),
    };
}
