import tseslint from 'typescript-eslint';

/** What a runner offers (jobs-and-imports 2.6). */
const SANDBOX = [
    'restify',
    'imgapiUrl',
    'vmapiUrl',
    'cnapiUrl',
    'setTimeout',
    'clearTimeout',
    'setInterval',
    'clearInterval',
];

/** In files that others get beside them. */
const SHARED_FUNCTIONS = [
    'send',
    'isCanceled',
    'watchCancel',
    'imagePath',
    'findImage',
    'failImage',
    'reasonOf',
    'createRecord',
    'addFiles',
    'activate',
    'hasCreated',
    'removeImage',
    'failureOf',
];

export default tseslint.config(
    {
        ignores: [
            'lib/**',
            'build/**',
            'node_modules/**',
            'data/**',
            'deps/**',
            '*.js',
            '*.cjs',
            '**/*.mjs',
            'bin/**',
        ],
    },
    {
        files: ['**/*.ts'],
        extends: [tseslint.configs.strictTypeChecked],
        languageOptions: {
            parserOptions: { project: ['tsconfig.json', 'test/tsconfig.json'] },
        },
        rules: {
            '@typescript-eslint/consistent-type-imports': 'error',
            '@typescript-eslint/no-floating-promises': 'error',
            '@typescript-eslint/no-misused-promises': 'error',
            '@typescript-eslint/restrict-template-expressions': [
                'error',
                { allowNumber: true, allowBoolean: true },
            ],
            '@typescript-eslint/no-unnecessary-condition': 'off',
            '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
            'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
            'max-lines-per-function': ['error', { max: 80, skipBlankLines: true, skipComments: true }],
            'no-restricted-syntax': [
                'error',
                { selector: 'ExportDefaultDeclaration', message: 'name every export' },
            ],
        },
    },
    {
        files: ['test/**/*.ts', 'bench/**/*.ts'],
        rules: {
            'max-lines-per-function': 'off',
            '@typescript-eslint/no-non-null-assertion': 'off',
            '@typescript-eslint/require-await': 'off',
        },
    },
    {
        // Run by a workflow service, in a bare context of an old engine: nothing newer than ES5, and no
        // other globals than its sandbox has.
        files: ['workflows/**/*.js'],
        languageOptions: {
            ecmaVersion: 5,
            sourceType: 'script',
            globals: Object.fromEntries([...SANDBOX, ...SHARED_FUNCTIONS].map((name) => [name, 'readonly'])),
        },
        rules: {
            eqeqeq: 'error',
            'max-lines-per-function': ['error', { max: 80 }],
            'no-shadow': 'error',
            'no-undef': 'error',
            'no-unused-vars': ['error', { vars: 'local', args: 'none', caughtErrors: 'none' }],
            'no-use-before-define': ['error', { functions: false }],
            'no-redeclare': ['error', { builtinGlobals: false }],
        },
    },
);
