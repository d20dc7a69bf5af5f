/** What the compiler must accept and refuse of the definitions of options; checked by `npm run typecheck`, never run. */
import { type Definitions, flag, group, option, text, type Values } from '../../lib/options/checks.js';

interface Inner {
  readonly on?: boolean;
}

interface Given {
  readonly name?: string;
  readonly inner?: Inner;
}

const INNER = { on: option(flag, true) } satisfies Definitions<Inner>;
export const ACCEPTED = { name: option(text), inner: group(INNER) } satisfies Definitions<Given>;
export const VALUES: Values<typeof ACCEPTED> = { name: undefined, inner: { on: true } };

// @ts-expect-error An option of the interface has no definition.
export const MISSING = { name: option(text) } satisfies Definitions<Given>;
// @ts-expect-error The interface has no such option.
export const EXTRA = { on: option(flag, true), off: option(flag, false) } satisfies Definitions<Inner>;
// @ts-expect-error A default is of the type of its option.
export const WRONG_DEFAULT = { on: option(flag, 'yes') } satisfies Definitions<Inner>;
// @ts-expect-error A check is for the type of its option.
export const WRONG_CHECK = { on: option(text) } satisfies Definitions<Inner>;
// @ts-expect-error A group has the definitions of its interface.
export const WRONG_GROUP = { name: option(text), inner: group({ name: option(text) }) } satisfies Definitions<Given>;
// @ts-expect-error Values are what checks return.
export const WRONG_VALUE: Values<typeof INNER> = { on: 'yes' };
