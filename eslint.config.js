/** Rules for mistakes that the compiler accepts. Prettier alone does the formatting. */
import eslint from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const FOCUSED_SPEC = 'CallExpression[callee.object.name=/^(it|test|describe)$/][callee.property.name=/^(only|skip|todo)$/]';
const ATTRIBUTE_KEY = [
  'Property > Literal.key',
  'CallExpression[callee.property.name="setAttribute"] > Literal:first-child',
  'AssignmentExpression > MemberExpression.left > Literal.property',
]
  .map(place => `${place}[value=/^[a-z_]+([.][a-z_]+)+$/]`)
  .join(', ');

export default defineConfig(
  { ignores: ['**/dist/', 'coverage/', 'test/consumers/app/', 'lib/viewer/page/built-page.ts'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  eslint.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-restricted-syntax': ['error', { selector: FOCUSED_SPEC, message: 'A focused or skipped spec hides others.' }],
      // Classes in decorated signatures must stay value imports for emitDecoratorMetadata. The rule ignores files with decorators.
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/restrict-plus-operands': ['error', { allowNumberAndString: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // Thrown values of other code are rethrown unchanged.
      '@typescript-eslint/only-throw-error': ['error', { allowThrowingUnknown: true, allowThrowingAny: false }],
      '@typescript-eslint/prefer-promise-reject-errors': ['error', { allowThrowingUnknown: true }],
      // Types describe the newest Nest, axios and SDK. The code must also work with older versions, which lack some members.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-unnecessary-boolean-literal-compare': 'off',
      // This library takes handlers, methods and hooks from prototypes and puts them back.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-unsafe-function-type': 'off',
      '@typescript-eslint/no-dynamic-delete': 'off',
      '@typescript-eslint/no-extraneous-class': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
    },
  },
  {
    files: ['lib/**/*.ts', 'lib/**/*.tsx'],
    // Nothing in lib/ may switch a rule off for itself.
    linterOptions: { noInlineConfig: true },
    rules: { 'no-console': 'error' },
  },
  {
    files: ['lib/**/*.ts', 'lib/**/*.tsx'],
    ignores: ['lib/conventions/**', 'lib/integrations/**/attributes.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        { selector: ATTRIBUTE_KEY, message: 'Attribute keys are literals in lib/conventions and attributes.ts of an integration only.' },
      ],
    },
  },
  {
    // Called for all five events of each request. Rest parameters would create an array each time.
    files: ['lib/integrations/http-server/request-work.ts'],
    rules: { 'prefer-rest-params': 'off' },
  },
  {
    // Specs and samples read untyped JSON, throw odd values on purpose and have empty classes and handlers.
    files: ['test/**/*.ts', 'sample/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/only-throw-error': 'off',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
    },
  },
  {
    files: ['**/*.js', '**/*.mjs', '**/*.cjs'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        fetch: 'readonly',
        Buffer: 'readonly',
        setTimeout: 'readonly',
        clearTimeout: 'readonly',
        require: 'readonly',
        module: 'writable',
      },
    },
  },
);
