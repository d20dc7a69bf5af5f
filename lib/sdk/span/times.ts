/** Times that users give to spans, in the form of the SDK: seconds and nanoseconds. */
import type { HrTime, TimeInput } from '@opentelemetry/api';
import { hrTime, isTimeInputHrTime, millisToHrTime } from '@opentelemetry/core';

/**
 * Returns the time that a user gave, or undefined if he gave none. A number that `performance.now()` may have returned is such a time. Any
 * other number is in milliseconds since 1970. `wallMs` and `steadyMs` are one moment, by the wall clock and by `performance.now()`.
 */
export function givenTime(input: TimeInput | undefined, wallMs: number, steadyMs: number): HrTime | undefined {
  if (typeof input === 'number') {
    if (input > performance.now()) return millisToHrTime(input);
    // The clock of `performance` does not follow when the wall clock is set.
    return hrTime(input + wallMs - (steadyMs + performance.timeOrigin));
  }
  if (input instanceof Date) return millisToHrTime(input.getTime());
  return isTimeInputHrTime(input) ? input : undefined;
}
