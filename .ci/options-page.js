#!/usr/bin/env node
/**
 * Writes all options into docs/options.md and the top-level options into README.md, from their doc comments.
 * Run: npm run options (with --check it only says whether the pages are up to date)
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import ts from 'typescript';

const SOURCE = 'lib/options/tracing-options.ts';
const PAGE = 'docs/options.md';
const README = 'README.md';
const BEGIN = '<!-- options: written by "npm run options" out of doc comments -->';
const END = '<!-- end of options -->';

const declarations = declarationsIn(SOURCE);
const outdated = [];
for (const [file, text, proseWrap] of [
  [PAGE, reference(), 'always'],
  [README, overview(), 'preserve'],
]) {
  const before = readFileSync(file, 'utf8');
  const [start, end] = [before.indexOf(BEGIN), before.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`${file} needs the lines "${BEGIN}" and "${END}".`);
  const written = `${before.slice(0, start)}${BEGIN}\n\n${text}\n\n${before.slice(end)}`;
  const after = await format(written, { ...(await resolveConfig(file)), parser: 'markdown', proseWrap });
  if (after === before) continue;
  outdated.push(file);
  if (!process.argv.includes('--check')) writeFileSync(file, after);
}
if (outdated.length > 0 && process.argv.includes('--check')) {
  console.error(`Not up to date: ${outdated.join(', ')}. Run "npm run options".`);
  process.exitCode = 1;
}

/** Returns the interfaces and type aliases of a file and of its imports inside this package, by name. */
function declarationsIn(file, found = new Map(), seen = new Set()) {
  if (seen.has(file)) return found;
  seen.add(file);
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  for (const statement of source.statements) {
    if (ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement)) found.set(statement.name.text, statement);
    if (!ts.isImportDeclaration(statement) || !statement.moduleSpecifier.text.startsWith('.')) continue;
    const imported = join(dirname(file), statement.moduleSpecifier.text.replace(/\.js$/, '.ts'));
    if (existsSync(imported)) declarationsIn(imported, found, seen);
  }
  return found;
}

/** Returns the parts of a doc comment: the text, and the values of `@default` and `@env`. */
function commentOf(node) {
  // The first comment of a file stands before the first declaration, too.
  const comment = node.jsDoc?.at(-1);
  if (comment === undefined) throw new Error(`${node.name.getText()} has no doc comment.`);
  const lines = comment
    .getText()
    .replace(/^\/\*\*|\*\/$/g, '')
    .split('\n')
    .map(line => line.replace(/^\s*\* ?/, '').trim());
  const [text, ...tags] = lines
    .join(' ')
    .trim()
    .split(/\s*@(?=(?:default|env|publicApi|internal)\b)/);
  const tag = name =>
    tags
      .find(one => one.startsWith(name))
      ?.slice(name.length)
      .trim();
  return { text: text.replace(/\{@link ([\w.]+)\}/g, '`$1`'), fallback: tag('default'), env: tag('env') };
}

/** Returns the options of an interface. An option whose type is one of these interfaces is a group. */
function optionsOf(name, prefix = '') {
  return declarations.get(name).members.map(member => {
    const path = prefix + member.name.getText();
    const type = member.type.getText().replaceAll('readonly ', '');
    const group = /\b\w+Options\b/.exec(type)?.[0];
    const comment = commentOf(member);
    if (comment.fallback === undefined && type !== group) throw new Error(`${path} has no @default in its doc comment.`);
    return { path, type, group: declarations.has(group) ? group : undefined, ...comment };
  });
}

/** Returns the default as code, or as it is if it is a sentence. */
function shownDefault(fallback) {
  if (fallback === undefined) return '';
  return /^(true|false|[\d.]+|'.*'|\[.*\]|\{.*\})$/.test(fallback) ? `\`${fallback}\`` : fallback;
}

function overview() {
  const rows = optionsOf('TracingOptions').map(({ path, text, fallback }) => {
    const [sentence] = /^.*?\.(?= |$)/.exec(text) ?? [text];
    return `| \`${path}\` | ${sentence} | ${shownDefault(fallback)} |`;
  });
  return ['| option | what it is | default |', '| --- | --- | --- |', ...rows].join('\n');
}

function reference() {
  const groups = groupsOf('TracingOptions');
  const sections = [
    section('## Options of the module', 'TracingOptions', ''),
    ...groups.map(({ path, group }) => section(`## Options of \`${path}\``, group, `${path}.`)),
  ];
  return [...sections, '## Types that options use', ...typesUsed()].join('\n\n');
}

/** Returns the groups of an interface, each followed by those inside of it. */
function groupsOf(name, prefix = '') {
  return optionsOf(name, prefix).flatMap(option =>
    option.group === undefined ? [] : [option, ...groupsOf(option.group, `${option.path}.`)],
  );
}

function section(heading, name, prefix) {
  const options = optionsOf(name, prefix).map(({ path, type, group, text, fallback, env }) => {
    const facts = [
      `Type: \`${type}\`${group === undefined ? '' : `, see [options of \`${path}\`](#options-of-${path.toLowerCase().replaceAll('.', '')})`}`,
    ];
    if (fallback !== undefined) facts.push(`Default: ${shownDefault(fallback)}`);
    if (env !== undefined)
      facts.push(
        `Environment: ${env
          .split(', ')
          .map(variable => `\`${variable}\``)
          .join(', ')}`,
      );
    return `### \`${path}\`\n\n${text}\n\n${facts.map(fact => `- ${fact}`).join('\n')}`;
  });
  return [heading, commentOf(declarations.get(name)).text, ...options].join('\n\n');
}

/** Returns the types of this package that the options use. */
function typesUsed() {
  const inOptions = [...declarations].flatMap(([name, node]) => (name.endsWith('Options') ? [node.getText()] : [])).join();
  const used = [...declarations].filter(([name]) => !name.endsWith('Options') && new RegExp(`\\b${name}\\b`).test(inOptions));
  return used.map(([name, node]) => {
    const code = node
      .getText()
      .replace(/^export /, '')
      .replaceAll('readonly ', '');
    return `### \`${name}\`\n\n${commentOf(node).text}\n\n\`\`\`typescript\n${code}\n\`\`\``;
  });
}
