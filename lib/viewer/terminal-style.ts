/** What a terminal block is drawn with: characters and colours, chosen by what the terminal and the environment allow. */

/** The characters of a block. @internal */
export interface Glyphs {
  readonly succeeded: string;
  readonly failed: string;
  readonly branch: string;
  readonly lastBranch: string;
  readonly trunk: string;
  /** The critical path. */
  readonly bar: string;
  readonly waiting: string;
  readonly times: string;
  readonly ellipsis: string;
}

/** Colours text, or leaves it as it is. @internal */
export type Paint = Readonly<Record<'bold' | 'dim' | 'failed' | 'bar', (text: string) => string>>;

/** For terminals and logs in UTF-8. @internal */
export const UNICODE: Glyphs = {
  succeeded: '✔',
  failed: '✘',
  branch: '├ ',
  lastBranch: '└ ',
  trunk: '│ ',
  bar: '█',
  waiting: '░',
  times: '×',
  ellipsis: '…',
};

/** For plain logs. @internal */
export const ASCII: Glyphs = {
  succeeded: 'ok',
  failed: '!!',
  branch: '|-',
  lastBranch: '`-',
  trunk: '| ',
  bar: '#',
  waiting: '-',
  times: 'x',
  ellipsis: '...',
};

/** @internal */
export const COLOURED: Paint = { bold: ansi(1, 22), dim: ansi(2, 22), failed: ansi(31, 39), bar: ansi(36, 39) };

/** @internal */
export const UNCOLOURED: Paint = { bold: asIs, dim: asIs, failed: asIs, bar: asIs };

/**
 * Whether to colour what goes to a terminal (or to something else). `FORCE_COLOR` wins over `NO_COLOR`, as in Node itself.
 * @internal
 */
export function wantsColour(isTerminal: boolean, environment: NodeJS.ProcessEnv): boolean {
  const { FORCE_COLOR, NO_COLOR, TERM } = environment;
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false';
  return !NO_COLOR && isTerminal && TERM !== 'dumb';
}

function ansi(open: number, close: number): (text: string) => string {
  return text => (text === '' ? '' : `\u001b[${open}m${text}\u001b[${close}m`);
}

function asIs(text: string): string {
  return text;
}
