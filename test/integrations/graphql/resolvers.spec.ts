import {
  type CallHandler,
  type CanActivate,
  Catch,
  type ExceptionFilter,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
  type PipeTransform,
  Scope,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import {
  Args,
  createUnionType,
  Field,
  Int,
  InterfaceType,
  Mutation,
  ObjectType,
  Parent,
  Query,
  ResolveField,
  Resolver,
} from '@nestjs/graphql';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import DataLoader from 'dataloader';
import { tap } from 'rxjs';
import { NoSpan, Span, SpanAttribute } from '../../../lib/index.js';
import { GraphqlApplication, servers } from './graphql-application.js';

@Injectable()
class Service {
  @Span() load(what: string) {
    return what;
  }
  @Span() batch(keys: readonly number[]) {
    return Promise.resolve(keys.map(key => `owner ${key}`));
  }
}

/** One data loader for each request, as its documentation recommends. */
@Injectable({ scope: Scope.REQUEST })
class Loaders {
  constructor(@Inject(Service) readonly service: Service) {}
  readonly owners = new DataLoader((keys: readonly number[]) => this.service.batch(keys));
}

@Injectable()
class Watching implements NestInterceptor {
  constructor(@Inject(Service) readonly service: Service) {}
  intercept(_context: ExecutionContext, next: CallHandler) {
    this.service.load('before');
    return next.handle().pipe(tap(() => this.service.load('after')));
  }
}

@Injectable()
class Allowing implements CanActivate {
  constructor(@Inject(Service) readonly service: Service) {}
  canActivate() {
    this.service.load('guard');
    return true;
  }
}

@Injectable()
class Checking implements PipeTransform {
  constructor(@Inject(Service) readonly service: Service) {}
  transform(value: unknown) {
    this.service.load('pipe');
    if (value === 'nothing') throw new RangeError('nothing is asked for');
    return value;
  }
}

@Catch(RangeError)
class Reporting implements ExceptionFilter {
  constructor(@Inject(Service) readonly service: Service) {}
  catch(thrown: RangeError) {
    this.service.load('filter');
    return thrown;
  }
}

interface Known {
  readonly id: number;
  readonly meow?: string;
}
const kindOf = ({ meow }: Known) => (meow === undefined ? 'Dog' : 'Cat');

@InterfaceType({ resolveType: kindOf })
abstract class Animal {
  @Field(() => Int) id!: number;
}

@ObjectType({ implements: () => Animal })
class Cat extends Animal {
  @Field(() => String) meow!: string;
}

@ObjectType({ implements: () => Animal })
class Dog extends Animal {
  @Field(() => String) woof!: string;
}

const Pet = createUnionType({ name: 'Pet', types: () => [Cat, Dog] as const, resolveType: kindOf });

@Resolver(() => Animal)
class AnimalResolver {
  @ResolveField(() => String) sound(@Parent() { meow }: Known) {
    return meow ?? 'woof';
  }
}

@Resolver(() => Cat)
class CatResolver {
  constructor(
    @Inject(Loaders) readonly loaders: Loaders,
    @Inject(Service) readonly service: Service,
  ) {}

  @Query(() => [Animal]) animals() {
    return [
      { id: 1, meow: 'miaow' },
      { id: 2, woof: 'woof' },
    ];
  }

  @Query(() => [Pet]) pets() {
    return [
      { id: 1, meow: 'miaow' },
      { id: 3, meow: 'purr' },
    ];
  }

  @ResolveField(() => String) owner(@Parent() { id }: Known) {
    return this.loaders.owners.load(id);
  }

  @NoSpan()
  @ResolveField(() => String)
  hidden() {
    return this.service.load('hidden');
  }

  @UseFilters(Reporting)
  @UseGuards(Allowing)
  @UseInterceptors(Watching)
  @Query(() => String)
  watched(@Args('what', Checking) @SpanAttribute('asked.what') what: string) {
    return this.service.load(what);
  }

  @Mutation(() => String) first() {
    return this.service.load('first');
  }

  @Mutation(() => String) second() {
    return this.service.load('second');
  }
}

@Resolver('Book')
class BooksResolver {
  constructor(@Inject(Service) readonly service: Service) {}

  @Query('book') book(@Args('id') id: string) {
    return { id, title: this.service.load('title') };
  }

  @ResolveField('author') author() {
    return this.service.load('author');
  }

  @Query('fails') fails() {
    throw new RangeError('out of range');
  }
}

const typeDefs = 'type Query { book(id: ID!): Book fails: Int } type Book { id: ID! title: String author: String }';

describe.each(servers)('resolvers over %s', server => {
  let test: GraphqlApplication;
  afterEach(() => test.close());

  const setup = (graphql = {}) => ({
    providers: [AnimalResolver, CatResolver, Loaders, Service, Watching, Allowing, Checking, Reporting],
    graphql,
  });
  const parents = (wanted: string) =>
    test.recorder.spans.filter(({ name }) => name === wanted).map(span => test.recorder.parentOf(span)?.name);

  it('of interfaces and unions are called by the method that resolves', async () => {
    test = await GraphqlApplication.start(server, setup({ fields: true }));
    await test.send('query Animals { animals { id sound } }');
    await test.recorder.waitForTrace();
    expect(test.recorder.spans.map(({ name }) => name).sort()).toEqual([
      'AnimalResolver.sound',
      'AnimalResolver.sound',
      'Cat.id',
      'CatResolver.animals',
      'Dog.id',
      'query Animals',
    ]);
    test.recorder.clear();
    await test.send('query Pets { pets { ... on Cat { meow } } }');
    await test.recorder.waitForTrace();
    expect(test.recorder.spans.map(({ name }) => name).sort()).toEqual(['Cat.meow', 'Cat.meow', 'CatResolver.pets', 'query Pets']);
  });

  it('of a request scope have their loader, whose batch is part of the resolver that asked first', async () => {
    test = await GraphqlApplication.start(server, setup({ resolvers: true }));
    const ask = async (name: string) => test.send(`query ${name} { pets { ... on Cat { owner } } }`);
    await Promise.all([ask('One'), ask('Two')]);
    await test.recorder.waitForSpans(10);
    expect(parents('Service.batch')).toEqual(['CatResolver.owner', 'CatResolver.owner']);
    const traces = test.recorder.spans.filter(({ name }) => name === 'Service.batch').map(span => span.spanContext().traceId);
    expect(new Set(traces).size).toBe(2);
  });

  it('have guards, interceptors, pipes and filters inside, and record the arguments that are wanted', async () => {
    test = await GraphqlApplication.start(server, setup({ resolvers: true }));
    await test.send('query Watched { watched(what: "it") }');
    await test.recorder.waitForTrace();
    expect(parents('Service.load')).toEqual(Array(5).fill('CatResolver.watched'));
    expect(test.recorder.find('CatResolver.watched')?.attributes['asked.what']).toBe('it');
    test.recorder.clear();
    await test.send('query Refused { watched(what: "nothing") }');
    await test.recorder.waitForTrace();
    expect(parents('Service.load')).toEqual(Array(4).fill('CatResolver.watched'));
    expect(test.recorder.find('CatResolver.watched')?.events).toHaveLength(1);
  });

  it('that want no span have none, and what they call belongs to the operation', async () => {
    test = await GraphqlApplication.start(server, setup({ operations: true, resolvers: true }));
    await test.send('query Hidden { pets { ... on Cat { hidden } } }');
    await test.recorder.waitForTrace();
    expect(test.recorder.spans.map(({ name }) => name)).not.toContain('CatResolver.hidden');
    const loads = test.recorder.spans.filter(({ name }) => name === 'Service.load').map(load => test.recorder.parentOf(load));
    expect(loads.map(parent => [parent?.name, parent?.kind])).toEqual(Array(2).fill(['query Hidden', SpanKind.INTERNAL]));
  });

  it('of several mutations have what they do inside, one after the other', async () => {
    test = await GraphqlApplication.start(server, setup({ resolvers: true }));
    await test.send('mutation Both { first second }');
    await test.recorder.waitForTrace();
    expect(parents('Service.load')).toEqual(['CatResolver.first', 'CatResolver.second']);
  });

  it('of a schema that is written first have the same spans', async () => {
    const options = { autoSchemaFile: undefined, typeDefs };
    test = await GraphqlApplication.start(server, { providers: [BooksResolver, Service], graphql: { resolvers: true }, options });
    await test.send('query Book { book(id: 1) { id title author } }');
    await test.recorder.waitForTrace();
    expect(parents('Service.load')).toEqual(['BooksResolver.book', 'BooksResolver.author']);
    expect(parents('BooksResolver.book')).toEqual(['query Book']);
    test.recorder.clear();
    await test.send('query Fails { fails }');
    await test.recorder.waitForTrace();
    const failed = test.recorder.find('BooksResolver.fails')!;
    expect(failed.events).toHaveLength(1);
    expect(test.recorder.find('query Fails')?.status.code).toBe(SpanStatusCode.ERROR);
  });
});
