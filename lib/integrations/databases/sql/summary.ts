/** Returns the summary of a text: its operations and their targets, in order (semantic conventions for databases, stable). */
import { readCommand } from './commands.js';
import type { SqlDialect } from './dialect.js';
import { Findings } from './names.js';
import { QUERY_WORDS, readQuery } from './queries.js';
import type { Token } from './tokenizer.js';

const MAX_SUMMARY = 255;

export interface Summary {
  readonly summary: string | undefined;
  readonly operation: string | undefined;
  readonly collection: string | undefined;
  readonly procedure: string | undefined;
}

/** Returns the summary of all statements in a text. Statements of one kind are a batch of it. */
export function summarize(tokens: readonly Token[], dialect: SqlDialect): Summary {
  const summaries: Summary[] = [];
  for (let start = 0; start < tokens.length;) {
    let end = start;
    while (end < tokens.length && tokens[end]?.text !== ';') end++;
    const findings = new Findings();
    const isLast = readStatement(tokens, start, end, findings, dialect);
    if (findings.size > 0) summaries.push(summaryOf(findings));
    if (isLast) break;
    start = end + 1;
  }
  return summaries.length === 1 ? (summaries[0] as Summary) : together(summaries);
}

function readStatement(tokens: readonly Token[], start: number, end: number, findings: Findings, dialect: SqlDialect): boolean {
  let first = start;
  while (first < end && tokens[first]?.kind === 'symbol') first++;
  // The drivers' own form of a call: {? = call name(…)}
  if (tokens[first]?.text === '?' && tokens[first + 1]?.text === '=') first += 2;
  const word = tokens[first]?.upper ?? '';
  if (!QUERY_WORDS.has(word)) return readCommand(tokens, first, end, findings, dialect);
  readQuery(tokens, word === 'TABLE' || word === 'VALUES' ? first : start, end, findings);
  return false;
}

function summaryOf(findings: Findings): Summary {
  const { words, collection } = findings.finish();
  return { summary: shorten(words), operation: findings.operation, collection, procedure: findings.procedure };
}

function together(summaries: readonly Summary[]): Summary {
  const [first] = summaries;
  if (first === undefined) return { summary: undefined, operation: undefined, collection: undefined, procedure: undefined };
  const same = (key: keyof Summary): string | undefined =>
    summaries.every(summary => summary[key] === first[key]) ? first[key] : undefined;
  const summary = same('summary');
  const operation = same('operation');
  return {
    summary: shorten(summary === undefined ? summaries.map(each => each.summary ?? '') : ['BATCH', summary]),
    operation: operation === undefined ? undefined : `BATCH ${operation}`,
    collection: same('collection'),
    procedure: same('procedure'),
  };
}

/** Joins words as long as they fit. */
function shorten(words: readonly string[]): string {
  let joined = '';
  for (const word of words) {
    if (joined.length + word.length >= MAX_SUMMARY) break;
    joined += joined === '' ? word : ` ${word}`;
  }
  return joined;
}
