/** Lets in only who sits at this machine: no page of another site, under whatever name it reached the server. */
import type { IncomingHttpHeaders } from 'node:http';

/** What a web site's DNS can make point to this machine is not among them. */
const NAMES = ['127.0.0.1', 'localhost', '[::1]'];

/** Whether the request names this server by an address that only this machine gives it (against DNS rebinding). @internal */
export function isForThisMachine({ host }: IncomingHttpHeaders, port: number): boolean {
  const asked = host?.toLowerCase();
  return NAMES.some(name => asked === `${name}:${port}` || (port === 80 && asked === name));
}

/** Whether a browser sends it on behalf of another site; programs that are no browsers say neither of the two. @internal */
export function isFromAnotherSite(headers: IncomingHttpHeaders): boolean {
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  return origin !== undefined && origin.toLowerCase() !== `http://${host?.toLowerCase() ?? ''}`;
}
