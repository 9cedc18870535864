import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { metricSources, type MetricSubjects } from '#lib/app/metric-sources.js';
import { SignatureAuthenticator } from '#lib/auth/signature.js';
import { CONFIG_KEYS } from '#lib/base/config-table.js';
import { checkConfig } from '#lib/base/config.js';
import { ERROR_CATALOGUE } from '#lib/base/error-catalogue.js';
import { UNUSED_KEYS } from '#lib/cli/docs/config-table.js';
import { fillTables, tableNames, type Table } from '#lib/cli/docs/markdown-table.js';
import { openApiDocument } from '#lib/cli/docs/open-api.js';
import { documentationTables } from '#lib/cli/docs/tables.js';
import { allSubcommands } from '#lib/cli/imgapiadm/subcommands.js';
import { SERVER_OPTIONS } from '#lib/cli/server-options.js';
import { IMAGES, SHARING } from '#lib/database/moray/bucket.js';
import { ENDPOINTS } from '#lib/http/routes.js';
import { FIELDS } from '#lib/manifest/fields.js';
import { recordingLog } from '../helpers/recording-log.js';

const SUBCOMMANDS = await allSubcommands();

const root = process.cwd();
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const pages = readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`);
const sources = ['README.md', 'CHANGES.md', ...pages];
const userGuide = read('docs/user-guide.md');
const operatorGuide = read('docs/operator-guide.md');

/** The cells of one column of a table as it stands in a page, without marks. */
function column(text: string, table: string, index: number): string[] {
    const start = text.indexOf(`<!-- table:${table} -->`);
    const lines = text.slice(start, text.indexOf('<!-- /table -->', start)).split('\n');
    return lines
        .filter((line) => line.startsWith('| '))
        .slice(2)
        .map((line) =>
            (line.split(/ ?(?<!\\)\| ?/)[index + 1] ?? '').replaceAll('`', '').replaceAll('**', ''),
        );
}

/** Blocks of example code in one language. */
function examples(text: string, language: string): string[] {
    return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(
        (match) => match[1] ?? '',
    );
}

const sorted = (values: Iterable<string>): string[] => [...values].sort();

void t.test('the tables in the pages are those of the code', async (t) => {
    const tables = await documentationTables();
    for (const page of pages) {
        t.equal(fillTables(read(page), tables), read(page), page);
    }
    t.same(
        sorted(pages.flatMap((page) => tableNames(read(page)))),
        sorted(tables.keys()),
        'each table has its place',
    );
    const check = spawnSync(process.execPath, ['lib/cli/docs-tables.js', '--check'], { encoding: 'utf8' });
    t.equal(check.status, 0, `--check: ${check.stdout}${check.stderr}`);
    t.equal(spawnSync(process.execPath, ['lib/cli/docs-tables.js']).status, 1, 'usage');
});

void t.test('everything that exists is documented, and nothing else', (t) => {
    t.same(column(userGuide, 'errors', 0), Object.keys(ERROR_CATALOGUE), 'errors');
    t.same(
        column(userGuide, 'fields', 0),
        FIELDS.map((field) => field.name),
        'manifest fields',
    );
    t.same(
        sorted([...column(operatorGuide, 'config', 0), ...column(operatorGuide, 'config-unused', 0)]),
        sorted(CONFIG_KEYS.map(({ key }) => key)),
        'configuration keys',
    );
    t.same(
        column(operatorGuide, 'options', 0).map((forms) => /--([a-z-]+)/.exec(forms)?.[1]),
        SERVER_OPTIONS.map(({ name }) => name),
        'options',
    );
    t.same(
        column(operatorGuide, 'metrics', 0),
        [
            'http_requests_completed',
            'http_request_duration_seconds',
            ...metricSources({} as MetricSubjects).map(({ name }) => name),
        ],
        'metrics',
    );
    t.same(
        column(userGuide, 'routes', 1),
        ENDPOINTS.flatMap(({ method, path, aliases = [], actions = [] }) => [
            [path, ...aliases].map((one) => `${method} ${one}`).join(', '),
            ...actions.map(({ action }) => `${method} ${path}?action=${action}`),
        ]),
        'routes and actions',
    );
    t.same(
        column(userGuide, 'parameters', 1),
        ENDPOINTS.flatMap(({ parameters = [], actions = [] }) =>
            [...parameters, ...actions.flatMap((action) => action.parameters ?? [])].map(({ name }) => name),
        ),
        'parameters',
    );
    t.end();
});

void t.test('what the text names exists', (t) => {
    const codes = new Set(Object.keys(ERROR_CATALOGUE));
    for (const page of pages) {
        for (const [named, code] of read(page).matchAll(/\b[45]\d\d `([A-Za-z]+)`/g)) {
            t.ok(codes.has(code ?? ''), `${page}: ${named}`);
        }
    }
    const names = new Set([
        ...column(operatorGuide, 'metrics', 0),
        ...[IMAGES.name, SHARING.name],
        ...readdirSync(join(root, 'etc/sapi_manifests')),
    ]);
    for (const [name] of operatorGuide.matchAll(/\bimgapi_[a-z_]+/g)) {
        t.ok(names.has(name), name);
    }
    const options = new Set(SERVER_OPTIONS.map(({ name }) => `--${name}`));
    for (const [, option = ''] of operatorGuide.matchAll(/node main\.js.*?(--[a-z-]+)/g)) {
        t.ok(options.has(option), option);
    }
    for (const [line, name = ''] of operatorGuide.matchAll(/bin\/imgapiadm (?!help\b)([a-z-]+).*/g)) {
        const subcommand = SUBCOMMANDS.find((one) => one.name === name);
        t.ok(subcommand, line);
        const known = subcommand?.options.flatMap((one) => [`--${one.name}`, `-${one.short}`]) ?? [];
        for (const [, option = ''] of line.matchAll(/ (--?[a-z-]+)/g)) t.ok(known.includes(option), option);
    }
    t.end();
});

void t.test('every request of the examples has a route', (t) => {
    const patterns = ENDPOINTS.map((endpoint) => ({
        endpoint,
        pattern: new RegExp(`^${endpoint.path.replace('*', '.*').replace(/:[a-z]+/g, '[^/]+')}$`),
    }));
    const shown = [userGuide, operatorGuide, read('README.md')]
        .flatMap((text) => examples(text, 'sh'))
        .join('\n');
    const targets = [...shown.matchAll(/(?:\$IMGAPI|http:\/\/127\.0\.0\.1:8080)(\/[^\s"')]*)/g)].map(
        ([, target = '']) => target,
    );
    t.ok(targets.length > 30, `${targets.length} requests`);
    for (const target of targets) {
        const [path = '', query = ''] = target.split('?');
        const matching = patterns.filter(({ pattern }) => pattern.test(path)).map(({ endpoint }) => endpoint);
        const known = new Set(matching.flatMap(({ parameters = [] }) => parameters.map(({ name }) => name)));
        const actions = matching.flatMap((endpoint) => endpoint.actions ?? []);
        const parameters = new URLSearchParams(query);
        const action = actions.find((one) => one.action === parameters.get('action'));
        action?.parameters?.forEach(({ name }) => known.add(name));
        t.ok(matching.length > 0, target);
        for (const [name, value] of parameters) {
            t.ok(name === 'action' ? action !== undefined : known.has(name), `${target}: ${name}=${value}`);
        }
    }
    t.end();
});

void t.test('every configuration of the examples is good', (t) => {
    const directory = t.testdir();
    const blocks = examples(operatorGuide, 'json');
    t.ok(blocks.length >= 2);
    for (const [index, block] of blocks.entries()) {
        const path = join(directory, `${index}.json`);
        writeFileSync(path, block);
        t.same(checkConfig(path), [], block);
    }
    t.end();
});

void t.test('keys said to have no effect are not read, all others are', (t) => {
    const code = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
        .filter(
            (path) =>
                path.endsWith('.ts') &&
                !['base/config', 'cli/docs', 'app/supported'].some((start) => path.startsWith(start)),
        )
        .map((path) => read(join('src', path)))
        .join('\n');
    // Read by the client for servers nobody calls yet.
    const ofUnusedParts = ['dockerRegistryInsecure'];
    for (const key of UNUSED_KEYS) {
        const isRead = new RegExp(`\\b(config|current)\\??\\.${key}\\b`).test(code);
        t.equal(isRead, ofUnusedParts.includes(key), `${key} is ${isRead ? '' : 'not '}read`);
    }
    for (const { key } of CONFIG_KEYS) {
        const [top = '', name = top] = key.split('.');
        // One has one good value only, the others are defaults or parts of a further key.
        if (!UNUSED_KEYS.has(top) && !['compat', 'adminIp', 'manta.baseDir'].includes(key)) {
            t.match(code, new RegExp(`\\b${name}\\b`), `${key} is read`);
        }
    }
    t.end();
});

void t.test('links between sources resolve', async (t) => {
    const { anchorOf } = (await import(pathToFileURL(join(root, 'docs/build.mjs')).href)) as {
        anchorOf: (heading: string) => string;
    };
    const anchors = (path: string): string[] =>
        [...read(path).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading));
    for (const source of sources) {
        for (const [, href = ''] of read(source).matchAll(/\]\(([^)\s]+)\)/g)) {
            const [target = '', anchor] = href.split('#');
            const path = target === '' ? source : posix.join(dirname(source), target);
            t.ok(existsSync(join(root, path)), `${source}: ${href}`);
            t.ok(anchor === undefined || anchors(path).includes(anchor), `${source}: ${href}`);
        }
    }
});

void t.test('built pages stand alone and their links resolve', async (t) => {
    const { buildDocs, PAGES } = (await import(pathToFileURL(join(root, 'docs/build.mjs')).href)) as {
        buildDocs: (directory: string) => void;
        PAGES: readonly { readonly path: string; readonly source: string }[];
    };
    const sources = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
    t.same(
        sorted(PAGES.map(({ source }) => source)),
        sorted([...sources.map((name) => `docs/${name}`), 'CHANGES.md']),
        'every text is a page',
    );
    const built = join(t.testdir(), 'public');
    buildDocs(built);
    const files = readdirSync(built, { recursive: true, encoding: 'utf8' });
    const html = files.filter((name) => name.endsWith('.html'));
    t.same(sorted(html), sorted(PAGES.map(({ path }) => posix.join(path, 'index.html'))));
    for (const page of html) {
        const text = readFileSync(join(built, page), 'utf8');
        t.notMatch(
            text,
            /<(script|iframe|img|object)|@import|url\(|(src|href)="(https?:)?\/\//,
            `${page}: nothing from elsewhere`,
        );
        t.notMatch(text, /<!-- |\.md["#]/, `${page}: no marker and no source name is left`);
        for (const [, href = ''] of text.matchAll(/href="([^"]+)"/g)) {
            const [target = '', anchor] = href.split('#');
            const path = target === '' ? page : posix.join(dirname(page), target);
            const file = path.endsWith('/') || path === '.' ? posix.join(path, 'index.html') : path;
            t.ok(existsSync(join(built, file)), `${page}: ${href}`);
            const there =
                anchor === undefined || readFileSync(join(built, file), 'utf8').includes(`id="${anchor}"`);
            t.ok(there, `${page}: ${href}`);
        }
    }
    t.same([...readFileSync(join(built, 'favicon.ico')).subarray(0, 6)], [0, 0, 1, 0, 1, 0], 'an icon');
    t.same(JSON.parse(readFileSync(join(built, 'openapi.json'), 'utf8')), openApiDocument());
});

void t.test('the OpenAPI document has every route', (t) => {
    const { paths } = openApiDocument() as {
        paths: Record<
            string,
            Record<string, { operationId: string; parameters: { name: string; in: string }[] }>
        >;
    };
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    );
    t.same(
        operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`).sort(),
        ENDPOINTS.map(
            ({ method, path }) => `${method} ${path.replace('*', '{rest}').replace(/:([a-z]+)/g, '{$1}')}`,
        ).sort(),
    );
    t.equal(
        new Set(operations.map(({ operation }) => operation.operationId)).size,
        operations.length,
        'unique ids',
    );
    for (const { path, operation } of operations) {
        const inPath = operation.parameters.filter((one) => one.in === 'path').map(({ name }) => `{${name}}`);
        t.same(path.match(/\{[a-z]+\}/g) ?? [], inPath, path);
        const names = operation.parameters.map((one) => `${one.in} ${one.name}`);
        t.equal(new Set(names).size, names.length, `${path}: each parameter once`);
    }
    t.end();
});

void t.test('tables are filled between their marks', (t) => {
    const table: Table = { columns: ['A', 'B'], rows: [['a|b', 'c\nd']] };
    const tables = new Map([['x', table]]);
    const filled =
        'text\n<!-- table:x -->\n\n| A | B |\n| --- | --- |\n| a\\|b | c d |\n\n<!-- /table -->\nend\n';
    t.equal(fillTables('text\n<!-- table:x -->\nold\n<!-- /table -->\nend\n', tables), filled);
    t.equal(fillTables(filled, tables), filled, 'a second time');
    t.throws(() => fillTables('<!-- table:y -->\n<!-- /table -->', tables), { message: 'no table "y"' });
    t.throws(() => fillTables('<!-- table:x -->\n', tables), { message: 'table "x" has no end' });
    t.throws(() => fillTables('<!-- table:x -->\n<!-- table:x -->\n', tables), {
        message: 'table "x" has no end',
    });
    t.end();
});

void t.test('every library is accounted for, with its version', (t) => {
    const { dependencies, devDependencies, overrides } = JSON.parse(read('package.json')) as Record<
        'dependencies' | 'devDependencies' | 'overrides',
        Record<string, string>
    >;
    const used = read('docs/dependencies.md').replace(/^## The next majors$.*?(?=^## )/ms, '');
    const rows = [...used.matchAll(/^\| ([^|]+) \| ([^|]+) \|/gm)]
        .map(([, names = '', versions = '']) => ({
            names: names.split(', '),
            versions: versions.split(', '),
        }))
        .filter(({ names }) => !/^(Library|Package|---)/.test(names[0] ?? ''));
    const documented = rows.flatMap(({ names, versions }) =>
        names.map((name, index) => `${name} ${versions[index] ?? ''}`),
    );
    const expected = Object.entries({ ...dependencies, ...devDependencies }).map(([name, version]) =>
        version.startsWith('file:') ? `${name} local` : `${name} ${version}`,
    );
    const replacement = (version: string): string => {
        if (version.startsWith('$')) return '`deps/spdy`';
        return version.startsWith('npm:') ? `\`${version}\`` : version;
    };
    const overridden = Object.entries(overrides).map(([name, version]) => `${name} ${replacement(version)}`);
    t.same(sorted(documented), sorted([...expected, ...overridden]));
    t.end();
});

function hasTools(): boolean {
    return ['openssl', 'ssh-keygen', 'bash'].every(
        (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0,
    );
}

const skip = hasTools() ? false : 'openssl or ssh-keygen is not installed';

void t.test('the example of a signed request makes one', { skip }, (t) => {
    const example = examples(userGuide, 'sh').find((block) => block.includes('openssl dgst')) ?? '';
    t.not(example, '');
    const directory = t.testdir();
    const script = `set -eu\nIMGAPI=http://example UUID=u\ncurl() { printf '%s\\n' "$@"; }\n${example}`;
    const output = execFileSync('bash', ['-c', script], { cwd: directory, encoding: 'utf8', stdio: 'pipe' });
    const header = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(output)?.[1] ?? '';
    const line = readFileSync(join(directory, 'alice.keys'), 'utf8').trim();
    const subject = new SignatureAuthenticator({
        keys: { keysOf: (user) => (user === 'alice' ? [line] : []), counts: () => ({}) },
        clock: { now: () => Date.now() },
        log: recordingLog().log,
    });
    const headers = { date: header('Date'), authorization: header('Authorization') };
    t.equal(subject.authenticate({ method: 'POST', url: '/images/u', httpVersion: '1.1', headers }), 'alice');
    t.end();
});
