import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { ClientGrpc } from '@nestjs/microservices';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { firstValueFrom, from, lastValueFrom, map, Subject, take, toArray } from 'rxjs';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { Books, type Desk, type RawDesk, DeskController, deskOf, grpc } from './desk.js';
import { Microservices } from './microservices.js';

const isCalling = ({ kind }: FinishedSpan) => kind === SpanKind.CLIENT;
const isServing = ({ kind }: FinishedSpan) => kind === SpanKind.SERVER;

describe('a gRPC call', () => {
  let services: Microservices;
  let books: Books;
  beforeAll(async () => {
    services = await Microservices.start(grpc, { controllers: [DeskController], providers: [Books] });
    books = services.server.get(Books);
  });
  afterAll(() => services.close());
  beforeEach(() => {
    services.recorder.clear();
    books.seen.length = books.metadata.length = books.deadlines.length = 0;
  });

  const inRequest = <T>(fn: (desk: Desk) => Promise<T>) => services.inRequest(client => fn(deskOf(client)));
  const calling = () => services.recorder.waitForSpan(isCalling);
  const serving = () => services.recorder.waitForSpan(isServing);
  const looks = () => services.recorder.spans.filter(({ name }) => name === 'Books.look');

  it('is one trace: who asks, the call, its service, what the handler does', async () => {
    const answer = await inRequest(desk => firstValueFrom(desk.ask({ what: 'it', number: 1 })));
    await services.recorder.waitForTrace();
    const [call, serve] = [await calling(), await serving()];
    const [root] = services.recorder.roots;
    expect(answer).toEqual({ number: 2, text: root!.spanContext().traceId });
    expect(root?.name).toBe('request');
    expect([call.name, serve.name]).toEqual(['library.Desk/Ask', 'library.Desk/Ask']);
    expect(services.recorder.parentOf(call)).toBe(root);
    expect(services.recorder.parentOf(serve)).toBe(call);
    expect(services.recorder.parentOf(looks()[0]!)).toBe(serve);
    expect(services.recorder.spans).toHaveLength(4);
  });

  it('says what the conventions want, on both sides', async () => {
    await inRequest(desk => firstValueFrom(desk.ask({ what: 'it' })));
    await services.recorder.waitForTrace();
    const [call, serve] = [await calling(), await serving()];
    const expected = {
      'rpc.system.name': 'grpc',
      'rpc.method': 'library.Desk/Ask',
      'rpc.status_code': 'OK',
      'server.address': '127.0.0.1',
      'server.port': expect.any(Number) as number,
      'network.peer.address': '127.0.0.1',
      'network.peer.port': expect.any(Number) as number,
    };
    expect(call.attributes).toEqual(expected);
    expect(serve.attributes).toEqual({ ...expected, 'code.function.name': 'DeskController.ask' });
    expect(call.attributes['network.peer.port']).toBe(call.attributes['server.port']);
    expect([call.status.code, serve.status.code]).toEqual([SpanStatusCode.UNSET, SpanStatusCode.UNSET]);
  });

  it('that is answered by a stream lasts until its last value, and all that the stream does is inside', async () => {
    const values = await inRequest(desk => firstValueFrom(desk.list({ number: 3 }).pipe(toArray())));
    await services.recorder.waitForTrace();
    const serve = await serving();
    expect(values.map(({ number }) => number)).toEqual([0, 1, 2]);
    expect(new Set(values.map(({ text }) => text))).toEqual(new Set([serve.spanContext().traceId]));
    expect(books.seen).toEqual(['before', 'list', 'value', 'after', 'value', 'after', 'value', 'after']);
    expect(looks().map(look => services.recorder.parentOf(look))).toEqual(Array<FinishedSpan>(8).fill(serve));
    expect(services.recorder.parentOf(serve)).toBe(await calling());
    expect(serve.attributes['rpc.status_code']).toBe('OK');
  });

  it('whose request is a stream has the work on each value inside', async () => {
    const questions = from([1, 2, 3]).pipe(map(number => ({ what: 'it', number })));
    const answer = await inRequest(desk => firstValueFrom(desk.collect(questions)));
    await services.recorder.waitForTrace();
    const serve = await serving();
    expect(answer).toEqual({ number: 6, text: serve.spanContext().traceId });
    expect(looks().map(look => services.recorder.parentOf(look))).toEqual([serve, serve, serve]);
    expect(services.recorder.parentOf(serve)).toBe(await calling());
    expect(serve.attributes['code.function.name']).toBe('DeskController.collect');
  });

  it('with streams both ways is one call, and each side goes on in its own context', async () => {
    const { tracer } = services.caller;
    await inRequest(async desk => {
      const questions = new Subject<{ number: number }>();
      const own = tracer.currentSpan();
      const seen: unknown[] = [];
      const talked = lastValueFrom(
        desk.talk(questions).pipe(
          map(({ number, text }) => {
            seen.push(number, text === own?.spanContext().traceId, tracer.currentSpan() === own);
            if (number === 2) questions.next({ number: 2 });
            else questions.complete();
          }),
        ),
      );
      questions.next({ number: 1 });
      await talked;
      expect(seen).toEqual([2, true, true, 4, true, true]);
    });
    await services.recorder.waitForTrace();
    expect(looks().map(look => services.recorder.parentOf(look))).toEqual(Array<FinishedSpan>(2).fill(await serving()));
    expect(services.recorder.spans).toHaveLength(5);
  });

  it('that is passed through to the handler lasts until the handler ends it', async () => {
    const questions = from([1, 2]).pipe(map(number => ({ what: 'on', number })));
    const values = await inRequest(desk => firstValueFrom(desk.pass(questions).pipe(toArray())));
    await services.recorder.waitForTrace();
    const serve = await serving();
    expect(values).toEqual([1, 2].map(number => ({ number, text: serve.spanContext().traceId })));
    expect(looks().map(look => services.recorder.parentOf(look))).toEqual([serve, serve, serve]);
    expect(serve.attributes).toMatchObject({ 'rpc.status_code': 'OK', 'code.function.name': 'DeskController.pass' });
  });

  it('that is passed through with a callback lasts until that is called', async () => {
    const questions = from([1, 2]).pipe(map(number => ({ what: 'on', number })));
    const answer = await inRequest(desk => firstValueFrom(desk.passOnce(questions)));
    const serve = await serving();
    expect(answer).toEqual({ number: 3, text: serve.spanContext().traceId });
    expect(serve.attributes['rpc.status_code']).toBe('OK');
  });

  it('that is passed through and fails says with which status', async () => {
    await expect(inRequest(desk => lastValueFrom(desk.pass(from([{ what: 'fails' }]))))).rejects.toMatchObject({ code: status.ABORTED });
    expect((await serving()).attributes['rpc.status_code']).toBe('ABORTED');
    expect((await serving()).status.code).toBe(SpanStatusCode.UNSET);
    await services.recorder.waitForTrace();
    services.recorder.clear();
    await expect(inRequest(desk => lastValueFrom(desk.passOnce(from([{ what: 'fails' }]))))).rejects.toMatchObject({
      code: status.UNAVAILABLE,
    });
    expect((await serving()).status).toEqual({ code: SpanStatusCode.ERROR, message: 'closed' });
  });

  it('whose handler throws fails both spans, the serving one with what was thrown', async () => {
    await expect(inRequest(desk => firstValueFrom(desk.ask({ what: 'breaks' })))).rejects.toMatchObject({ code: status.UNKNOWN });
    const [call, serve] = [await calling(), await serving()];
    expect(serve.status).toEqual({ code: SpanStatusCode.ERROR, message: 'out of range' });
    expect(serve.attributes).toMatchObject({ 'rpc.status_code': 'UNKNOWN', 'error.type': 'UNKNOWN' });
    expect(serve.events.map(({ name, attributes }) => [name, attributes?.['exception.type']])).toEqual([['exception', 'RangeError']]);
    expect(call.status).toEqual({ code: SpanStatusCode.ERROR, message: 'Internal server error' });
    expect(call.attributes).toMatchObject({ 'rpc.status_code': 'UNKNOWN', 'error.type': 'UNKNOWN' });
  });

  it('whose request stream makes the handler throw fails the same', async () => {
    await expect(inRequest(desk => firstValueFrom(desk.collect(from([{ what: 'breaks' }]))))).rejects.toMatchObject({
      code: status.UNKNOWN,
    });
    expect((await serving()).status).toEqual({ code: SpanStatusCode.ERROR, message: 'out of range' });
  });

  it('whose stream fails half-way fails with what the stream failed with', async () => {
    const values: number[] = [];
    const listed = inRequest(desk => lastValueFrom(desk.list({ what: 'fails-late' }).pipe(map(({ number }) => values.push(number)))));
    await expect(listed).rejects.toMatchObject({ code: status.DATA_LOSS });
    expect(values).toEqual([1]);
    const [call, serve] = [await calling(), await serving()];
    for (const span of [call, serve]) {
      expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'a page is lost' });
      expect(span.attributes).toMatchObject({ 'rpc.status_code': 'DATA_LOSS', 'error.type': 'DATA_LOSS' });
    }
  });

  const failuresOfServer = ['UNKNOWN', 'DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS'];
  it.each(Object.keys(status).filter(name => Number.isNaN(Number(name)) && name !== 'OK'))(
    'that is answered with %s fails on the client, and on the server where that is to blame',
    async name => {
      await expect(inRequest(desk => firstValueFrom(desk.ask({ what: name })))).rejects.toMatchObject({ details: `it is ${name}` });
      const [call, serve] = [await calling(), await serving()];
      expect(call.attributes).toMatchObject({ 'rpc.status_code': name, 'error.type': name });
      expect(call.status).toEqual({ code: SpanStatusCode.ERROR, message: `it is ${name}` });
      const isFailure = failuresOfServer.includes(name);
      expect(serve.attributes['rpc.status_code']).toBe(name);
      expect(serve.attributes['error.type']).toBe(isFailure ? name : undefined);
      expect(serve.status.code).toBe(isFailure ? SpanStatusCode.ERROR : SpanStatusCode.UNSET);
      expect(serve.events).toHaveLength(isFailure ? 1 : 0);
    },
  );

  it('whose answer cannot be serialized says so, although the handler has not failed', async () => {
    await expect(inRequest(desk => firstValueFrom(desk.ask({ what: 'unserializable' })))).rejects.toMatchObject({ code: status.INTERNAL });
    expect((await serving()).attributes['rpc.status_code']).toBe('INTERNAL');
    expect((await serving()).status.code).toBe(SpanStatusCode.ERROR);
  });

  it('that a guard refuses has its span, in which the guard runs', async () => {
    await expect(inRequest(desk => firstValueFrom(desk.guarded({})))).rejects.toMatchObject({ details: 'Forbidden resource' });
    await services.recorder.waitForTrace();
    const serve = await serving();
    expect(serve.attributes).toMatchObject({ 'rpc.method': 'library.Desk/Guarded', 'rpc.status_code': 'UNKNOWN' });
    expect(services.recorder.parentOf(looks()[0]!)).toBe(serve);
  });

  it('whose exception a filter turns into an answer has not failed', async () => {
    expect(await inRequest(desk => firstValueFrom(desk.forgiven({})))).toMatchObject({ text: 'forgiven' });
    const serve = await serving();
    expect(serve.status.code).toBe(SpanStatusCode.UNSET);
    expect(serve.attributes['rpc.status_code']).toBe('OK');
    expect(serve.events).toEqual([]);
  });

  it('whose handler wants no span makes none, and neither does what it calls', async () => {
    expect(await inRequest(desk => firstValueFrom(desk.quiet({})))).toMatchObject({ text: 'done' });
    await services.recorder.waitForTrace();
    expect(services.recorder.spans.map(({ name }) => name).sort()).toEqual(['library.Desk/Quiet', 'request']);
    expect(books.seen).toEqual(['quiet']);
  });

  it('of a method that nobody handles fails on both sides', async () => {
    await expect(inRequest(desk => firstValueFrom(desk.missing({})))).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
    await services.recorder.waitForTrace();
    expect((await calling()).attributes['rpc.status_code']).toBe('UNIMPLEMENTED');
    const served = await serving();
    expect(services.recorder.parentOf(served)).toBe(await calling());
    expect(served).toMatchObject({ name: 'library.Desk/Missing', status: { code: SpanStatusCode.ERROR } });
    expect(served.attributes).toMatchObject({ 'rpc.method': 'library.Desk/Missing', 'rpc.status_code': 'UNIMPLEMENTED' });
    expect(services.recorder.spans).toHaveLength(3);
  });

  it('that is not answered before its deadline fails on both sides, each span ending once', async () => {
    for (const call of ['ask', 'list'] as const) {
      services.recorder.clear();
      const deadline = Date.now() + 400;
      const asked = inRequest(desk => firstValueFrom(desk[call]({ what: 'never' }, new Metadata(), { deadline })));
      await expect(asked).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
      for (const span of [await calling(), await serving()]) {
        expect(span.attributes).toMatchObject({ 'rpc.status_code': 'DEADLINE_EXCEEDED', 'error.type': 'DEADLINE_EXCEEDED' });
        expect(span.status.code).toBe(SpanStatusCode.ERROR);
      }
      expect(services.recorder.spans.filter(({ kind }) => kind !== SpanKind.INTERNAL)).toHaveLength(2);
    }
  });

  it('whose request never ends is over with its deadline, too', async () => {
    const raw = (services.caller.client as unknown as ClientGrpc).getClientByServiceName<RawDesk>('Desk');
    for (const call of ['collect', 'talk', 'pass', 'passOnce'] as const) {
      services.recorder.clear();
      const code = await inRequest(async () => {
        const options = { deadline: Date.now() + 400 };
        return new Promise(resolve => {
          const answered = (error: unknown) => resolve((error as ServiceError).code);
          if (call === 'collect' || call === 'passOnce') raw[call](options, answered);
          else raw[call](options).on('error', answered);
        });
      });
      expect(code).toBe(status.DEADLINE_EXCEEDED);
      expect((await calling()).attributes['rpc.status_code']).toBe('DEADLINE_EXCEEDED');
      // The server cannot tell an aborted request from a complete one. The handler may answer before it learns of the deadline.
      expect((await serving()).attributes['rpc.status_code']).toMatch(/^(OK|CANCELLED|DEADLINE_EXCEEDED)$/);
    }
  });

  it('whose caller goes away right before the deadline has met its deadline', async () => {
    const { tracer, client } = services.caller;
    // Only the server knows the deadline, so only its clock counts.
    const metadata = new Metadata();
    metadata.set('grpc-timeout', '500m');
    await tracer.span('request', async () => {
      const subscription = deskOf(client)
        .ask({ what: 'never' }, metadata)
        .subscribe({ error: () => undefined });
      await services.recorder.waitForSpan('Books.look');
      await new Promise(resolve => setTimeout(resolve, books.deadlines.at(-1)! - Date.now() - 30));
      subscription.unsubscribe();
    });
    expect((await serving()).attributes['rpc.status_code']).toBe('DEADLINE_EXCEEDED');
  });

  it('that the caller gives up on has ended on both sides, and has not failed', async () => {
    for (const call of ['ask', 'list'] as const) {
      services.recorder.clear();
      books.seen.length = 0;
      const { tracer } = services.caller;
      await tracer.span('request', async () => {
        const desk = deskOf(services.caller.client);
        const subscription = desk[call]({ what: 'never' }).subscribe({ error: () => undefined });
        await services.recorder.waitForSpan('Books.look');
        subscription.unsubscribe();
      });
      for (const span of [await calling(), await serving()]) {
        expect(span.attributes['rpc.status_code']).toBe('CANCELLED');
        expect(span.attributes['error.type']).toBeUndefined();
        expect(span.status.code).toBe(SpanStatusCode.UNSET);
      }
    }
  });

  it('that wants only the first values of a stream has not failed', async () => {
    const values = await inRequest(desk => firstValueFrom(desk.list({ what: 'endless' }).pipe(take(2), toArray())));
    expect(values).toHaveLength(2);
    for (const span of [await calling(), await serving()]) {
      expect(span.attributes['rpc.status_code']).toBe('CANCELLED');
      expect(span.status.code).toBe(SpanStatusCode.UNSET);
    }
  });

  it('that is cancelled before Nest subscribes to what the handler returns is over all the same', async () => {
    const { tracer } = services.caller;
    tracer.span('request', () => {
      const subscription = deskOf(services.caller.client)
        .list({ what: 'endless' })
        .subscribe({ error: () => undefined });
      setImmediate(() => subscription.unsubscribe());
    });
    expect((await calling()).attributes['rpc.status_code']).toBe('CANCELLED');
  });

  it('whose own request stream breaks down fails with what broke it', async () => {
    const questions = new Subject<{ number: number }>();
    await expect(
      inRequest(desk => {
        const talked = lastValueFrom(desk.talk(questions).pipe(map(() => questions.error(new RangeError('no more questions')))));
        questions.next({ number: 1 });
        return talked;
      }),
    ).rejects.toThrow('no more questions');
    const call = await calling();
    expect(call.status).toEqual({ code: SpanStatusCode.ERROR, message: 'no more questions' });
    expect(call.attributes).toMatchObject({ 'error.type': 'RangeError', 'rpc.status_code': 'CANCELLED' });
    expect((await serving()).attributes['rpc.status_code']).toBe('CANCELLED');
  });

  it('leaves who asked in its own context when the answer, or the error, comes', async () => {
    const { tracer } = services.caller;
    await inRequest(async desk => {
      const own = tracer.currentSpan();
      expect(await firstValueFrom(desk.ask({}).pipe(map(() => tracer.currentSpan())))).toBe(own);
      const isOwn = await firstValueFrom(desk.list({ number: 3 }).pipe(map(() => tracer.currentSpan() === own), toArray())); // prettier-ignore
      expect(isOwn).toEqual([true, true, true]);
      const failed = await new Promise(resolve => desk.ask({ what: 'ABORTED' }).subscribe({ error: () => resolve(tracer.currentSpan()) }));
      expect(failed).toBe(own);
    });
  });

  it('is not mixed up with a thousand others that are under way', async () => {
    const kinds = ['ask', 'list', 'collect', 'talk'] as const;
    const answers = await Promise.all(
      Array.from({ length: 1000 }, (_, i) => {
        const kind = kinds[i % 4]!;
        return inRequest(async desk => {
          const own = services.caller.tracer.traceId;
          const questions = from([{ what: `no. ${i}`, number: 1 }]);
          const call = kind === 'ask' || kind === 'list' ? desk[kind]({ what: `no. ${i}`, number: 1 }) : desk[kind](questions);
          const { text } = await lastValueFrom(call);
          return text === own;
        });
      }),
    );
    expect(answers.every(isOwn => isOwn)).toBe(true);
    // A list does the work four times, every other call once.
    await services.recorder.waitForSpans(250 * (7 + 4 + 4 + 4));
    const traces = new Map<string, string[]>();
    for (const span of services.recorder.spans) {
      const parent = services.recorder.parentOf(span);
      const { traceId } = span.spanContext();
      traces.set(traceId, [...(traces.get(traceId) ?? []), `${parent?.kind ?? 'none'} > ${span.kind} ${span.name}`]);
    }
    expect(traces.size).toBe(1000);
    const trees = new Map<string, number>();
    for (const spans of traces.values()) trees.set(spans.sort().join(', '), (trees.get(spans.join(', ')) ?? 0) + 1);
    const tree = (method: string, looks: number) =>
      [
        `${SpanKind.CLIENT} > ${SpanKind.SERVER} library.Desk/${method}`,
        `${SpanKind.INTERNAL} > ${SpanKind.CLIENT} library.Desk/${method}`,
        ...Array<string>(looks).fill(`${SpanKind.SERVER} > ${SpanKind.INTERNAL} Books.look`),
        `none > ${SpanKind.INTERNAL} request`,
      ]
        .sort()
        .join(', ');
    expect(Object.fromEntries(trees)).toEqual({
      [tree('Ask', 1)]: 250,
      [tree('List', 4)]: 250,
      [tree('Collect', 1)]: 250,
      [tree('Talk', 1)]: 250,
    });
  });
});
