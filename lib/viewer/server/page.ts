/** Serves the viewer's page: one file, under a policy that runs what is written in it and nothing else. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

/** For every answer that is not the page: nothing in it is ever to be run. @internal */
export const NOTHING_RUNS = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

/** @internal */
export interface Page {
  readonly html: Buffer;
  readonly gzipped: Buffer;
  readonly policy: string;
}

/** Paths that the page shows something for. @internal */
export function isPagePath(path: string): boolean {
  return path === '/' || /^\/trace\/[^/]/.test(path);
}

/** The trace that a page path is about. @internal */
export function shownTrace(path: string): string | undefined {
  return /^\/trace\/([0-9a-f]{32})\/?$/.exec(path)?.[1];
}

let page: Promise<Page> | undefined;

/** Loaded when it is first asked for: an application that nobody looks at need not hold it. @internal */
export function loadPage(): Promise<Page> {
  return (page ??= load());
}

async function load(): Promise<Page> {
  const { builtPage } = await import('../page/built-page.js');
  const html = Buffer.from(builtPage);
  return { html, gzipped: await promisify(gzip)(html, { level: 9 }), policy: policyOf(builtPage) };
}

/** Scripts and styles are named by their hashes: one that a trace smuggled in would have another. */
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
