/** Makes calls by `node:http`, as libraries do. */
import http from 'node:http';

export interface NodeAnswer {
  readonly status: number | undefined;
  readonly body: string;
}

export type Prepare = (request: http.ClientRequest) => void;

/** Sends a request and reads the answer. `prepare` may write a body; the request is ended afterwards. */
export function call(url: string | URL, options: http.RequestOptions = {}, prepare: Prepare = () => undefined): Promise<NodeAnswer> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, options, response => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.once('end', () => resolve({ status: response.statusCode, body })).once('error', reject);
    });
    request.once('error', reject);
    prepare(request);
    request.end();
  });
}

/** Resolves with the error of a call that must fail. */
export function failureOf(answer: Promise<unknown>): Promise<unknown> {
  return answer.then(
    () => Promise.reject(new Error('it did not fail')),
    (error: unknown) => error,
  );
}
