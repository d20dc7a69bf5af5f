/** Clocks of two machines differ: puts what a service did back into the call that made it do so. */

/** How long, and by its own clock when. @internal */
export interface ClockedSpan {
  readonly startNs: number;
  readonly durationNs: number;
}

/**
 * What to add to the times of `child`, which another process than its parent's measured, given what was added to those of `parent`. A child
 * within its parent is left alone. One that sticks out is centred, as nobody knows how the rest of the time fell to the way there and back;
 * one too long for that only never starts before its parent. `isAnswered`: the parent waits for the child, so that it cannot end later.
 * @internal
 */
export function clockShift(parent: ClockedSpan, parentShiftNs: number, child: ClockedSpan, isAnswered: boolean): number {
  // By one clock, however wrong: a service and what it calls on the same machine.
  if (fits(parent, child, 0, isAnswered)) return parentShiftNs;
  if (fits(parent, child, parentShiftNs, isAnswered)) return 0;
  const parentStartNs = parent.startNs + parentShiftNs;
  const room = parent.durationNs - child.durationNs;
  if (room >= 0 && isAnswered) return Math.round(parentStartNs + room / 2 - child.startNs);
  return child.startNs < parentStartNs ? parentStartNs - child.startNs : 0;
}

function fits(parent: ClockedSpan, child: ClockedSpan, shiftNs: number, isAnswered: boolean): boolean {
  const before = child.startNs - (parent.startNs + shiftNs);
  // Where it is longer than its parent, it goes on after it by any clock.
  const mayOutlive = !isAnswered || child.durationNs > parent.durationNs;
  return before >= 0 && (mayOutlive || before + child.durationNs <= parent.durationNs);
}
