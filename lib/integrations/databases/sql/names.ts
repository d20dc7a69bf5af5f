/** Reads names of tables and procedures out of tokens, and collects what a summary says. */
import type { Token } from './tokenizer.js';

/** A name and the index of the token behind it. */
interface ReadName {
  readonly name: string;
  readonly next: number;
  readonly isQualified: boolean;
}

/** Returns the name at an index, with its qualification and without needless quotes. Undefined if no name is there. */
export function readName(tokens: readonly Token[], index: number, end: number): ReadName | undefined {
  if (index >= end || !isNamePart(tokens[index])) return undefined;
  let name = plain(tokens[index] as Token);
  let next = index + 1;
  while (next < end && tokens[next]?.text === '.') {
    name += '.';
    next++;
    if (next >= end || tokens[next]?.text === '.') continue;
    if (!isNamePart(tokens[next])) break;
    name += plain(tokens[next] as Token);
    next++;
  }
  return { name, next, isQualified: next > index + 1 };
}

function isNamePart(token: Token | undefined): boolean {
  return token !== undefined && (token.kind === 'word' || token.kind === 'quoted');
}

/** Returns a part of a name. Quotes stay around blanks, dots and quotes. */
function plain(token: Token): string {
  if (token.kind === 'word') return token.text;
  const content = token.text.slice(1, -1);
  return /^[^\s."'`[\]]+$/.test(content) && !token.text.startsWith('U&') && !token.text.startsWith('u&') ? content : token.text;
}

interface Part {
  readonly text: string;
  /** True if it may be the alias of a table that is named later. */
  readonly mayBeAlias: boolean;
  readonly isTable: boolean;
}

/** Operations and their targets, in the order of the text. */
export class Findings {
  operation: string | undefined;
  procedure: string | undefined;
  readonly aliases = new Set<string>();
  private readonly parts: Part[] = [];

  /** Adds an operation. The first one that is a main one names the statement. */
  addOperation(text: string, isMain: boolean): void {
    this.parts.push({ text, mayBeAlias: false, isTable: false });
    if (isMain) this.operation ??= text;
  }

  addTable(text: string, mayBeAlias = false): void {
    this.parts.push({ text, mayBeAlias, isTable: true });
  }

  /** Adds a target that is no table. */
  addTarget(text: string): void {
    this.parts.push({ text, mayBeAlias: false, isTable: false });
  }

  /** How many operations and targets there are. */
  get size(): number {
    return this.parts.length;
  }

  /** Takes back what came last: its tables are named again behind it. */
  shrink(size: number): void {
    this.parts.length = size;
  }

  /** Returns the words of the summary, and the table if it is the only one. */
  finish(): { words: string[]; collection: string | undefined } {
    const kept = this.parts.filter(part => !part.mayBeAlias || !this.aliases.has(part.text.toUpperCase()));
    const tables = new Set(kept.filter(part => part.isTable).map(part => part.text));
    this.operation ??= this.parts[0]?.text;
    return { words: kept.map(part => part.text), collection: tables.size === 1 ? [...tables][0] : undefined };
  }
}
