/** What a developer sees in the terminal; the golden texts pin the format. */
import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { jest } from '@jest/globals';
import { SpanKind } from '@opentelemetry/api';
import { WaterfallExporter, type WaterfallOptions } from '../../lib/viewer/index.js';
import { toTraceSpan } from '../../lib/viewer/model/trace-span.js';
import { finishedSpan, type SpanSketch } from './finished-span.js';

class Screen extends Writable {
  readonly writes: string[] = [];
  constructor(
    readonly isTTY?: boolean,
    readonly columns?: number,
  ) {
    super();
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.writes.push(chunk.toString());
    done();
  }
  get text(): string {
    return this.writes.join('');
  }
}

function exporter(options: WaterfallOptions = {}, screen = new Screen()) {
  const waterfall = new WaterfallExporter({ stream: screen, colour: false, ...options });
  const send = (...sketches: SpanSketch[]) => {
    let code = -1;
    waterfall.export(sketches.map(finishedSpan), result => (code = result.code));
    expect(code).toBe(0);
  };
  return { waterfall, screen, send };
}

const golden = (text: string) => `${text.replace(/^\n/, '').replace(/^ {4}/gm, '').trimEnd()}\n`;

const boom = {
  name: 'exception',
  time: [1_790_000_000, 0] as [number, number],
  attributes: {
    'exception.type': 'TypeError',
    'exception.message': 'no user 7',
    'exception.stacktrace': `TypeError: no user 7
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
    at Store.read (/app/node_modules/store/index.js:1:1)
    at async UsersService.find (${process.cwd()}/src/users.service.ts:12:5)
    at async UsersController.one (${process.cwd()}/src/users.controller.ts:9:5)`,
  },
};

const get = { 'http.response.status_code': 200 };
const order: SpanSketch[] = [
  { id: '3', name: 'OrdersRepository.find', parent: '2', from: 10, to: 20 },
  {
    id: '4',
    name: 'GET',
    parent: '2',
    kind: SpanKind.CLIENT,
    from: 20,
    to: 44,
    attributes: { ...get, 'url.full': 'http://me:secret@users:3002/users/7?token=1' },
  },
  { id: '2', name: 'OrdersService.load', parent: '1', from: 5, to: 45 },
  { id: '1', name: 'GET /orders/:id', kind: SpanKind.SERVER, from: 0, to: 50, attributes: get },
];

describe('The waterfall in the terminal', () => {
  it('shows a finished request with its tree, durations and bars', () => {
    const { screen, send } = exporter();
    send(...order);
    expect(screen.text).toBe(
      golden(`
    ✔ GET /orders/:id  200  50.0 ms  4 spans  orders
      trace 0000000000000000000000000000000a
      GET /orders/:id 200             50.0 ms  ████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░████
      └ OrdersService.load            40.0 ms     ████░░░░░░░░░░░░░░░░░░░░░░░░░░█
        ├ OrdersRepository.find       10.0 ms         ████████
        └ GET users:3002/users/7 200  24.0 ms                ███████████████████
`),
    );
  });

  it('shows a request without spans below it in one line', () => {
    const { screen, send } = exporter({ columns: 100 });
    send({ id: '1', name: 'GET /health', kind: SpanKind.SERVER, to: 2, attributes: get });
    expect(screen.text).toBe('✔ GET /health  200  2.00 ms  1 span  orders  trace 0000000000000000000000000000000a\n');
  });

  it('shows the path of a request that no route took', () => {
    const { screen, send } = exporter({ columns: 100 });
    send({ id: '1', name: 'GET', kind: SpanKind.SERVER, attributes: { 'url.path': '/nothing', 'http.response.status_code': 404 } });
    expect(screen.text).toBe('✔ GET /nothing  404  1.00 ms  1 span  orders  trace 0000000000000000000000000000000a\n');
  });

  it('tells once why something failed: type, message and first frame of the user’s code', () => {
    const { screen, send } = exporter({ columns: 100 });
    send(
      { id: '2', name: 'UsersService.find', parent: '1', to: 8, error: 'no user 7', events: [boom] },
      {
        id: '1',
        name: 'GET /users/:id',
        kind: SpanKind.SERVER,
        to: 10,
        attributes: { 'http.response.status_code': 500 },
        error: 'no user 7',
        events: [boom],
      },
    );
    expect(screen.text).toBe(
      golden(`
    ✘ GET /users/:id  500  10.0 ms  2 spans  orders  trace 0000000000000000000000000000000a
      ✘ GET /users/:id 500   10.0 ms  ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░█████████████
      └ ✘ UsersService.find  8.00 ms  █████████████████████████████████████████████████████
          TypeError: no user 7  at UsersService.find (src/users.service.ts:12:5)
`),
    );
  });

  it.each([
    [100, '  TypeError: no user 7  at UsersService.find (src/users.service.ts:12:5)'],
    [60, '  TypeError: no user 7  at src/users.service.ts:12:5'],
    [44, '  TypeError: no user 7  at …ervice.ts:12:5'],
  ])('keeps, in %d columns, the line where it happened in sight', (columns, expected) => {
    const { screen, send } = exporter({ columns });
    send({ id: '1', name: 'job', error: 'no user 7', events: [boom] });
    expect(
      screen.text
        .split('\n')
        .find(line => line.includes('TypeError'))
        ?.replace(/^ +/, '  '),
    ).toBe(expected);
  });

  it('does not repeat as reason what the row says as answer', () => {
    const { screen, send } = exporter();
    send({ id: '1', name: 'GET', error: '', kind: SpanKind.CLIENT, attributes: { 'http.response.status_code': 404, 'error.type': '404' } });
    expect(screen.text.match(/404/g)).toHaveLength(1);
  });

  it('folds siblings that are alike into one row with their number, sum and slowest subtree', () => {
    const { screen, send } = exporter();
    send(
      ...[1, 2, 3, 4].map(n => ({ id: `q${n}`, name: 'SELECT users', parent: '1', kind: SpanKind.CLIENT, from: n * 10, to: n * 11 + 1 })),
      { id: 'x', name: 'parse', parent: 'q4', from: 41, to: 42 },
      {
        id: 'e',
        name: 'SELECT users',
        parent: '1',
        kind: SpanKind.CLIENT,
        from: 60,
        to: 62,
        error: 'locked',
        attributes: { 'error.type': 'SQLITE_BUSY' },
      },
      { id: '1', name: 'GET /users', kind: SpanKind.SERVER, to: 80, attributes: get },
    );
    expect(screen.text).toBe(
      golden(`
    ✔ GET /users  200  80.0 ms  7 spans  orders
      trace 0000000000000000000000000000000a
      GET /users 200         80.0 ms  ██████░█████░████░░░███░░░█████████░██████████
      ├ SELECT users ×4  sum 14.0 ms       ██    ███   ███   ███
      │ └ parse              1.00 ms                         ██
      └ ✘ SELECT users       2.00 ms                                    ██
          SQLITE_BUSY: locked
`),
    );
  });

  it('keeps to 60 columns with wide characters, and cuts what does not fit', () => {
    const { screen, send } = exporter({ columns: 60 });
    send(
      { id: '2', name: '注文サービス.注文をデータベースから読み込む処理', parent: '1', from: 1, to: 9 },
      { id: '3', name: 'send 📦 to the warehouse that is far away', parent: '1', from: 9, to: 10 },
      { id: '1', name: 'POST /orders', to: 10 },
    );
    expect(screen.text).toBe(
      golden(`
    ✔ POST /orders  10.0 ms  3 spans  orders
      trace 0000000000000000000000000000000a
      POST /orders                      10.0 ms  ██░░░░░░░░░░░░░
      ├ 注文サービス.注文をデータベー…  8.00 ms   █████████████
      └ send 📦 to the warehouse that…  1.00 ms               ██
`),
    );
  });

  it('can be drawn in plain ASCII', () => {
    const { screen, send } = exporter({ columns: 60, ascii: true });
    send(
      { id: '2', name: 'a', parent: '1', to: 5, error: 'boom' },
      { id: '3', name: 'b', parent: '1', from: 5, to: 10 },
      { id: '1', name: 'job', to: 10 },
    );
    expect(screen.text).toBe(
      golden(`
    ok job  10.0 ms  3 spans  orders
      trace 0000000000000000000000000000000a
      job     10.0 ms  -----------------------------------------
      |-!! a  5.00 ms  #####################
      |   boom
      \`-b     5.00 ms                      #####################
`),
    );
  });

  it('counts the rows it leaves out', () => {
    const { screen, send } = exporter({ maxRows: 3 });
    send(...Array.from({ length: 10 }, (_, index) => ({ id: `${index + 2}`, name: `step ${index}`, parent: '1', from: index })), {
      id: '1',
      to: 10,
    });
    expect(screen.text).toContain('step 1');
    expect(screen.text).not.toContain('step 2');
    expect(screen.text.endsWith('  … 8 more rows\n')).toBe(true);
  });

  it('prints names and messages as text, never as commands to the terminal', () => {
    const { screen, send } = exporter();
    send({ id: '1', name: 'GET /\u001b[2J\u202Eevil\r\nfake line', error: 'a\n\tb\u0007' });
    expect(screen.text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202E]/u);
    expect(screen.text).toContain('evil fake line');
  });
});

describe('The waterfall exporter', () => {
  it('waits for the local root, whose parent may be in another process, and leaves other requests of the trace alone', () => {
    const { screen, send } = exporter();
    send({ id: '2', name: 'first child', parent: '1' }, { id: '5', name: 'other child', parent: '4' });
    expect(screen.text).toBe('');
    send({ id: '1', name: 'first request', parent: 'far', isRemote: true });
    expect(screen.text).toContain('first child');
    expect(screen.text).not.toContain('other');
    send({ id: '4', name: 'other request', parent: 'far', isRemote: true });
    expect(screen.text).toContain('other child');
  });

  it('keeps a request that the process sent to itself a block of its own, also when both finish at once', () => {
    const { screen, send } = exporter();
    send({ id: '2', name: 'GET', parent: '1' }, { id: '1', name: 'outer' }, { id: '3', name: 'inner', parent: '2', isRemote: true });
    expect(screen.text.match(/^✔ (outer|inner)/gm)).toEqual(['✔ outer', '✔ inner']);
    expect(screen.text).not.toContain('└ inner');
  });

  it('forgets a trace that has been silent for a minute', () => {
    const now = jest.spyOn(Date, 'now').mockReturnValue(0);
    const { screen, send } = exporter();
    send({ id: '2', name: 'kept', trace: 'b', parent: '1' }, { id: '2', name: 'forgotten', parent: '1' });
    now.mockReturnValue(59_000);
    send({ id: '3', name: 'sign of life', trace: 'b', parent: '1' });
    now.mockReturnValue(61_000);
    send({ id: '1', trace: 'c' });
    send({ id: '1' }, { id: '1', trace: 'b' });
    now.mockRestore();
    expect(screen.text).not.toContain('forgotten');
    expect(screen.text).toContain('kept');
  });

  it('writes the blocks of requests that finish together one after the other, in one piece', () => {
    const { screen, send } = exporter();
    const requests = Array.from({ length: 10 }, (_, index) => `${index}`);
    send(
      ...requests.map(trace => ({ trace, id: '2', name: `child ${trace}`, parent: '1' })),
      ...requests.map(trace => ({ trace, id: '1', name: `request ${trace}` })),
    );
    const order = [...screen.text.matchAll(/^✔ (request \d)|(child \d)/gm)].map(match => match[1] ?? match[2]);
    expect(order).toEqual(requests.flatMap(trace => [`request ${trace}`, `child ${trace}`]));
    expect(screen.writes).toHaveLength(1);
  });

  it('shows what ends after its request in a block of its own', async () => {
    const { waterfall, screen, send } = exporter({ columns: 120 });
    send({ id: '1', name: 'POST /orders', to: 5 });
    send({ id: '3', name: 'smtp', parent: '2', to: 20 });
    send({ id: '2', name: 'MailService.send', parent: '1', to: 25 });
    expect(screen.text).not.toContain('MailService');
    await waterfall.forceFlush();
    expect(screen.text).toContain('✔ MailService.send  25.0 ms  2 spans  orders  ended after its request  trace ');
    expect(screen.text).toContain('└ smtp');
  });

  it('shows late spans by itself after a moment, without keeping the process alive', async () => {
    let written: () => void;
    const drawn = new Promise<void>(resolve => (written = resolve));
    const stream = new Writable({
      write(chunk: Buffer, _encoding, done) {
        if (String(chunk).includes('late one')) written();
        done();
      },
    });
    const { send } = exporter({ stream });
    send({ id: '1' });
    send({ id: '2', name: 'late one', parent: '1' });
    await drawn;
  });

  it('forgets the oldest spans whose root never comes, and the newest stay', () => {
    const { screen, send } = exporter();
    for (let trace = 0; trace < 12_000; trace += 1) send({ id: '2', name: `child ${trace}`, trace: `${trace}`, parent: '1' });
    send({ id: '1', trace: '0' }, { id: '1', trace: '11999' });
    expect(screen.text).not.toContain('child 0');
    expect(screen.text).toContain('child 11999');
  });

  it('answers failure and throws nothing when the stream is broken', async () => {
    const stream = new Writable();
    stream.write = () => {
      throw new Error('gone');
    };
    const waterfall = new WaterfallExporter({ stream });
    let code = -1;
    expect(() => waterfall.export([finishedSpan({ id: '1' })], result => (code = result.code))).not.toThrow();
    expect([0, 1]).toContain(code);
    await expect(waterfall.shutdown()).resolves.toBeUndefined();
  });

  it('survives that the reader of the pipe goes away', async () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) });
    const { send } = exporter({ stream });
    const closed = new Promise(resolve => stream.once('close', resolve));
    send({ id: '1' });
    await closed;
  });

  describe('colours', () => {
    const { FORCE_COLOR, NO_COLOR, TERM } = process.env;
    afterEach(() => {
      for (const [name, value] of Object.entries({ FORCE_COLOR, NO_COLOR, TERM })) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    });

    it.each([
      ['on a terminal', true, {}, true],
      ['not in a pipe', false, {}, false],
      ['not with NO_COLOR', true, { NO_COLOR: '1' }, false],
      ['with an empty NO_COLOR', true, { NO_COLOR: '' }, true],
      ['in a pipe with FORCE_COLOR', false, { FORCE_COLOR: '1' }, true],
      ['not with FORCE_COLOR=0', true, { FORCE_COLOR: '0' }, false],
      ['with both, as FORCE_COLOR says', true, { FORCE_COLOR: '1', NO_COLOR: '1' }, true],
      ['not on a dumb terminal', true, { TERM: 'dumb' }, false],
    ])('are used %s', (_when, isTTY, environment, expected) => {
      for (const name of ['FORCE_COLOR', 'NO_COLOR', 'TERM']) delete process.env[name];
      Object.assign(process.env, { TERM: 'xterm', ...environment });
      const screen = new Screen(isTTY, 100);
      new WaterfallExporter({ stream: screen }).export([finishedSpan({ id: '1' })], () => {});
      expect(screen.text.includes('\u001b[')).toBe(expected);
    });

    it('change nothing about the layout, which follows the width of the terminal', () => {
      const screens = [true, false].map(colour => {
        const screen = new Screen(true, 72);
        new WaterfallExporter({ stream: screen, colour }).export(order.map(finishedSpan), () => {});
        return screen.text;
      });
      expect(stripVTControlCharacters(screens[0] ?? '')).toBe(screens[1]);
      expect(screens[0]).not.toBe(screens[1]);
      expect(Math.max(...(screens[1] ?? '').split('\n').map(line => line.length))).toBe(72);
    });
  });
});

describe('The waterfall in the terminal beside a viewer', () => {
  const called: SpanSketch[] = [
    { id: '5', name: 'GET /users/:id', service: 'users', kind: SpanKind.SERVER, parent: '4', isRemote: true, from: 25, to: 40 },
    { id: '6', name: 'UsersRepository.find', service: 'users', parent: '5', from: 30, to: 35 },
    { id: '9', name: 'elsewhere', service: 'users', parent: '8', from: 30, to: 35 },
  ];
  const viewer = (traceUrlPrefix: string | undefined = 'http://127.0.0.1:4318/trace/') => ({
    asked: [] as string[],
    traceUrlPrefix,
    spansOf(traceId: string) {
      this.asked.push(traceId);
      return Promise.resolve([...order, ...called].map(sketch => toTraceSpan(finishedSpan(sketch))));
    },
  });

  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('shows what other services did below, and ends with a link', async () => {
    const { waterfall, screen, send } = exporter();
    waterfall.showWith(viewer());
    send(...order);
    expect(screen.text).toBe('');
    await jest.advanceTimersByTimeAsync(200);
    expect(screen.text).toContain('6 spans');
    expect(screen.text).toContain('[users] GET /users/:id');
    expect(screen.text).toContain('UsersRepository.find');
    expect(screen.text).not.toContain('elsewhere');
    expect(screen.text.trimEnd().split('\n').at(-1)).toBe('  http://127.0.0.1:4318/trace/0000000000000000000000000000000a');
  });

  it('asks once for all that ended together in one trace', async () => {
    const { waterfall, screen, send } = exporter();
    const asked = viewer();
    waterfall.showWith(asked);
    const roots = Array.from({ length: 50 }, (_, index) => ({ id: `e${index}0`, name: 'job', kind: SpanKind.CLIENT }));
    send(...roots);
    await jest.advanceTimersByTimeAsync(200);
    expect(screen.text.split('job')).toHaveLength(51);
    expect(asked.asked).toHaveLength(1);
  });

  it('waits for nobody where nobody was called', () => {
    const { waterfall, screen, send } = exporter();
    const asked = viewer();
    waterfall.showWith(asked);
    send({ id: '1', name: 'GET /' });
    expect(screen.text).toContain('GET /');
    expect(screen.text.trimEnd()).toMatch(/http:\/\/127\.0\.0\.1:4318\/trace\/0+a$/);
    expect(asked.asked).toEqual([]);
  });

  it('draws what it has when it is shut down, and as ever while there is no viewer', async () => {
    const { waterfall, screen, send } = exporter();
    waterfall.showWith(viewer());
    send(...order);
    await waterfall.shutdown();
    expect(screen.text).toContain('4 spans');
    await jest.advanceTimersByTimeAsync(500);
    expect(screen.text.split('4 spans')).toHaveLength(2);
    const without = exporter();
    without.waterfall.showWith({ ...viewer(), traceUrlPrefix: undefined });
    without.send(...order);
    expect(without.screen.text).toContain('4 spans');
    expect(without.screen.text).not.toContain('http://127');
  });
});

describe('The waterfall in the terminal with less in it', () => {
  it('leaves out what was fast enough', () => {
    const { screen, send } = exporter({ minDurationMs: 50 });
    send({ id: '1', name: 'fast', to: 49 }, { id: '2', name: 'slow', trace: 'b', to: 50 });
    expect(screen.text).toContain('slow');
    expect(screen.text).not.toContain('fast');
  });

  it('leaves out what went well', () => {
    const { screen, send } = exporter({ onlyErrors: true });
    send(
      { id: '2', name: 'inner', parent: '1', error: 'x' },
      { id: '1', name: 'half broken', to: 2 },
      { id: '3', name: 'fine', trace: 'b' },
    );
    expect(screen.text).toContain('half broken');
    expect(screen.text).not.toContain('fine');
  });
});
