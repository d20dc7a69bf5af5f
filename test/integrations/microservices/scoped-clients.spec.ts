import {
  Controller,
  Get,
  Inject,
  Injectable,
  type INestMicroservice,
  type MiddlewareConsumer,
  Module,
  type NestModule,
  Scope,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { type ContextId, ContextIdFactory, LazyModuleLoader, ModuleRef, ModulesContainer, NestFactory, REQUEST } from '@nestjs/core';
import {
  Client,
  type ClientOptions,
  type ClientProxy,
  ClientProxyFactory,
  MessagePattern,
  Payload,
  Transport,
} from '@nestjs/microservices';
import { firstValueFrom } from 'rxjs';
import { traceClientProxy, TracingModule } from '../../../lib/index.js';
import { TraceRecorder } from '../../../lib/testing/index.js';
import { adapters, type Setup, startApplication, type TestApplication } from '../http-server/http-application.js';
import { tcp } from './transports.js';

@Controller()
class Sums {
  @MessagePattern('sum') sum(@Payload() numbers: number[]) {
    return numbers.reduce((total, number) => total + number, 0);
  }
}

let options: ClientOptions;
const made = new Set<ClientProxy>();
function newClient(): ClientProxy {
  const client = ClientProxyFactory.create(options);
  made.add(client);
  return client;
}
const sumOver = (client: ClientProxy) => firstValueFrom(client.send<number>('sum', [1, 2]));

interface Asker {
  ask(): Promise<number>;
}

/** Returns a provider with its own client in a field. */
function asker(scope: Scope, durable = false): Type<Asker> {
  @Injectable({ scope, durable })
  class FieldAsker {
    private readonly client = newClient();
    ask() {
      return sumOver(this.client);
    }
  }
  return FieldAsker;
}

/** Returns a controller that calls the provider. */
function controllerOf(token: Type<Asker> | string, scope = Scope.DEFAULT): Type {
  @Controller({ scope })
  class Front {
    constructor(@Inject(token) private readonly asker: Asker) {}
    @Get('sum') sum() {
      return this.asker.ask();
    }
  }
  return Front;
}

const settings: Record<string, () => Pick<Setup, 'controllers' | 'providers' | 'imports'>> = {
  'a field of a request-scoped controller': () => {
    @Controller({ scope: Scope.REQUEST })
    class Front {
      private readonly client = newClient();
      @Get('sum') sum() {
        return sumOver(this.client);
      }
    }
    return { controllers: [Front] };
  },
  'the constructor of a controller that is made for the request it is given': () => {
    @Controller()
    class Front {
      private readonly client: ClientProxy;
      constructor(@Inject(REQUEST) _request: unknown) {
        this.client = newClient();
      }
      @Get('sum') sum() {
        return sumOver(this.client);
      }
    }
    return { controllers: [Front] };
  },
  'a request-scoped provider': () => {
    const Asker = asker(Scope.REQUEST);
    return { controllers: [controllerOf(Asker)], providers: [Asker] };
  },
  'a transient provider of a request-scoped controller': () => {
    const Asker = asker(Scope.TRANSIENT);
    return { controllers: [controllerOf(Asker, Scope.REQUEST)], providers: [Asker] };
  },
  'a transient provider of a controller that exists once': () => {
    const Asker = asker(Scope.TRANSIENT);
    return { controllers: [controllerOf(Asker)], providers: [Asker] };
  },
  'a transient provider that makes it when its module is initialized': () => {
    @Injectable({ scope: Scope.TRANSIENT })
    class LateAsker {
      private client!: ClientProxy;
      onModuleInit() {
        this.client = newClient();
      }
      ask() {
        return sumOver(this.client);
      }
    }
    return { controllers: [controllerOf(LateAsker)], providers: [LateAsker] };
  },
  'a durable provider': () => {
    const Asker = asker(Scope.REQUEST, true);
    return { controllers: [controllerOf(Asker)], providers: [Asker] };
  },
  'an object that a request-scoped factory returns': () => {
    const useFactory = () => {
      const client = newClient();
      return { client, ask: () => sumOver(client) };
    };
    return { controllers: [controllerOf('ASKER')], providers: [{ provide: 'ASKER', scope: Scope.REQUEST, useFactory }] };
  },
  'an object that a request-scoped factory promises': () => {
    const useFactory = async () => {
      const client = await Promise.resolve(newClient());
      return { client, ask: () => sumOver(client) };
    };
    return { controllers: [controllerOf('ASKER')], providers: [{ provide: 'ASKER', scope: Scope.REQUEST, useFactory }] };
  },
  'a request-scoped guard': () => {
    @Injectable({ scope: Scope.REQUEST })
    class Guard {
      private readonly client = newClient();
      async canActivate() {
        return (await sumOver(this.client)) === 3;
      }
    }
    @Controller()
    class Front {
      @UseGuards(Guard) @Get('sum') sum() {
        return 3;
      }
    }
    return { controllers: [Front] };
  },
  'a guard that exists once': () => {
    @Injectable()
    class Guard {
      private readonly client = newClient();
      async canActivate() {
        return (await sumOver(this.client)) === 3;
      }
    }
    @Controller()
    class Front {
      @UseGuards(Guard) @Get('sum') sum() {
        return 3;
      }
    }
    return { controllers: [Front] };
  },
  'a request-scoped middleware': () => {
    @Injectable({ scope: Scope.REQUEST })
    class Middleware {
      private readonly client = newClient();
      async use(_request: unknown, _response: unknown, next: () => void) {
        if ((await sumOver(this.client)) === 3) next();
      }
    }
    @Controller()
    class Front {
      @Get('sum') sum() {
        return 3;
      }
    }
    @Module({ controllers: [Front] })
    class Configured implements NestModule {
      configure(consumer: MiddlewareConsumer) {
        consumer.apply(Middleware).forRoutes(Front);
      }
    }
    return { imports: [Configured] };
  },
  'a request-scoped provider of a module that is loaded later': () => {
    const Asker = asker(Scope.REQUEST);
    @Module({ providers: [Asker] })
    class Lazy {}
    @Controller()
    class Front {
      constructor(private readonly loader: LazyModuleLoader) {}
      @Get('sum') async sum() {
        const lazy = await this.loader.load(() => Lazy);
        return (await lazy.resolve(Asker)).ask();
      }
    }
    return { controllers: [Front] };
  },
  'a request-scoped provider that is resolved by hand': () => {
    const Asker = asker(Scope.REQUEST);
    @Controller()
    class Front {
      constructor(private readonly moduleRef: ModuleRef) {}
      @Get('sum') async sum() {
        return (await this.moduleRef.resolve(Asker)).ask();
      }
    }
    return { controllers: [Front], providers: [Asker] };
  },
  'two request-scoped providers that need each other': () => {
    @Injectable({ scope: Scope.REQUEST })
    class Inner {
      constructor(@Inject('OUTER') readonly outer: object) {}
      private readonly client = newClient();
      ask() {
        return sumOver(this.client);
      }
    }
    const Outer = asker(Scope.REQUEST);
    return { controllers: [controllerOf(Inner)], providers: [Inner, { provide: 'OUTER', useClass: Outer }] };
  },
  'a private field of JavaScript of a request-scoped class that shows it with traceClientProxy()': () => {
    @Injectable({ scope: Scope.REQUEST })
    class PrivateAsker {
      readonly #client = traceClientProxy(newClient());
      ask() {
        return sumOver(this.#client);
      }
    }
    return { controllers: [controllerOf(PrivateAsker)], providers: [PrivateAsker] };
  },
};

const TENANT: ContextId = { id: 1 };

describe.each(adapters)('a client that is made for a request, on %s', adapter => {
  const recorder = new TraceRecorder();
  let server: INestMicroservice;
  let front: TestApplication | undefined;

  beforeAll(async () => {
    // Here, durable providers are created once for all requests.
    ContextIdFactory.apply({
      attach: contextId => ({ resolve: ({ isTreeDurable }) => (isTreeDurable ? TENANT : contextId), payload: {} }),
    });
    const pair = await tcp.prepare();
    options = pair.client;
    @Module({ imports: [TracingModule.forRoot({ serviceName: 'sums', exporter: recorder })], controllers: [Sums] })
    class SumsModule {}
    server = await NestFactory.createMicroservice(SumsModule, { ...pair.server, logger: false });
    await server.listen();
  });
  afterEach(async () => {
    await front?.close();
    for (const client of made) await client.close();
    made.clear();
    recorder.clear();
  });
  afterAll(() => server.close());

  const start = async (setup: Setup) => {
    front = await startApplication(adapter, { ...setup, tracing: { exporter: recorder }, nest: { abortOnError: false } });
    return front;
  };

  it.each(Object.entries(settings))('is traced where it is in %s', async (_where, setting) => {
    const { request } = await start(setting());
    for (const attempt of [1, 2]) {
      expect((await request('/sum')).body).toBe('3');
      await recorder.waitForSpans(3 * attempt);
      await recorder.waitForTrace();
    }
    const tree = ['inbound: GET /sum (server)', '  sum (client)', '    sums: sum (server)'];
    expect(recorder.tree()).toBe([...tree, ...tree].join('\n'));
  });

  it('leaves the instances of the request, and what Nest knows of their classes, as they are', async () => {
    const asked: string[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class Careful {
      readonly client = newClient();
      readonly proxied = new Proxy({}, { get: (_, name) => void asked.push(String(name)), has: (_, name) => !asked.push(String(name)) });
      constructor() {
        Object.defineProperty(this, 'lazy', { enumerable: true, get: () => asked.push('lazy') });
        Object.freeze(this);
      }
      ask() {
        return sumOver(this.client);
      }
    }
    const { app, request } = await start({ controllers: [controllerOf(Careful)], providers: [Careful] });
    expect((await request('/sum')).body).toBe('3');
    await recorder.waitForSpans(3);
    expect(asked).toEqual([]);
    const wrappers = [...app.get(ModulesContainer).values()].flatMap(({ providers }) => [...providers.values()]);
    const wrapper = wrappers.find(({ token }) => token === Careful)!;
    expect(wrapper.metatype).toBe(Careful);
    const { client, constructor } = await app.resolve(Careful);
    expect(constructor).toBe(Careful);
    expect(Object.getOwnPropertyNames(client)).toContain('send');
    await front!.close();
    expect(Object.getOwnPropertyNames(client)).not.toContain('send');
    expect(Object.getOwnPropertyNames(await app.resolve(Careful).then(last => last.client))).not.toContain('send');
  });

  it('is none that `@Client()` makes: Nest gives it to controllers that exist once', async () => {
    @Controller({ scope: Scope.REQUEST })
    class Front {
      @Client({ transport: Transport.TCP }) declare readonly client: ClientProxy | null;
      @Get('sum') sum() {
        return { client: this.client };
      }
    }
    const { request } = await start({ controllers: [Front] });
    expect((await request('/sum')).body).toBe('{"client":null}');
  });
});
