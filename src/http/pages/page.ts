import { createHash } from 'node:crypto';
import Mustache from 'mustache';
import type { Reply } from '../reply.js';
import { COMMON_STYLE } from './style.js';

/** A page to be looked at. Templates escape what they are filled with, all but `{{{body}}}` of the frame. */
export interface Page {
    readonly title: string;
    /** Mustache; what is inside `<main>`. */
    readonly template: string;
    readonly view: Readonly<Record<string, unknown>>;
    /** Leads from the page to `/ui/`, such as `../`; relative, as a front server may have us below another path. */
    readonly up: string;
    /** Query string that the navigation keeps, so that whose view it is does not change by a click. */
    readonly query: string;
}

const STYLE = `${COMMON_STYLE}
nav { gap: 1.2rem; }
h1 { overflow-wrap: anywhere; }
form { display: flex; flex-wrap: wrap; gap: .8rem; align-items: end; margin: 1rem 0; }
label { display: flex; flex-direction: column; font-size: .85rem; }
input, select, button { font: inherit; padding: .25rem .5rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
.note { font-size: .8rem; border: 1px solid var(--line); border-radius: 4px; padding: 0 .3em; }
table { width: 100%; }
td { overflow-wrap: anywhere; }
td pre { margin: 0; }
img { max-width: 4rem; max-height: 4rem; float: right; }
`;

// Written so that a parser of XML takes it, too.
const FRAME = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{{title}}</title>
<link rel="icon" href="{{up}}../favicon.ico"/>
<style>${STYLE}</style>
</head>
<body>
<nav><a href="{{up}}{{query}}">Images</a> <a href="{{up}}../docs/">Documentation</a></nav>
<main>
{{{body}}}</main>
</body>
</html>
`;

/** Nothing runs, nothing comes from elsewhere, whatever a manifest says. */
const HEADERS = {
    'Content-Security-Policy': [
        "default-src 'none'",
        `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ].join('; '),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'private, no-cache',
};

/** The HTML text of a page. */
export function pageText({ title, template, view, up, query }: Page): string {
    const body = Mustache.render(template, view);
    return Mustache.render(FRAME, { title, up, query, body });
}

/** Answers with a page (operations 7 #20). */
export function pageReply(page: Page): Reply {
    return {
        kind: 'bytes',
        bytes: Buffer.from(pageText(page)),
        contentType: 'text/html; charset=utf-8',
        headers: HEADERS,
    };
}

/**
 * A query string of the parameters that are set, with its question mark.
 *
 * @example queryText({ channel: 'dev', name: undefined }) === '?channel=dev'
 */
export function queryText(parameters: Readonly<Record<string, string | undefined>>): string {
    const set = Object.entries(parameters).filter((pair): pair is [string, string] => Boolean(pair[1]));
    return set.length === 0 ? '' : `?${new URLSearchParams(set).toString()}`;
}
