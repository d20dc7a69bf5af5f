/** Reads the body of a request and inflates it, never beyond a limit, however little of it came over the wire. */
import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip, inflate, type ZlibOptions } from 'node:zlib';

/** Why a request is not taken in, as an HTTP status code. @internal */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Objects and lists that one request may be made of: a few kilobytes inflate to millions of empty ones, which would keep the application
 * for seconds. The longest request of real spans has fewer.
 * @internal
 */
export const MAX_PARTS = 1_000_000;

/** @internal */
export function tooManyParts(most = MAX_PARTS, what = 'the body'): Refusal {
  return new Refusal(413, `${what} is made of more than ${most} parts`);
}

/** The JSON in `body`; throws a {@link Refusal} where it has too many parts, and as `JSON.parse` does. @internal */
export function parseJson(body: Buffer): unknown {
  refuseManyParts(body, MAX_PARTS);
  return JSON.parse(body.toString());
}

/** Throws a {@link Refusal} where the JSON in `body`, called `what`, is made of more than `most` objects and lists. @internal */
export function refuseManyParts(body: Buffer, most: number, what?: string): void {
  // Each opens with one byte and closes with another.
  for (let at = body.length > 2 * most ? 0 : Infinity, parts = 0; at < body.length; at++) {
    const byte = body[at];
    if ((byte === OBJECT || byte === LIST) && ++parts > most) throw tooManyParts(most, what);
  }
}

const OBJECT = 0x7b;
const LIST = 0x5b;

const INFLATING: ReadonlyMap<string, (body: Buffer, options: ZlibOptions) => Promise<Buffer>> = new Map([
  ['gzip', promisify<Buffer, ZlibOptions, Buffer>(gunzip)],
  ['x-gzip', promisify<Buffer, ZlibOptions, Buffer>(gunzip)],
  ['deflate', promisify<Buffer, ZlibOptions, Buffer>(inflate)],
]);

/** How many bytes all bodies that are being read may hold together, in limits of a single one. */
const BODIES_AT_ONCE = 4;

/** @internal */
export class BodyReader {
  /** Bytes of bodies that are being read or inflated. */
  private held = 0;

  constructor(
    private readonly maxBytes: number,
    /** What is read, for who is refused. */
    private readonly what = 'the body',
  ) {}

  /** The inflated body; throws a {@link Refusal}. */
  async read(request: IncomingMessage): Promise<Buffer> {
    const encoding = request.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
    const expand = INFLATING.get(encoding);
    if (expand === undefined && encoding !== 'identity') throw new Refusal(415, `content-encoding "${encoding.slice(0, 40)}" is not known`);
    if (Number(request.headers['content-length'] ?? 0) > this.maxBytes) throw this.tooLarge();
    let held = 0;
    const hold = (bytes: number): void => {
      held += bytes;
      this.held += bytes;
      if (this.held > this.maxBytes * BODIES_AT_ONCE) throw new Refusal(503, 'too much comes in at once');
    };
    try {
      const chunks: Buffer[] = [];
      // Giving up must not close the connection: the sender is owed an answer.
      for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        hold(chunk.length);
        if (held > this.maxBytes) throw this.tooLarge();
        chunks.push(chunk);
      }
      const raw = Buffer.concat(chunks);
      if (expand === undefined) return raw;
      // What it will be is not known: a bomb is as long as the limit.
      hold(this.maxBytes);
      return await expand(raw, { maxOutputLength: this.maxBytes });
    } catch (error) {
      if (error instanceof Refusal) throw error;
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw this.tooLarge();
      throw new Refusal(400, 'the body is broken');
    } finally {
      this.held -= held;
    }
  }

  private tooLarge(): Refusal {
    return new Refusal(413, `${this.what} is longer than ${this.maxBytes} bytes`);
  }
}
