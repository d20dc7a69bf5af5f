/** The names users may import; a change of this list is a change users see and needs a note in CHANGELOG.md. */
import { join } from 'node:path';
import ts from 'typescript';
import { manifest } from './packed-package.js';

const ENTRIES = Object.keys(manifest.exports)
  .filter(entry => entry !== './package.json')
  .map(entry => join('lib', entry, 'index.ts'));

const configuration = ts.getParsedCommandLineOfConfigFile(
  'tsconfig.json',
  {},
  { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => {} },
);
const program = ts.createProgram(ENTRIES, configuration?.options ?? {});
const checker = program.getTypeChecker();

/** What an entry point exports, with each name resolved to its declaration. */
function publicSymbols(entry: string): { name: string; symbol: ts.Symbol }[] {
  const source = program.getSourceFile(entry);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${entry} is not a module`);
  return checker.getExportsOfModule(module).map(symbol => {
    const isAlias = (symbol.flags & ts.SymbolFlags.Alias) !== 0;
    return { name: symbol.name, symbol: isAlias ? checker.getAliasedSymbol(symbol) : symbol };
  });
}

describe('Public names', () => {
  it.each(ENTRIES)('of %s are these', entry => {
    const names = publicSymbols(entry).map(({ name, symbol }) => `${(symbol.flags & ts.SymbolFlags.Value) === 0 ? 'type ' : ''}${name}`);
    expect(names.sort()).toMatchSnapshot();
  });

  it.each(ENTRIES)('of %s are documented and marked @publicApi', entry => {
    const bare = publicSymbols(entry).filter(({ symbol }) => {
      const isOurs = symbol.declarations?.every(({ parent }) => !parent.getSourceFile().fileName.includes('node_modules')) === true;
      const tags = symbol.getJsDocTags(checker).map(tag => tag.name);
      const isDocumented = symbol.getDocumentationComment(checker).length > 0 || tags.includes('publicApi');
      return isOurs && !(isDocumented && tags.includes('publicApi') && !tags.includes('internal'));
    });
    expect(bare.map(({ name }) => name)).toEqual([]);
  });

  it.each(ENTRIES)('of %s are listed one by one', entry => {
    const source = program.getSourceFile(entry);
    const stars = source?.statements.filter(statement => ts.isExportDeclaration(statement) && statement.exportClause === undefined);
    expect(stars).toEqual([]);
  });
});
