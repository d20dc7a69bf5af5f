/** What was traced is put back when the application closes: whatever became of it meanwhile, closing goes on. */
import { Logger } from '@nestjs/common';
import { replaceMethod, undoAll } from '../../lib/local/replace-method.js';

describe('putting back what was traced', () => {
  it('leaves alone what has been frozen meanwhile', () => {
    const own = { send: () => 'sent' };
    const undo = replaceMethod(own, 'send', send => () => `traced ${String(send())}`);
    Object.freeze(own);
    undo();
    expect(own.send()).toBe('traced sent');
  });

  it('goes on where one step fails', () => {
    Logger.overrideLogger(false);
    const undone: number[] = [];
    const fail = () => {
      throw new Error('not this one');
    };
    undoAll([() => void undone.push(1), fail, () => void undone.push(3)])();
    expect(undone).toEqual([3, 1]);
  });
});
