/** What was traced is put back when the application closes: whatever became of it meanwhile, closing goes on. */
import { Logger } from '@nestjs/common';
import { type Method, replace, replaceMethod, undoAll } from '../../lib/wrapping/replace-method.js';

const louder = (send: Method): Method =>
  function (...args) {
    return `traced ${String(send.apply(this, args))}`;
  };

class Base {
  send(): string {
    return 'sent';
  }
}

describe('a method that was replaced', () => {
  it('is the one that stood there before, on the instance alone', () => {
    const [traced, other] = [new Base(), new Base()];
    const undo = replaceMethod(traced, 'send', louder);
    expect([traced.send(), other.send()]).toEqual(['traced sent', 'sent']);
    undo();
    expect(Object.hasOwn(traced, 'send')).toBe(false);
    expect(traced.send()).toBe('sent');
  });

  it('is listed among the properties of the instance only if it was before', () => {
    const listed = { send: () => 'sent' };
    const inherited = new Base();
    replaceMethod(listed, 'send', louder);
    replaceMethod(inherited, 'send', louder);
    expect([Object.keys(listed), Object.keys(inherited)]).toEqual([['send'], []]);
  });

  it('has its descriptor again', () => {
    const own = {};
    Object.defineProperty(own, 'send', { get: () => () => 'sent', configurable: true, enumerable: true });
    const before = Object.getOwnPropertyDescriptor(own, 'send');
    const undo = replaceMethod(own, 'send', louder);
    expect(Object.getOwnPropertyDescriptor(own, 'send')).not.toEqual(before);
    undo();
    expect(Object.getOwnPropertyDescriptor(own, 'send')).toEqual(before);
  });

  it('stays what somebody else has put there meanwhile', () => {
    const traced = new Base();
    const undo = replaceMethod(traced, 'send', louder);
    const theirs = () => 'theirs';
    traced.send = theirs;
    undo();
    expect(traced.send).toBe(theirs);
  });

  it('stays away where somebody has removed it meanwhile', () => {
    const own: { send?: () => string } = { send: () => 'sent' };
    const undo = replaceMethod(own, 'send', louder);
    delete own.send;
    undo();
    expect(own).toEqual({});
  });

  it('stays replaced where the object has been frozen meanwhile', () => {
    const own = { send: () => 'sent' };
    const undo = replaceMethod(own, 'send', louder);
    Object.freeze(own);
    undo();
    expect(own.send()).toBe('traced sent');
  });

  it('is left alone where there is none', () => {
    const own = { send: 'a text' };
    replaceMethod(own, 'send', louder)();
    replaceMethod(own, 'missing', louder)();
    expect(own).toEqual({ send: 'a text' });
  });
});

describe('a property that was replaced', () => {
  it('has its value again, or is gone where there was none', () => {
    const config: { transform?: unknown; adapter?: unknown } = { transform: 'theirs' };
    const undo = undoAll([replace(config, 'transform', undefined), replace(config, 'adapter', 'ours')]);
    expect([config.transform, config.adapter]).toEqual([undefined, 'ours']);
    undo();
    expect(config).toEqual({ transform: 'theirs' });
    expect(Object.hasOwn(config, 'adapter')).toBe(false);
  });
});

describe('several steps', () => {
  it('are taken back from the last to the first', () => {
    const own = new Base();
    const undo = undoAll([replaceMethod(own, 'send', louder), replaceMethod(own, 'send', louder)]);
    expect(own.send()).toBe('traced traced sent');
    undo();
    expect(Object.hasOwn(own, 'send')).toBe(false);
  });

  it('are all taken back where one of them throws, which is reported', () => {
    const lines: unknown[] = [];
    Logger.overrideLogger({ log: () => undefined, error: () => undefined, warn: line => void lines.push(line) });
    const undone: number[] = [];
    const fail = () => {
      throw new Error('not this one');
    };
    undoAll([() => void undone.push(1), fail, fail, () => void undone.push(4)])();
    expect(undone).toEqual([4, 1]);
    expect(lines).toEqual([expect.stringContaining('not this one')]);
  });

  it('are taken back once, however often that is asked for, and may become more until then', () => {
    const undone: number[] = [];
    const steps = [() => void undone.push(1)];
    const undo = undoAll(steps);
    steps.push(() => void undone.push(2));
    undo();
    undo();
    expect(undone).toEqual([2, 1]);
  });
});
