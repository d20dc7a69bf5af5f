/** Loads the viewer's page, one HTML file, and its content security policy, which allows only the scripts and styles in that file. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

/** The content security policy of every answer except the page: nothing in it may run. @internal */
export const NOTHING_RUNS = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

/** @internal */
export interface Page {
  readonly html: Buffer;
  readonly gzipped: Buffer;
  readonly policy: string;
}

/** Whether the page answers requests for `path`. @internal */
export function isPagePath(path: string): boolean {
  return path === '/' || /^\/trace\/[^/]/.test(path);
}

/** The id of the trace that the page shows at `path`. @internal */
export function shownTrace(path: string): string | undefined {
  return /^\/trace\/([0-9a-f]{32})\/?$/.exec(path)?.[1];
}

let page: Promise<Page> | undefined;

/** Loads the page at the first request, so that it takes no memory before. @internal */
export function loadPage(): Promise<Page> {
  return (page ??= load());
}

async function load(): Promise<Page> {
  const { builtPage } = await import('../page/built-page.js');
  const html = Buffer.from(builtPage);
  return { html, gzipped: await promisify(gzip)(html, { level: 9 }), policy: policyOf(builtPage) };
}

/** Allows scripts and styles by their hashes, so that a script from the data of a trace cannot run. */
function policyOf(html: string): string {
  const hashes = (element: 'script' | 'style'): string =>
    Array.from(html.matchAll(element === 'script' ? SCRIPT : STYLE), ([, content = '']) => {
      return ` 'sha256-${createHash('sha256').update(content).digest('base64')}'`;
    }).join('') || " 'none'";
  return [
    `default-src 'none'; script-src${hashes('script')}; style-src${hashes('style')}; connect-src 'self'; img-src data:`,
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
  ].join('; ');
}

const SCRIPT = /<script\b[^>]*>(.*?)<\/script>/gis;
const STYLE = /<style\b[^>]*>(.*?)<\/style>/gis;
