/** Serves desk.proto with @grpc/grpc-js alone and keeps the received headers. */
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import {
  type Client,
  credentials,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServiceClientConstructor,
  status,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { type Answer, PROTO, type Question, type RawDesk } from './desk.js';

const { Desk } = (loadPackageDefinition(loadSync(PROTO)) as unknown as { library: { Desk: ServiceClientConstructor } }).library;

/** Returns a client of the service without tracing. */
export function plainClient(url: string): RawDesk & Client {
  return new Desk(url, credentials.createInsecure()) as unknown as RawDesk & Client;
}

type Asked = Required<Question>;

export class PlainPeer {
  readonly headers: IncomingHttpHeaders[] = [];

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async serve(): Promise<PlainPeer> {
    const server = new Server();
    server.addService(Desk.service, {
      Ask: ({ request }: ServerUnaryCall<Asked, Answer>, answer: sendUnaryData<Answer>) => {
        if (request.what !== 'never') answer(null, { number: request.number, text: request.what });
      },
      List: (call: ServerWritableStream<Asked, Answer>) => {
        const { what, number } = call.request;
        if (what === 'never') return;
        if (what === 'fails') {
          call.emit('error', { code: status.NOT_FOUND, details: 'no such list' });
          return;
        }
        for (let n = 0; n < number; n++) call.write({ number: n, text: what });
        call.end();
      },
      Collect: (call: ServerReadableStream<Asked, Answer>, answer: sendUnaryData<Answer>) => {
        let sum = 0;
        call.on('data', ({ number }: Asked) => (sum += number));
        call.on('end', () => answer(null, { number: sum, text: '' }));
      },
      Talk: (call: ServerDuplexStream<Asked, Answer>) => {
        call.on('data', ({ number, what }: Asked) => call.write({ number, text: what }));
        call.on('end', () => call.end());
      },
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    const peer = new PlainPeer(server, `127.0.0.1:${port}`);
    peer.listenIn();
    return peer;
  }

  close(): void {
    this.server.forceShutdown();
  }

  /** Listens to each stream before the server does. */
  private listenIn(): void {
    for (const server of (this.server as unknown as { http2Servers: Map<Http2Server, unknown> }).http2Servers.keys()) {
      server.prependListener('stream', (_stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => this.headers.push({ ...headers }));
    }
  }
}
