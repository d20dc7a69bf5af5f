/** What integrations find among the providers of an application, and what becomes of it. */
import { type CanActivate, Controller, Get, Injectable, Logger, Module, type OnModuleInit, Scope, UseGuards } from '@nestjs/common';
import { ContextIdFactory, LazyModuleLoader, ModuleRef, ModulesContainer } from '@nestjs/core';
import { Test, type TestingModule } from '@nestjs/testing';
import { replaceMethod } from '../../lib/wrapping/replace-method.js';
import { ProviderSearch, type ProviderTracing } from '../../lib/wrapping/provider-search.js';

class Bell {
  ring(): string {
    return 'ring';
  }
}

@Injectable()
class StaticBell extends Bell {}

@Injectable({ scope: Scope.REQUEST })
class RequestBell extends Bell {}

@Injectable({ scope: Scope.TRANSIENT })
class TransientBell extends Bell {}

@Injectable()
class LazyBell extends Bell {}

@Injectable()
class GuardBell extends Bell implements CanActivate {
  canActivate() {
    return true;
  }
}

@Injectable()
class Owner implements OnModuleInit {
  made: Bell | undefined;
  readonly kept = new Bell();
  constructor(readonly transient: TransientBell) {}
  onModuleInit() {
    this.made = new Bell();
  }
}

@Controller()
@UseGuards(GuardBell)
class AppController {
  @Get() get() {}
}

@Module({ providers: [LazyBell] })
class LazyModule {}

@Module({ providers: [StaticBell], exports: [StaticBell] })
class BellModule {}

@Module({
  imports: [BellModule],
  providers: [RequestBell, TransientBell, Owner, { provide: 'ALIAS', useExisting: StaticBell }, { provide: 'DATA', useValue: 'a text' }],
  controllers: [AppController],
})
class AppModule {}

const isBell = (value: object): boolean => value instanceof Bell;

/** Makes each bell ring louder by one. */
function louder(options: Partial<ProviderTracing> = {}): ProviderTracing {
  return {
    find: ({ instance }) => (isBell(instance) ? [instance] : []),
    install: bell => replaceMethod(bell, 'ring', ring => () => `${String(ring.call(bell))}!`),
    ...options,
  };
}

let app: TestingModule;
let search: ProviderSearch;
beforeEach(async () => {
  app = await Test.createTestingModule({ imports: [AppModule] }).compile();
  search = new ProviderSearch(app.get(ModulesContainer), app.get(LazyModuleLoader));
});
afterEach(() => app.close());

const resolve = (bell: typeof RequestBell) => app.get(ModuleRef).resolve(bell, ContextIdFactory.create(), { strict: false });

describe('a search of providers', () => {
  it('finds each of them once, by whatever token and in however many modules, until it is undone', () => {
    const undo = search.trace([louder()]);
    search.lookAgain();
    expect(app.get(StaticBell, { strict: false }).ring()).toBe('ring!');
    undo();
    expect(Object.hasOwn(app.get(StaticBell, { strict: false }), 'ring')).toBe(false);
  });

  it('finds guards', () => {
    const found: object[] = [];
    search.trace([louder({ install: bell => (found.push(bell), () => undefined) })]);
    expect(found).toContainEqual(expect.any(GuardBell));
  });

  it('finds every instance that is made per request or consumer, where that is wanted', async () => {
    const before = app.get(Owner).transient;
    const undo = search.trace([louder({ everyInstance: true })]);
    const [one, other] = [await resolve(RequestBell), await resolve(RequestBell)];
    expect([before, one, other].map(bell => bell.ring())).toEqual(['ring!', 'ring!', 'ring!']);
    undo();
    expect([before, one, other, await resolve(RequestBell)].map(bell => bell.ring())).toEqual(['ring', 'ring', 'ring', 'ring']);
  });

  it('finds one object in their place, which has their prototype, where it is not', async () => {
    const found: { bell: object; isStatic: boolean }[] = [];
    search.trace([louder({ install: (bell, { isStatic }) => (found.push({ bell, isStatic }), () => undefined) })]);
    const made = await resolve(RequestBell);
    const shown = found.filter(({ bell }) => bell instanceof RequestBell);
    expect(shown).toEqual([{ bell: expect.any(RequestBell), isStatic: false }]);
    expect(shown[0]?.bell).not.toBe(made);
  });

  it('finds those of a module that is loaded later', async () => {
    const undo = search.trace([louder()]);
    const lazy = await app.get(LazyModuleLoader).load(() => LazyModule);
    expect(lazy.get(LazyBell).ring()).toBe('ring!');
    undo();
    expect(lazy.get(LazyBell).ring()).toBe('ring');
  });

  it('finds what providers keep, also what they make in their hooks', async () => {
    search.trace([louder({ looksInside: true, find: ({ members }) => members.filter(isBell) })]);
    await app.init();
    const { kept, made } = app.get(Owner);
    expect([kept.ring(), made?.ring()]).toEqual(['ring!', 'ring']);
    search.lookAgain();
    expect([kept.ring(), made?.ring()]).toEqual(['ring!', 'ring!']);
  });

  it('goes on where one of those who look fails, which is reported', () => {
    const lines: unknown[] = [];
    Logger.overrideLogger({ log: () => undefined, error: () => undefined, warn: line => void lines.push(line) });
    const fail = () => {
      throw new Error('no bell');
    };
    search.trace([louder({ find: fail }), louder({ install: fail }), louder()]);
    expect(app.get(StaticBell, { strict: false }).ring()).toBe('ring!');
    expect(lines).toEqual([expect.stringContaining('no bell')]);
  });
});
