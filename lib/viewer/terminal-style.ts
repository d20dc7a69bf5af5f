/** The characters and colours of the waterfall in the terminal. */

/** The characters of a waterfall. @internal */
export interface Glyphs {
  readonly succeeded: string;
  readonly failed: string;
  readonly branch: string;
  readonly lastBranch: string;
  readonly trunk: string;
  /** The time of a span on the critical path. */
  readonly bar: string;
  /** The time of a span that is not on the critical path. */
  readonly waiting: string;
  readonly times: string;
  readonly ellipsis: string;
}

/** Functions that colour text, or return it unchanged. @internal */
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
export const UNCOLOURED: Paint = { bold: unchanged, dim: unchanged, failed: unchanged, bar: unchanged };

/**
 * Whether the output is coloured. `FORCE_COLOR` wins over `NO_COLOR`, as in Node itself.
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

function unchanged(text: string): string {
  return text;
}
