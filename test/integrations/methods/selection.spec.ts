import { type Profiler, Session } from 'node:inspector';
import { runInThisContext } from 'node:vm';
import { Injectable, Module } from '@nestjs/common';
import { CommandBus, CqrsModule } from '@nestjs/cqrs';
import type { MethodsOptions } from '../../../lib/index.js';
import { originOf } from '../../../lib/integrations/methods/source-files.js';
import { TracedContext } from '../../traced-context.js';

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

class Repository {
  async find() {
    await turn();
  }
}

@Injectable()
class UsersRepository extends Repository {
  async save() {
    await turn();
  }
}

@Injectable()
class UsersService {
  async load() {
    await turn();
  }
}

@Injectable()
class OrdersService {
  async load() {
    await turn();
  }
  async cancel() {
    await turn();
  }
}

class PlaceOrder {}

@Module({ providers: [OrdersService], exports: [OrdersService] })
class OrdersModule {}

async function namesWith(methods: boolean | MethodsOptions): Promise<string[]> {
  const app = await TracedContext.start({ imports: [OrdersModule, CqrsModule], providers: [UsersService, UsersRepository] }, { methods });
  const [users, repository, orders] = [app.context.get(UsersService), app.context.get(UsersRepository), app.context.get(OrdersService)];
  const work = async (): Promise<void> => {
    await users.load();
    await repository.find();
    await repository.save();
    await orders.load();
    await orders.cancel();
    // There is no handler.
    await Promise.resolve()
      .then(() => app.context.get(CommandBus).execute(new PlaceOrder()))
      .catch(() => undefined);
  };
  await app.inRequest(work).finally(() => app.context.close());
  return app.recorder.spans.map(({ name }) => name).filter(name => name !== 'request' && name !== 'PlaceOrder');
}

const USERS = ['UsersService.load'];
const REPOSITORY = ['UsersRepository.find', 'UsersRepository.save'];
const ORDERS = ['OrdersService.load', 'OrdersService.cancel'];

describe('methods.of and methods.not', () => {
  it.each<[string, boolean | MethodsOptions, string[]]>([
    ['nothing: the providers of your own modules, not those of packages', true, [...USERS, ...REPOSITORY, ...ORDERS]],
    ['false', false, []],
    ['a class', { of: OrdersService }, ORDERS],
    ['a class above', { of: Repository }, REPOSITORY],
    ['a module', { of: OrdersModule }, ORDERS],
    ['the name of a class', { of: 'OrdersService' }, ORDERS],
    ['a name with a star', { of: 'Users*' }, [...USERS, ...REPOSITORY]],
    ['the name of a method', { of: '*.load' }, ['UsersService.load', 'OrdersService.load']],
    ['a RegExp over Class.method', { of: /^Orders\w+\.c/g }, ['OrdersService.cancel']],
    [
      'a function',
      { of: ({ className, modules }) => className === 'UsersService' || modules.includes('OrdersModule') },
      [...USERS, ...ORDERS],
    ],
    ['a list', { of: [UsersService, 'OrdersService.cancel'] }, [...USERS, 'OrdersService.cancel']],
    ['not a class', { not: OrdersService }, [...USERS, ...REPOSITORY]],
    ['not a module, a class and a method', { not: [OrdersModule, 'UsersService', '*.save'] }, ['UsersRepository.find']],
    ['of and not', { of: OrdersService, not: /load$/ }, ['OrdersService.cancel']],
    ['a function that throws', { of: [OrdersService, () => { throw new Error('rule'); }] }, ORDERS], // prettier-ignore
  ])('selects by %s', async (_what, methods, expected) => {
    expect(await namesWith(methods)).toEqual(expected);
  });

  it('traces classes of packages that it names', async () => {
    expect(await namesWith({ of: CommandBus, countBelowMs: 0 })).toEqual(expect.arrayContaining([expect.stringMatching(/^CommandBus\./)]));
  });

  it('refuses what is no rule', async () => {
    await expect(namesWith({ of: 7 as never })).rejects.toThrow('methods.of');
  });
});

describe('the origin of a class', () => {
  it('is the file in which it was defined', () => {
    class Local {}
    expect([originOf(Local), originOf(OrdersModule), originOf(CommandBus), originOf(Module)]).toEqual([
      'application',
      'application',
      'package',
      'framework',
    ]);
  });

  it('is found without harm to coverage that is measured at the same time', () => {
    const countedHere = (times: number): number => (times > 0 ? countedHere(times - 1) : 0);
    const session = new Session();
    session.connect();
    session.post('Profiler.enable');
    session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    countedHere(4);
    // A class of a script that nobody has asked for yet.
    originOf(runInThisContext('(class Fresh {})', 'fresh.js') as Function);
    let functions: Profiler.FunctionCoverage[] = [];
    session.post('Profiler.takePreciseCoverage', (_error, answer) => {
      functions = answer.result.flatMap(script => script.functions).filter(({ functionName }) => functionName === 'countedHere');
    });
    session.disconnect();
    expect(functions).toEqual([
      expect.objectContaining({
        isBlockCoverage: true,
        ranges: expect.arrayContaining([expect.objectContaining({ count: 5 })]) as unknown,
      }),
    ]);
  });
});
