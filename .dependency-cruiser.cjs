/*
 * The floors of docs/architecture.md: a module imports from its own floor or a lower one, never
 * from a higher one, and a backend is known only to the composition root.
 */
const floors = [
    ['^src/base/'],
    ['^src/manifest/'],
    ['^src/(database|storage|archive|accounts|auth|lock|remotes)/'],
    ['^src/(images|jobs|transfers|maintenance)/'],
    ['^src/http/'],
    ['^src/app(/|[.]ts$)'],
    ['^src/(main|config|constants)[.]ts$', '^src/cli/'],
];

const upwards = floors.slice(0, -1).map((from, index) => ({
    name: `floor-${index}-imports-no-higher-floor`,
    severity: 'error',
    from: { path: from },
    to: { path: floors.slice(index + 1).flat() },
}));

module.exports = {
    forbidden: [
        ...upwards,
        {
            name: 'no-circular',
            severity: 'error',
            from: {},
            to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
        },
        {
            name: 'backends-only-from-the-composition-root',
            severity: 'error',
            from: {
                path: '^src/',
                pathNot: ['^src/app(/|[.]ts$)', '^src/cli/', '^src/(database|storage|accounts|remotes)/'],
            },
            to: { path: '^src/(database|storage|accounts|remotes)/[^/]+/' },
        },
        {
            name: 'no-sideways-between-backends',
            severity: 'error',
            from: { path: '^src/(database|storage)/([^/]+)/' },
            to: { path: '^src/(database|storage)/[^/]+/', pathNot: '^src/$1/$2/' },
        },
        {
            name: 'no-dev-dependencies',
            severity: 'error',
            from: { path: '^src/' },
            to: { dependencyTypes: ['npm-dev'] },
        },
    ],
    options: {
        doNotFollow: { path: 'node_modules' },
        tsPreCompilationDeps: true,
        tsConfig: { fileName: 'tsconfig.json' },
    },
};
