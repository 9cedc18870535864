import tseslint from 'typescript-eslint';

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
    ...tseslint.configs.strictTypeChecked,
    {
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
);
