/** Counts the redirects that a library follows by new requests: each has a span, and `http.request.resend_count` numbers them. */
import type { Context } from '@opentelemetry/api';

/** A redirect response. The next request to its target in the same context is the same call, sent again. */
interface Redirect {
  readonly href: string;
  readonly resends: number;
}

export class Redirects {
  private readonly expected = new WeakMap<Context, Redirect>();

  /** Returns how often the call was sent before the request to `href`, which is read only if a redirect was answered in `parent`. */
  resendsOf(parent: Context, href: () => string | undefined): number {
    const redirect = this.expected.get(parent);
    if (redirect === undefined || href() !== redirect.href) return 0;
    // This request follows the redirect. A later request to this URL is a new call.
    this.expected.delete(parent);
    return redirect.resends;
  }

  /** Reports the response to a request to `url`. `resends`: how often the call was sent before. `location` is read only for a redirect. */
  answered(parent: Context, url: () => URL | undefined, statusCode: number, location: () => unknown, resends: number): void {
    if (statusCode < 300 || statusCode > 308) return;
    const [base, target] = [url(), location()];
    if (typeof target !== 'string' || base === undefined || !URL.canParse(target, base.href)) return;
    this.expected.set(parent, { href: new URL(target, base).href, resends: resends + 1 });
  }
}
