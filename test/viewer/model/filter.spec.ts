/** What a line in the filter field finds. */
import { matchesSpan, matchesTrace, parseFilter } from '../../../lib/viewer/model/filter.js';
import { toTraceSpan, type TraceSpan } from '../../../lib/viewer/model/trace-span.js';
import { finishedSpan } from '../finished-span.js';

const server = toTraceSpan(
  finishedSpan({
    id: 'a1',
    name: 'GET /orders/:id',
    from: 0,
    to: 80,
    attributes: { 'http.response.status_code': 503, 'http.route': '/orders/:id', 'tenant.ids': ['blue', 'green'], 'user agent': 'x y' },
    error: 'Out of stock',
  }),
);
const query = toTraceSpan(
  finishedSpan({
    id: 'b2',
    parent: 'a1',
    name: 'SELECT stock',
    from: 10,
    to: 20,
    service: 'stock',
    attributes: { 'db.system.name': 'postgresql', 'db.ok': true },
    events: [{ name: 'lock.waited', time: [1_790_000_000, 0], attributes: { 'lock.name': 'Rows' } }],
  }),
);
const trace: readonly TraceSpan[] = [server, query];

const inTrace = (line: string) => matchesTrace(parseFilter(line), trace, 80e6);
const inSpan = (line: string, span = server) => matchesSpan(parseFilter(line), span);

describe('A filter', () => {
  it('without terms lets everything through', () => {
    for (const line of ['', '   ', '""', 'service:', 'status:', '-service:']) expect([line, inTrace(line)]).toEqual([line, true]);
  });

  it.each([
    ['get /ORDERS', true],
    ['"GET /orders/:id"', true],
    ['"GET  /orders"', false],
    ['stock', true],
    ['out of', true],
    ['postgres', true],
    ['lock.waited', true],
    ['rows', true],
    [server.traceId, true],
    [query.spanId.slice(0, 16), true],
    ['nowhere', false],
  ])('finds text: %s', (line, expected) => expect(inTrace(line)).toBe(expected));

  it.each([
    ['db.system.name=postgresql', true],
    ['db.system.name=postgres', false],
    ['db.system.name=postgres*', true],
    ['db.system.name=*', true],
    ['db.ok=true', true],
    ['tenant.ids=green', true],
    ['service.name=stock', true],
    ['"user agent"="x y"', false],
    ['http.route="/orders/:id"', true],
    ['http.response.status_code=503', true],
    ['nothing=here', false],
  ])('compares attributes of span and resource: %s', (line, expected) => expect(inTrace(line)).toBe(expected));

  it.each([
    ['service:orders', true],
    ['service:"stock"', true],
    ['service:sto', false],
    ['service:sto*', true],
    ['error', true],
    ['status:503', true],
    ['status:5xx', true],
    ['status:5XX', true],
    ['status:50', false],
    ['status:4xx', false],
    ['>50ms', true],
    ['>=80ms', true],
    ['>100', false],
    ['<1s', true],
    ['<0.05s', false],
    ['>80000us', true],
  ])('knows services, errors, answers and durations: %s', (line, expected) => expect(inTrace(line)).toBe(expected));

  it('takes a quoted keyword as text', () => {
    expect(inSpan('error', query)).toBe(false);
    expect(inTrace('"error"')).toBe(false);
  });

  it('turns a term round with a minus', () => {
    expect(inTrace('-service:payments')).toBe(true);
    expect(inTrace('-service:stock')).toBe(false);
    expect(inTrace('orders -error')).toBe(false);
    expect(inTrace('->1s')).toBe(true);
    expect(inTrace('-"GET /orders"')).toBe(false);
  });

  it('looks at 20 terms and 500 characters of a line, however long it is', () => {
    const line = (terms: number) => Array.from({ length: terms }, (_, index) => `t${index}`).join(' ');
    expect(parseFilter(line(20)).terms).toHaveLength(20);
    expect(parseFilter(line(1500)).terms).toEqual(parseFilter(line(20)).terms);
    expect(parseFilter(`${' '.repeat(499)}abc`).terms).toMatchObject([{ text: 'a' }]);
  });

  it('lets a trace satisfy its terms by different spans, a span all of them alone', () => {
    expect(inTrace('service:orders service:stock db.ok=true')).toBe(true);
    expect(inSpan('service:orders db.ok=true')).toBe(false);
    expect(inSpan('service:stock db.ok=true <11ms', query)).toBe(true);
  });
});
