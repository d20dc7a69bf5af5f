import { Inject, Injectable, Module, Scope } from '@nestjs/common';
import { ContextIdFactory, LazyModuleLoader, ModuleRef } from '@nestjs/core';
import { TracedContext } from '../../traced-context.js';

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

class Worker {
  constructor(readonly name: string) {}
  async work() {
    await turn();
    return this.name;
  }
}
class ByFactory extends Worker {}
class ByAsyncFactory extends Worker {}
class ByValue extends Worker {}
class ByRequest extends Worker {}
class InDynamicModule extends Worker {}
class InLazyModule extends Worker {}
abstract class Port {
  abstract work(): Promise<unknown>;
}
class Adapter extends Port {
  readonly #secret = 'adapter';
  async work() {
    await turn();
    return this.#secret;
  }
}

@Injectable({ scope: Scope.REQUEST })
class Scoped {
  constructor(@Inject('request') readonly worker: Worker) {}
  async run() {
    return this.worker.work();
  }
}

@Injectable({ scope: Scope.TRANSIENT })
class Transient {
  async run() {
    await turn();
  }
}

@Injectable()
class Consumer {
  constructor(readonly transient: Transient) {}
}

class Hidden {
  readonly asked: PropertyKey[] = [];
  async work() {
    await turn();
    return 'behind a proxy';
  }
}

const asked: PropertyKey[] = [];
const trap = new Proxy(new Hidden(), {
  get: (target, key) => {
    asked.push(key);
    return Reflect.get(target, key, target) as unknown;
  },
});

const dynamic = (): object => {
  @Module({})
  class DynamicModule {}
  return { module: DynamicModule, providers: [{ provide: 'dynamic', useValue: new InDynamicModule('dynamic') }], exports: ['dynamic'] };
};

@Module({ providers: [{ provide: InLazyModule, useFactory: () => new InLazyModule('lazy') }] })
class LazyModule {}

const PROVIDERS = [
  { provide: 'factory', useFactory: () => new ByFactory('factory') },
  { provide: 'async factory', useFactory: async () => Promise.resolve(new ByAsyncFactory('async factory')) },
  { provide: 'value', useValue: Object.freeze(new ByValue('value')) },
  { provide: 'request', scope: Scope.REQUEST, useFactory: () => new ByRequest('request') },
  { provide: Port, useClass: Adapter },
  { provide: Hidden, useFactory: () => trap },
  Scoped,
  Transient,
  Consumer,
];

describe('methods of providers that no class provider makes', () => {
  const original = Object.getOwnPropertyDescriptor(Worker.prototype, 'work')?.value as unknown;
  let app: TracedContext;

  beforeAll(async () => {
    app = await TracedContext.start({ providers: PROVIDERS, imports: [dynamic()] as never }, { methods: true });
  });
  beforeEach(() => app.recorder.clear());
  afterAll(() => app.context.close());

  const hops = async (fn: () => Promise<unknown>): Promise<string[]> => {
    await app.inRequest(fn);
    return app.hops().filter(hop => hop !== '- > request');
  };

  it.each([
    ['factory', 'ByFactory'],
    ['async factory', 'ByAsyncFactory'],
    ['value', 'ByValue'],
    ['dynamic', 'InDynamicModule'],
  ])('are spans: %s', async (token, className) => {
    const worker = app.context.get<Worker>(token);
    expect(await hops(() => worker.work())).toEqual([`request > ${className}.work`]);
  });

  it('are spans of the class that a port uses', async () => {
    expect(await hops(() => app.context.get(Port).work())).toEqual(['request > Adapter.work']);
  });

  it('are spans of request-scoped classes and factories, and of transient classes', async () => {
    const scoped = await app.context.resolve(Scoped, ContextIdFactory.create());
    expect(scoped.worker).toBeInstanceOf(ByRequest);
    expect(await hops(() => scoped.run())).toEqual(['Scoped.run > ByRequest.work', 'request > Scoped.run']);
    app.recorder.clear();
    expect(await hops(() => app.context.get(Consumer).transient.run())).toEqual(['request > Transient.run']);
  });

  it('are spans of modules that are loaded later', async () => {
    const module: ModuleRef = await app.context.get(LazyModuleLoader).load(() => LazyModule);
    expect(await hops(() => module.get(InLazyModule).work())).toEqual(['request > InLazyModule.work']);
  });

  it('work as before behind a Proxy, which is not asked for anything', async () => {
    expect(asked.filter(key => key === 'work')).toEqual([]);
    expect(app.context.get(Hidden)).toBe(trap);
    expect(await hops(() => app.context.get(Hidden).work())).toEqual(['request > Hidden.work']);
  });

  it('are put back when the application closes', async () => {
    expect(Worker.prototype.work).not.toBe(original);
    await app.context.close();
    expect(Object.getOwnPropertyDescriptor(Worker.prototype, 'work')?.value).toBe(original);
  });
});

class WithFields {
  readonly library = Object.assign(async () => turn(), { defaults: {} });
  readonly Type = class {};
  readonly load = async (): Promise<this> => {
    await turn();
    return this;
  };
}

describe('methods.fields', () => {
  const plain = { find: async () => turn(), name: 'plain' };
  const frozen = Object.freeze({ find: async () => turn() });
  const providers = [
    WithFields,
    { provide: 'PLAIN', useValue: plain },
    { provide: Symbol('FROZEN'), useValue: frozen },
    { provide: 'made', useFactory: () => ({ find: async () => turn() }) },
  ];

  it('are off by default', async () => {
    const app = await TracedContext.start({ providers }, { methods: true });
    await app.inRequest(async () => {
      await app.context.get(WithFields).load();
      await plain.find();
    });
    await app.context.close();
    expect(app.hops()).toEqual(['- > request']);
  });

  it('are spans by the name of the class or token, and are put back', async () => {
    const { find } = plain;
    const app = await TracedContext.start({ providers }, { methods: { fields: true } });
    const instance = app.context.get(WithFields);
    const { load, library, Type } = instance;
    await app.inRequest(async () => {
      expect(await load()).toBe(instance);
      await library();
      await plain.find();
      await frozen.find();
      await app.context.get<typeof plain>('made').find();
    });
    expect(new Type()).toBeInstanceOf(Type);
    await app.context.close();
    expect(app.hops()).toEqual(['- > request', 'request > PLAIN.find', 'request > WithFields.load', 'request > made.find']);
    expect(plain.find).toBe(find);
    expect(instance.load).not.toBe(load);
  });
});
