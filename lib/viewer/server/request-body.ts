/** Reads the body of a request and decompresses it, up to a limit. */
import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip, inflate, type ZlibOptions } from 'node:zlib';

/** A request is refused with an HTTP status code and a reason. @internal */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/**
 * The most objects and arrays in one request. A few compressed kilobytes can hold millions of empty ones, which would block the application
 * for seconds. Requests of real SDKs have fewer.
 * @internal
 */
export const MAX_PARTS = 1_000_000;

/** @internal */
export function tooManyParts(max = MAX_PARTS, what = 'the body'): Refusal {
  return new Refusal(413, `${what} is made of more than ${max} parts`);
}

/** Parses the JSON in `body`. Throws a {@link Refusal} if it has too many parts. @internal */
export function parseJson(body: Buffer): unknown {
  refuseManyParts(body, MAX_PARTS);
  return JSON.parse(body.toString());
}

/** Throws a {@link Refusal} if the JSON in `body` has more than `max` objects and arrays. The message calls the body `what`. @internal */
export function refuseManyParts(body: Buffer, max: number, what?: string): void {
  // Each part takes at least two bytes, so a short body needs no count.
  for (let at = body.length > 2 * max ? 0 : Infinity, parts = 0; at < body.length; at++) {
    const byte = body[at];
    if ((byte === OBJECT_START || byte === ARRAY_START) && ++parts > max) throw tooManyParts(max, what);
  }
}

const OBJECT_START = 0x7b;
const ARRAY_START = 0x5b;

const DECOMPRESS: ReadonlyMap<string, (body: Buffer, options: ZlibOptions) => Promise<Buffer>> = new Map([
  ['gzip', promisify<Buffer, ZlibOptions, Buffer>(gunzip)],
  ['x-gzip', promisify<Buffer, ZlibOptions, Buffer>(gunzip)],
  ['deflate', promisify<Buffer, ZlibOptions, Buffer>(inflate)],
]);

/** All bodies that are being read together may take this many times the limit of a single body. */
const BODIES_AT_ONCE = 4;

/** @internal */
export class BodyReader {
  /** Bytes of all bodies that are being read or decompressed. */
  private held = 0;

  constructor(
    private readonly maxBytes: number,
    /** What the error messages call the body. */
    private readonly what = 'the body',
  ) {}

  /** Returns the decompressed body, or throws a {@link Refusal}. */
  async read(request: IncomingMessage): Promise<Buffer> {
    const encoding = request.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
    const decompress = DECOMPRESS.get(encoding);
    if (decompress === undefined && encoding !== 'identity')
      throw new Refusal(415, `content-encoding "${encoding.slice(0, 40)}" is not supported`);
    if (Number(request.headers['content-length'] ?? 0) > this.maxBytes) throw this.tooLarge();
    let held = 0;
    const hold = (bytes: number): void => {
      held += bytes;
      this.held += bytes;
      if (this.held > this.maxBytes * BODIES_AT_ONCE) throw new Refusal(503, 'too many bytes are being received at once');
    };
    try {
      const chunks: Buffer[] = [];
      // The connection stays open when the loop ends early, so that the sender gets an answer.
      for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        hold(chunk.length);
        if (held > this.maxBytes) throw this.tooLarge();
        chunks.push(chunk);
      }
      const raw = Buffer.concat(chunks);
      if (decompress === undefined) return raw;
      // The decompressed length is not known yet, so the limit is reserved.
      hold(this.maxBytes);
      return await decompress(raw, { maxOutputLength: this.maxBytes });
    } catch (error) {
      if (error instanceof Refusal) throw error;
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw this.tooLarge();
      throw new Refusal(400, 'the body cannot be read');
    } finally {
      this.held -= held;
    }
  }

  private tooLarge(): Refusal {
    return new Refusal(413, `${this.what} is longer than ${this.maxBytes} bytes`);
  }
}
