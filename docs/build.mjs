/*
 * Renders the documentation to self-contained HTML in build/docs/public: no script, no font, no
 * picture comes from elsewhere. Also puts the icon and the OpenAPI document there.
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Marked } from 'marked';
import { openApiDocument } from '../lib/cli/docs/open-api.js';
import { COMMON_STYLE } from '../lib/http/pages/style.js';

const docs = dirname(fileURLToPath(import.meta.url));
const root = dirname(docs);

/** Source file to directory below /docs/, in the order of the navigation. */
export const PAGES = [
    { source: 'docs/user-guide.md', path: '', title: 'User guide' },
    { source: 'docs/operator-guide.md', path: 'operator-guide', title: 'Operator guide' },
    { source: 'docs/imgapiadm.md', path: 'imgapiadm', title: 'imgapiadm' },
    { source: 'docs/tls.md', path: 'tls', title: 'TLS' },
    { source: 'docs/migration.md', path: 'migration', title: 'Migration' },
    { source: 'docs/architecture.md', path: 'architecture', title: 'Architecture' },
    { source: 'docs/decisions.md', path: 'decisions', title: 'Decisions' },
    { source: 'docs/dependencies.md', path: 'dependencies', title: 'Dependencies' },
    { source: 'CHANGES.md', path: 'changes', title: 'Changes' },
];

const STYLE = `${COMMON_STYLE}
nav { gap: .3rem 1.2rem; }
nav [aria-current] { font-weight: 600; text-decoration: none; color: inherit; }
h2 { border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
pre code { padding: 0; background: none; font-size: 1em; }
.contents { columns: 2; font-size: .95rem; }
`;

const escape = (text) =>
    text.replace(/[&<>"]/g, (one) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[one]);

/** Name of a heading in links: its words in lower case, joined by hyphens. */
export function anchorOf(heading) {
    return heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .trim()
        .replaceAll(' ', '-');
}

/** Where a link of one source leads in the built tree; links to elsewhere stay as they are. */
function builtLink(href, page) {
    const [target, anchor] = href.split('#');
    if (target === '' || /^[a-z]+:/.test(target)) {
        return href;
    }
    const source = posix.join(posix.dirname(page.source), target);
    const other = PAGES.find((one) => one.source === source);
    const up = page.path === '' ? '' : '../';
    const built =
        other === undefined ? `${up}${target}` : `${up}${other.path === '' ? '' : `${other.path}/`}` || './';
    return anchor === undefined ? built : `${built}#${anchor}`;
}

function render(page) {
    const headings = [];
    const marked = new Marked({
        // Addresses in examples are texts; what is meant as a link is written as one.
        tokenizer: { url: () => undefined },
        renderer: {
            heading({ tokens, depth, text }) {
                const id = anchorOf(text.replaceAll('`', ''));
                if (depth === 2) {
                    headings.push({ id, html: this.parser.parseInline(tokens) });
                }
                return `<h${depth} id="${id}">${this.parser.parseInline(tokens)}</h${depth}>\n`;
            },
            html: () => '',
        },
        walkTokens(token) {
            if (token.type === 'link') {
                token.href = builtLink(token.href, page);
            }
        },
    });
    const body = marked
        .parse(readFileSync(join(root, page.source), 'utf8'))
        .replaceAll('<table>', '<div class="table"><table>')
        .replaceAll('</table>', '</table></div>');
    const contents = headings.map(({ id, html }) => `<li><a href="#${id}">${html}</a></li>`).join('');
    return { body: body.replace('</h1>', `</h1>\n<ul class="contents">${contents}</ul>`) };
}

function navigation(page) {
    const up = page.path === '' ? './' : '../';
    const links = PAGES.map(({ path, title }) => {
        const current = path === page.path ? ' aria-current="page"' : '';
        return `<a href="${up}${path === '' ? '' : `${path}/`}"${current}>${title}</a>`;
    });
    return `<nav>${links.join('\n')}\n<a href="${up}openapi.json">OpenAPI</a></nav>`;
}

function htmlOf(page) {
    const { body } = render(page);
    const up = page.path === '' ? '' : '../';
    return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>IMGAPI: ${escape(page.title)}</title>
<link rel="icon" href="${up}favicon.ico">
<style>${STYLE}</style>
</head>
<body>
${navigation(page)}
<main>
${body}</main>
</body>
</html>
`;
}

/** Builds all pages into a fresh directory. */
export function buildDocs(directory) {
    rmSync(directory, { recursive: true, force: true });
    for (const page of PAGES) {
        mkdirSync(join(directory, page.path), { recursive: true });
        writeFileSync(join(directory, page.path, 'index.html'), htmlOf(page));
    }
    copyFileSync(join(docs, 'favicon.ico'), join(directory, 'favicon.ico'));
    writeFileSync(join(directory, 'openapi.json'), `${JSON.stringify(openApiDocument(), null, 2)}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    buildDocs(process.argv[2] ?? join(root, 'build', 'docs', 'public'));
}
