/** Corrects clocks that differ between machines: moves the spans of a service into the call that caused them. */

/** The times of a span by the clock of its own machine. @internal */
export interface ClockedSpan {
  readonly startNs: number;
  readonly durationNs: number;
}

/**
 * Returns the nanoseconds to add to the times of `child`, which another process than its parent's measured. `parentShiftNs` was added to the
 * times of `parent`. A child within its parent is not moved on its own. A child that starts too early or ends too late is moved to the middle
 * of its parent, because the network times are not known. A child that is longer than its parent is moved only if it starts before it.
 * `isAnswered`: the parent waits for the child, so the child cannot end later.
 * @internal
 */
export function clockShift(parent: ClockedSpan, parentShiftNs: number, child: ClockedSpan, isAnswered: boolean): number {
  // Both have the same clock: a service and the service that it calls run on the same machine.
  if (fits(parent, child, 0, isAnswered)) return parentShiftNs;
  if (fits(parent, child, parentShiftNs, isAnswered)) return 0;
  const parentStartNs = parent.startNs + parentShiftNs;
  const room = parent.durationNs - child.durationNs;
  if (room >= 0 && isAnswered) return Math.round(parentStartNs + room / 2 - child.startNs);
  return child.startNs < parentStartNs ? parentStartNs - child.startNs : 0;
}

function fits(parent: ClockedSpan, child: ClockedSpan, shiftNs: number, isAnswered: boolean): boolean {
  const before = child.startNs - (parent.startNs + shiftNs);
  // A child that is longer than its parent ends after it by any clock.
  const mayOutlive = !isAnswered || child.durationNs > parent.durationNs;
  return before >= 0 && (mayOutlive || before + child.durationNs <= parent.durationNs);
}
