/** A gRPC service with every kind of call, between two traced applications. The word in a question selects the kind of answer. */
import { join } from 'node:path';
import {
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  type Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import {
  type ClientGrpc,
  type ClientProxy,
  GrpcMethod,
  GrpcStreamCall,
  GrpcStreamMethod,
  RpcException,
  Transport,
} from '@nestjs/microservices';
import { concat, finalize, interval, map, NEVER, type Observable, of, reduce, take, tap, throwError } from 'rxjs';
import { NoSpan, Span, Tracer } from '../../../lib/index.js';
import { type TestTransport } from './transports.js';
import { freePort } from '../../../sample/runner/free-ports.js';

export const PROTO = join(process.cwd(), 'test/integrations/microservices/desk.proto');

export interface Question {
  what?: string;
  number?: number;
}

export interface Answer {
  number: number;
  text: string;
}

/** What a caller may pass besides the question. */
type More = [metadata?: unknown, options?: unknown];

export interface Desk {
  ask(question: Question, ...more: More): Observable<Answer>;
  list(question: Question, ...more: More): Observable<Answer>;
  collect(questions: Observable<Question>, ...more: More): Observable<Answer>;
  talk(questions: Observable<Question>, ...more: More): Observable<Answer>;
  pass(questions: Observable<Question>, ...more: More): Observable<Answer>;
  passOnce(questions: Observable<Question>, ...more: More): Observable<Answer>;
  guarded(question: Question, ...more: More): Observable<Answer>;
  forgiven(question: Question, ...more: More): Observable<Answer>;
  quiet(question: Question, ...more: More): Observable<Answer>;
  missing(question: Question, ...more: More): Observable<Answer>;
}

type Answered = (error: ServiceError | null, answer?: Answer) => void;

/** The @grpc/grpc-js client behind it. */
export interface RawDesk {
  ask(question: Question, ...more: [...More, Answered] | [unknown, Answered] | [Answered]): ClientUnaryCall;
  list(question: Question, ...more: More): ClientReadableStream<Answer>;
  collect(...more: [...More, Answered] | [unknown, Answered] | [Answered]): ClientWritableStream<Question>;
  talk(...more: More): ClientDuplexStream<Question, Answer>;
  pass(...more: More): ClientDuplexStream<Question, Answer>;
  passOnce(...more: [unknown, Answered] | [Answered]): ClientWritableStream<Question>;
}

export const grpc: TestTransport = {
  name: 'gRPC',
  system: 'grpc',
  protocol: 'rpc',
  sending: '',
  handling: '',
  async prepare() {
    const options = { url: `127.0.0.1:${await freePort()}`, package: 'library', protoPath: PROTO };
    return { server: { transport: Transport.GRPC, options }, client: { transport: Transport.GRPC, options } };
  },
};

export function deskOf(client: ClientProxy | ClientGrpc): Desk {
  return (client as ClientGrpc).getService<Desk>('Desk');
}

@Injectable()
export class Books {
  readonly seen: string[] = [];
  readonly metadata: Metadata[] = [];
  /** The deadlines that the server sees. */
  readonly deadlines: number[] = [];
  constructor(readonly tracer: Tracer) {}

  @Span() look(what: string): void {
    this.seen.push(what);
  }
}

@Injectable()
class Refusing implements CanActivate {
  constructor(private readonly books: Books) {}
  canActivate() {
    this.books.look('guard');
    return false;
  }
}

@Injectable()
class Watching implements NestInterceptor {
  constructor(private readonly books: Books) {}
  intercept(_context: ExecutionContext, next: CallHandler) {
    this.books.look('before');
    return next.handle().pipe(tap(() => this.books.look('after')));
  }
}

class Forgivable extends Error {}

@Catch(Forgivable)
class Forgiving implements ExceptionFilter {
  catch() {
    return of({ number: 0, text: 'forgiven' });
  }
}

@Controller()
export class DeskController {
  constructor(private readonly books: Books) {}

  @GrpcMethod('Desk', 'Ask')
  async ask({ what, number }: Required<Question>, metadata: Metadata, call: ServerUnaryCall<Question, Answer>) {
    this.books.metadata.push(metadata);
    this.books.deadlines.push(Number(call.getDeadline()));
    await new Promise(resolve => setImmediate(resolve));
    this.books.look(`ask ${what}`);
    if (what === 'never') return NEVER;
    if (what === 'breaks') throw new RangeError('out of range');
    if (what === 'unserializable') return { number: { valueOf: () => { throw new Error('no number'); } } }; // prettier-ignore
    if (what === 'details') throw new RpcException({ code: status.INTERNAL, message: 'torn page', details: 'page 7 is torn' });
    if (what in status) throw new RpcException({ code: status[what as keyof typeof status], message: `it is ${what}` });
    if (what === 'trailer') call.sendMetadata(metadata);
    return { number: number + 1, text: this.books.tracer.traceId ?? 'no trace' };
  }

  @UseInterceptors(Watching)
  @GrpcMethod('Desk', 'List')
  list({ what, number }: Required<Question>): Observable<Answer> {
    this.books.look('list');
    if (what === 'never') return NEVER.pipe(finalize(() => this.books.look('torn down')));
    if (what === 'fails-late') {
      return concat(
        of({ number: 1, text: 'first' }),
        throwError(() => new RpcException({ code: status.DATA_LOSS, message: 'a page is lost' })),
      );
    }
    if (what === 'endless') return interval(2).pipe(map(n => ({ number: n, text: 'more' })));
    return interval(1).pipe(
      map(n => ({ number: n, text: this.books.tracer.traceId ?? 'no trace' })),
      tap(() => this.books.look('value')),
      take(number),
    );
  }

  @GrpcStreamMethod('Desk', 'Collect')
  collect(questions: Observable<Required<Question>>): Observable<Answer> {
    return questions.pipe(
      tap(({ what }) => {
        this.books.look(`collect ${what}`);
        if (what === 'breaks') throw new RangeError('out of range');
      }),
      reduce((sum, { number }) => sum + number, 0),
      map(number => ({ number, text: this.books.tracer.traceId ?? 'no trace' })),
    );
  }

  @GrpcStreamMethod('Desk', 'Talk')
  talk(questions: Observable<Required<Question>>): Observable<Answer> {
    return questions.pipe(
      tap(({ what }) => this.books.look(`talk ${what}`)),
      map(({ number }) => ({ number: number * 2, text: this.books.tracer.traceId ?? 'no trace' })),
    );
  }

  @GrpcStreamCall('Desk', 'Pass')
  pass(call: ServerDuplexStream<Question, Answer>): void {
    this.books.look('pass');
    call.on('data', ({ what, number }: Required<Question>) => {
      this.books.look(`passed ${what}`);
      if (what === 'fails') call.emit('error', { code: status.ABORTED, message: 'enough' });
      else call.write({ number, text: this.books.tracer.traceId ?? 'no trace' });
    });
    call.on('end', () => call.end());
  }

  @GrpcStreamCall('Desk', 'PassOnce')
  passOnce(call: ServerReadableStream<Question, Answer>, callback: (error: unknown, answer?: Answer) => void): void {
    let sum = 0;
    call.on('data', ({ what, number }: Required<Question>) => {
      sum += number;
      if (what === 'fails') callback({ code: status.UNAVAILABLE, message: 'closed' });
    });
    call.on('end', () => callback(null, { number: sum, text: this.books.tracer.traceId ?? 'no trace' }));
  }

  @UseGuards(Refusing)
  @GrpcMethod('Desk', 'Guarded')
  guarded() {
    return { number: 0, text: 'never' };
  }

  @UseFilters(Forgiving)
  @GrpcMethod('Desk', 'Forgiven')
  forgiven() {
    throw new Forgivable('no matter');
  }

  @NoSpan()
  @GrpcMethod('Desk', 'Quiet')
  quiet() {
    this.books.look('quiet');
    return { number: 0, text: 'done' };
  }
}
