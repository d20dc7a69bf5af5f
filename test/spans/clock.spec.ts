import { jest } from '@jest/globals';
import { SpanKind } from '@opentelemetry/api';
import { hrTimeToMicroseconds } from '@opentelemetry/core';
import { startTimeAt, wallTime } from '../../lib/spans/clock.js';
import { Both } from '../sdk/span/both-spans.js';

describe('the clock of spans', () => {
  afterEach(() => {
    jest.restoreAllMocks();
  });

  it('tells the millisecond of Date.now(), and parts of it', () => {
    const times: number[] = [];
    for (let i = 0; i < 20_000; i++) {
      const before = Date.now();
      const time = wallTime();
      const after = Date.now();
      expect(time >= before && time < after + 1).toBe(true);
      times.push(time);
    }
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(new Set(times.map(time => time % 1)).size).toBeGreaterThan(100);
  });

  it.each([3_600_000, -3_600_000, 5, -5, 0.9, -0.9])('follows the wall clock when that jumps by %d ms', jump => {
    const [wall, steady] = [Date.now(), performance.now()];
    let passed = 0;
    let jumped = 0;
    jest.spyOn(performance, 'now').mockImplementation(() => steady + passed);
    jest.spyOn(Date, 'now').mockImplementation(() => Math.floor(wall + passed + jumped));
    wallTime();
    jumped = jump;
    for (passed = 1; passed < 50; passed += 0.3) {
      const time = wallTime();
      expect(time >= Date.now() && time < Date.now() + 1).toBe(true);
    }
  });

  it('recovers from a clock that told no time', () => {
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => Number.NaN);
    wallTime();
    clock.mockRestore();
    wallTime();
    expect(Math.abs(wallTime() - Date.now())).toBeLessThan(2);
  });

  it('is read again if the process was interrupted between two readings', () => {
    const [wall, steady] = [Date.now(), performance.now()];
    let [passed, isInterrupted] = [0, false];
    jest.spyOn(performance, 'now').mockImplementation(() => steady + passed);
    jest.spyOn(Date, 'now').mockImplementation(() => {
      if (isInterrupted) passed += 40;
      isInterrupted = false;
      return Math.floor(wall + passed);
    });
    const before = wallTime();
    isInterrupted = true;
    const interrupted = wallTime();
    expect(interrupted - before).toBeLessThan(1.5);
    passed += 1;
    expect(wallTime() - before).toBeGreaterThan(39);
    expect(wallTime() - before).toBeLessThan(43);
  });

  it('allows an end by Date.now() in the millisecond of the start', () => {
    const [wall, steady] = [Math.ceil(Date.now()), performance.now()];
    let passed = 0;
    jest.spyOn(performance, 'now').mockImplementation(() => steady + passed);
    jest.spyOn(Date, 'now').mockImplementation(() => Math.floor(wall + passed));
    wallTime();
    const both = new Both();
    passed = 3.75;
    const { spans } = both.start('step').do(span => span.end(Date.now()));
    expect(spans.map(span => (span as unknown as { duration: number[] }).duration)).toEqual([
      [0, 0],
      [0, 0],
    ]);
    expect(both.said().flat()).toEqual([]);
  });

  it.each([1_790_000_000_000, 1_790_000_000_123.456, 1_790_000_000_999.9998, 0, 0.0006])('starts spans in whole microseconds: %d', ms => {
    const [seconds, nanoseconds] = startTimeAt(ms);
    expect(nanoseconds % 1000).toBe(0);
    expect(nanoseconds).toBeLessThan(1e9);
    expect(Math.abs(seconds * 1e6 + nanoseconds / 1000 - ms * 1000)).toBeLessThanOrEqual(0.6);
  });

  it('leaves no gap between spans that follow each other, and no overlap', () => {
    const { tracer } = new Both().ours;
    const spans = Array.from({ length: 300 }, () => {
      const span = tracer.startSpan('step', { kind: SpanKind.INTERNAL });
      for (const until = performance.now() + 0.05; performance.now() < until;);
      span.end();
      return span as unknown as { startTime: [number, number]; endTime: [number, number] };
    });
    const gaps = spans.slice(1).map(({ startTime }, i) => hrTimeToMicroseconds(startTime) - hrTimeToMicroseconds(spans[i]!.endTime));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(-2);
    expect(spans.map(({ startTime }) => startTime[1] % 1000)).toEqual(spans.map(() => 0));
    expect(gaps.sort((a, b) => a - b)[150]).toBeLessThan(200);
  });
});
