import {
  type CanActivate,
  Catch,
  type ExceptionFilter,
  Inject,
  Injectable,
  NotFoundException,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { Args, Field, Int, Mutation, ObjectType, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { NoSpan, Span, Tracer } from '../../../lib/index.js';
import type { FinishedSpan } from '../../../lib/viewer/model/trace-span.js';
import { GraphqlApplication, servers } from './graphql-application.js';

@ObjectType()
class User {
  @Field(() => Int) id!: number;
  @Field(() => String) name!: string;
}

@Injectable()
class Service {
  constructor(@Inject(Tracer) readonly tracer: Tracer) {}
  @Span() load() {
    return this.tracer.traceId;
  }
}

@Injectable()
class Refusing implements CanActivate {
  canActivate() {
    return false;
  }
}

class Domain extends Error {}

@Catch(Domain)
class Translating implements ExceptionFilter {
  catch() {
    return new Error('translated');
  }
}

@Resolver(() => User)
class UsersResolver {
  constructor(@Inject(Service) readonly service: Service) {}

  @Query(() => [User]) async users() {
    await new Promise(resolve => setTimeout(resolve, 5));
    this.service.load();
    return [
      { id: 1, name: 'Ada' },
      { id: 2, name: 'Bob' },
    ];
  }

  @ResolveField(() => String) async greeting(@Parent() user: User) {
    await new Promise(resolve => setTimeout(resolve, 1));
    this.service.load();
    return `Hello ${user.name}`;
  }

  @Query(() => Int, { nullable: true }) fails(): number {
    throw new RangeError('out of range');
  }

  @Query(() => Int, { nullable: true }) async missing(): Promise<number> {
    await Promise.resolve();
    throw new NotFoundException('no such user');
  }

  @UseGuards(Refusing)
  @Query(() => Int, { nullable: true })
  guarded() {
    return 1;
  }

  @UseFilters(Translating)
  @Query(() => Int, { nullable: true })
  translated(): number {
    throw new Domain('of the domain');
  }

  @NoSpan()
  @Query(() => Int)
  quiet() {
    this.service.load();
    return 1;
  }

  @Mutation(() => User, { name: 'rename' }) renameUser(@Args('name') name: string) {
    return { id: 1, name };
  }
}

const providers = [UsersResolver, Service];
const isServer = ({ kind }: FinishedSpan) => kind === SpanKind.SERVER;

describe.each(servers)('a GraphQL operation over %s', server => {
  describe('by default', () => {
    let test: GraphqlApplication;
    beforeAll(async () => {
      test = await GraphqlApplication.start(server, { providers });
    });
    afterAll(() => test.close());
    beforeEach(() => test.recorder.clear());

    it('names the server span, and has what resolvers do right below', async () => {
      const { data } = await test.send('query Users { users { name greeting } }');
      expect(data?.['users']).toHaveLength(2);
      await test.recorder.waitForTrace();
      const span = test.recorder.find(isServer)!;
      expect(span.name).toBe('query Users');
      expect(span.attributes).toMatchObject({
        'graphql.operation.type': 'query',
        'graphql.operation.name': 'Users',
        'http.route': '/graphql',
        'http.response.status_code': 200,
        'code.function.name': 'UsersResolver.users',
      });
      expect(span.attributes).not.toHaveProperty('graphql.document');
      expect(test.recorder.spans.filter(({ name }) => name === 'Service.load').map(load => test.recorder.parentOf(load))).toEqual([
        span,
        span,
        span,
      ]);
      expect(test.recorder.spans).toHaveLength(4);
    });

    it('goes by its type where it has no name, and by its name where the document has several', async () => {
      await test.send('mutation { rename(name: "x") { id } }');
      await test.recorder.waitForSpan('mutation');
      await test.send('query A { users { id } } query B { users { id } }', { operationName: 'B' });
      await test.recorder.waitForSpan('query B');
    });

    it.each([
      ['fails', 'RangeError', 'out of range'],
      ['missing', 'NotFoundException', 'no such user'],
      ['guarded', 'ForbiddenException', 'Forbidden resource'],
      ['translated', 'Domain', 'of the domain'],
    ])('that "%s" in an answer with status 200 fails the server span with what was thrown, once', async (field, type, message) => {
      const { errors } = await test.send(`{ ${field} }`);
      expect(errors).toHaveLength(1);
      const span = await test.recorder.waitForSpan(isServer);
      expect(span.attributes['http.response.status_code']).toBe(200);
      expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message });
      expect(span.attributes['error.type']).toBe(type);
      expect(span.events.map(({ name }) => name)).toEqual(['exception']);
    });

    it('that is not valid leaves the verdict to the status', async () => {
      await test.send('query Wrong { nothing }');
      const span = await test.recorder.waitForSpan(isServer);
      expect(span.attributes['http.response.status_code']).toBe(400);
      expect(span.status.code).toBe(SpanStatusCode.UNSET);
      expect(span.name).toBe('POST /graphql');
      expect(span.attributes['http.route']).toBe('/graphql');
    });

    it('whose only resolver wants no span makes none, and neither does what it calls', async () => {
      await test.send('{ quiet }');
      await test.send('query Next { users { id } }');
      await test.recorder.waitForSpan('query Next');
      expect(test.recorder.spans.map(({ name }) => name)).toEqual(['Service.load', 'query Next']);
    });

    it('is not mixed up with a hundred others that are under way', async () => {
      const id = (n: number) => n.toString(16).padStart(32, '0');
      const numbers = Array.from({ length: 100 }, (_, n) => n + 1);
      await Promise.all(
        numbers.map(n => test.send(`query Q${n % 7} { users { greeting } }`, {}, { traceparent: `00-${id(n)}-${id(n).slice(16)}-01` })),
      );
      await test.recorder.waitForSpans(400);
      for (const n of numbers) {
        const spans = test.recorder.spans.filter(span => span.spanContext().traceId === id(n));
        expect(spans.map(({ name }) => name).sort()).toEqual(['Service.load', 'Service.load', 'Service.load', `query Q${n % 7}`]);
        const root = spans.find(isServer)!;
        expect(root.parentSpanContext?.spanId).toBe(id(n).slice(16));
        expect(spans.filter(span => span !== root).every(span => test.recorder.parentOf(span) === root)).toBe(true);
      }
    });
  });

  describe('with all spans', () => {
    let test: GraphqlApplication;
    beforeAll(async () => {
      const graphql = { operations: true, resolvers: true, document: true };
      test = await GraphqlApplication.start(server, { providers, graphql });
    });
    afterAll(() => test.close());
    beforeEach(() => test.recorder.clear());

    it('is a tree: the request, the operation, its resolvers, what they do', async () => {
      await test.send('query Users { users { name greeting } }');
      await test.recorder.waitForTrace();
      const request = test.recorder.find(isServer)!;
      const operation = test.recorder.find(({ name, kind }) => name === 'query Users' && kind === SpanKind.INTERNAL)!;
      const users = test.recorder.find('UsersResolver.users')!;
      const greetings = test.recorder.spans.filter(({ name }) => name === 'UsersResolver.greeting');
      expect(test.recorder.parentOf(operation)).toBe(request);
      expect(test.recorder.parentOf(users)).toBe(operation);
      expect(greetings.map(span => test.recorder.parentOf(span))).toEqual([operation, operation]);
      expect(greetings.map(({ attributes }) => attributes['graphql.field.path']).sort()).toEqual(['users.0.greeting', 'users.1.greeting']);
      const loads = test.recorder.spans.filter(({ name }) => name === 'Service.load').map(span => test.recorder.parentOf(span)?.name);
      expect(loads.sort()).toEqual(['UsersResolver.greeting', 'UsersResolver.greeting', 'UsersResolver.users']);
      expect(users.attributes['code.function.name']).toBe('UsersResolver.users');
      expect(test.recorder.spans).toHaveLength(8);
    });

    it('carries its document without strings and numbers', async () => {
      await test.send('mutation Rename { rename(name: "secret") { id } }');
      const operation = await test.recorder.waitForSpan(({ name, kind }) => name === 'mutation Rename' && kind === SpanKind.INTERNAL);
      expect(operation.attributes['graphql.document']).toBe('mutation Rename { rename(name: "*") { id } }');
    });

    it.each([
      ['fails', 'UsersResolver.fails', 'RangeError'],
      ['guarded', 'UsersResolver.guarded', 'ForbiddenException'],
      ['translated', 'UsersResolver.translated', 'Domain'],
    ])('that "%s" records the exception on the resolver alone, and fails the operation too', async (field, resolverName, type) => {
      await test.send(`query Bad { ${field} }`);
      await test.recorder.waitForTrace();
      const resolver = test.recorder.find(resolverName)!;
      const operation = test.recorder.find(({ name, kind }) => name === 'query Bad' && kind === SpanKind.INTERNAL)!;
      const request = test.recorder.find(isServer)!;
      expect(resolver.attributes['error.type']).toBe(type);
      expect(resolver.events).toHaveLength(1);
      expect(resolver.status.code).toBe(SpanStatusCode.ERROR);
      expect(operation.status.code).toBe(SpanStatusCode.ERROR);
      expect(operation.attributes['error.type']).toBe(type);
      expect(operation.events).toHaveLength(0);
      expect(request.status.code).toBe(SpanStatusCode.UNSET);
    });

    it('that is not valid fails its span', async () => {
      await test.send('query Wrong { nothing }');
      const operation = await test.recorder.waitForSpan(({ kind }) => kind === SpanKind.INTERNAL);
      expect(operation.name).toBe('GraphQL Operation');
      expect(operation.status.code).toBe(SpanStatusCode.ERROR);
    });
  });

  it('has a span for each field where the options say so, and none of them twice', async () => {
    const test = await GraphqlApplication.start(server, { providers, graphql: { fields: true, resolvers: true, operationNames: false } });
    await test.send('query Users { users { name greeting } }');
    await test.recorder.waitForTrace();
    expect(test.recorder.spans.map(({ name }) => name).sort()).toEqual([
      'Service.load',
      'Service.load',
      'Service.load',
      'User.name',
      'User.name',
      'UsersResolver.greeting',
      'UsersResolver.greeting',
      'UsersResolver.users',
      'query',
    ]);
    await test.close();
  });

  it('works as ever where tracing is off', async () => {
    const test = await GraphqlApplication.start(server, { providers, tracing: { enabled: false } });
    expect(await test.send('{ users { name } }')).toEqual({ data: { users: [{ name: 'Ada' }, { name: 'Bob' }] } });
    await test.close();
    expect(test.recorder.spans).toHaveLength(0);
  });
});
