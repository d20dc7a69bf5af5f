/** Traces for the page to show: one as developers see it every day, and ones of any size. */
import type { Attributes } from '@opentelemetry/api';
import type { SpanKindName, TraceSpan } from '../../../lib/viewer/model/trace-span.js';

const SECOND = 1_000_000_000n;

export interface Sketch {
  readonly name: string;
  readonly service?: string;
  readonly kind?: SpanKindName;
  /** Milliseconds from the start of the trace. */
  readonly from: number;
  readonly to: number;
  readonly attributes?: Attributes;
  readonly error?: string;
  readonly stack?: string;
  readonly events?: readonly (readonly [name: string, atMs: number, attributes?: Attributes])[];
  readonly links?: TraceSpan['links'];
  readonly children?: readonly Sketch[];
  readonly parentId?: string;
}

const resources = new Map<string, Attributes>();

/** The spans of a trace that began `startMs` after 1970, its ids made of `number`. */
export function spansOf(number: number, startMs: number, roots: readonly Sketch[]): TraceSpan[] {
  const traceId = number.toString(16).padStart(32, '0');
  const startNs = BigInt(Math.round(startMs * 1000)) * 1000n;
  const spans: TraceSpan[] = [];
  const waiting = roots.map(sketch => ({ sketch, parent: sketch.parentId, service: 'orders' }));
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const { sketch, parent } = next;
    const service = sketch.service ?? next.service;
    const spanId = (number * 1_000_000 + spans.length + 1).toString(16).padStart(16, '0');
    const at = (ms: number) => startNs + BigInt(Math.round(ms * 1e6));
    if (!resources.has(service)) {
      resources.set(service, { 'service.name': service, 'service.version': '1.4.2', 'process.pid': 4211, 'host.name': 'laptop' });
    }
    spans.push({
      traceId,
      spanId,
      parentSpanId: parent,
      name: sketch.name,
      kind: sketch.kind ?? 'internal',
      status: sketch.error === undefined ? 'unset' : 'error',
      statusMessage: sketch.error,
      startNs: at(sketch.from),
      endNs: at(sketch.to),
      service,
      attributes: sketch.attributes ?? {},
      events: [
        ...(sketch.events ?? []).map(([name, atMs, attributes]) => ({ name, time: hrTime(at(atMs)), attributes })),
        ...(sketch.stack === undefined
          ? []
          : [
              {
                name: 'exception',
                time: hrTime(at(sketch.to)),
                attributes: {
                  'exception.type': 'PaymentError',
                  'exception.message': sketch.error ?? '',
                  'exception.stacktrace': sketch.stack,
                },
              },
            ]),
      ],
      links: sketch.links ?? [],
      resource: resources.get(service) ?? {},
      scope: { name: 'nestjs-tracing', version: '0.1.0' },
    });
    waiting.push(...(sketch.children ?? []).map(child => ({ sketch: child, parent: spanId, service })));
  }
  return spans;
}

function hrTime(ns: bigint): [number, number] {
  return [Number(ns / SECOND), Number(ns % SECOND)];
}

const STACK = `PaymentError: card declined
    at PaymentsClient.charge (/app/src/payments/payments.client.ts:41:11)
    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)
    at async OrdersService.checkout (/app/src/orders/orders.service.ts:88:7)
    at async /app/node_modules/@nestjs/core/router/router-execution-context.js:46:28`;

/** `POST /orders/:id/checkout` over four services: a query per item, a failing payment, an e-mail that outlives the request. */
export function checkout(number: number, startMs: number, { isFailed = true, slow = 1, items = 14 } = {}): TraceSpan[] {
  const http = (name: string, service: string, from: number, to: number, status: number, children: readonly Sketch[]): Sketch => ({
    name: name.split(' ')[0] ?? '',
    kind: 'client',
    from,
    to,
    ...(status >= 500 && { error: String(status) }),
    attributes: {
      'http.request.method': 'GET',
      'url.full': `http://${service}:3002${name.split(' ')[1]}`,
      'server.address': service,
      'server.port': 3002,
      'http.response.status_code': status,
    },
    children: [
      {
        name,
        service,
        kind: 'server',
        from: from + 1.4,
        to: to - 1.1,
        ...(status >= 500 && { error: 'Bad Gateway' }),
        attributes: { 'http.route': name.split(' ')[1] ?? '', 'http.response.status_code': status },
        children,
      },
    ],
  });
  const query = (name: string, from: number, to: number): Sketch => ({
    name,
    kind: 'client',
    from,
    to,
    attributes: { 'db.system.name': 'postgresql', 'db.query.text': `${name} WHERE id = $1`, 'server.address': 'db', 'server.port': 5432 },
  });
  const pay = 96 * slow;
  return spansOf(number, startMs, [
    {
      name: 'POST /orders/:id/checkout',
      kind: 'server',
      from: 0,
      to: 128 + pay,
      ...(isFailed && { error: 'card declined' }),
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/orders/:id/checkout',
        'http.response.status_code': isFailed ? 502 : 201,
        'url.path': '/orders/4711/checkout',
        'user.id': '7',
        'user_agent.original': 'curl/8.5.0',
      },
      children: [
        {
          name: 'AuthGuard.canActivate',
          from: 0.8,
          to: 9.2,
          children: [http('GET /sessions/:id', 'users', 1.6, 8.6, 200, [query('SELECT session', 4, 6.2)])],
        },
        {
          name: 'OrdersService.checkout',
          from: 9.6,
          to: 124 + pay,
          ...(isFailed && { error: 'card declined' }),
          events: [
            ['cart.loaded', 31, { 'cart.items': items }],
            ['cache.miss', 44, { key: 'prices:eu' }],
          ],
          children: [
            { name: 'OrdersRepository.find', from: 10.4, to: 30.5, children: [query('SELECT orders', 11.2, 28)] },
            ...Array.from({ length: items }, (_, item) => query('SELECT items', 32 + item * 2.6, 34 + item * 2.6 + (item === 9 ? 5 : 0))),
            http('GET /prices', 'catalogue', 33, 68, 200, [
              {
                name: 'PricesService.all',
                from: 36,
                to: 64,
                children: [{ name: 'GET prices:eu', kind: 'client', from: 37, to: 39 }, query('SELECT prices', 40, 62)],
              },
            ]),
            {
              name: 'PaymentsClient.charge',
              from: 74,
              to: 118 + pay,
              ...(isFailed && { error: 'card declined', stack: STACK }),
              children: [
                http('POST /charges', 'payments', 75, 116 + pay, isFailed ? 502 : 201, [
                  { name: 'FraudCheck.score', from: 79, to: 101, events: [['model.loaded', 82]] },
                  {
                    name: 'POST api.bank.example/v1/charges',
                    kind: 'client',
                    from: 102,
                    to: 112 + pay,
                    ...(isFailed && { error: 'timeout after 90 ms' }),
                  },
                ]),
              ],
            },
          ],
        },
        {
          name: 'orders.events publish',
          kind: 'producer',
          from: 124.5 + pay,
          to: 126 + pay,
          children: [
            {
              name: 'orders.events process',
              service: 'mailer',
              kind: 'consumer',
              from: 131 + pay,
              to: 168 + pay,
              children: [{ name: 'MailService.send', from: 133 + pay, to: 165 + pay }],
            },
          ],
        },
      ],
    },
  ]);
}

/** Small and ordinary. */
export function plain(number: number, startMs: number, route = 'GET /users/:id', service = 'users', ms = 12): TraceSpan[] {
  const status = route.startsWith('GET /missing') ? 404 : 200;
  return spansOf(number, startMs, [
    {
      name: route,
      service,
      kind: 'server',
      from: 0,
      to: ms,
      attributes: { 'http.route': route.split(' ')[1] ?? '', 'http.response.status_code': status },
      children: [
        {
          name: 'UsersService.find',
          from: ms * 0.1,
          to: ms * 0.9,
          children: [{ name: 'SELECT users', kind: 'client', from: ms * 0.2, to: ms * 0.8 }],
        },
      ],
    },
  ]);
}

/** `count` spans, mostly different, up to some twenty deep. */
export function large(number: number, startMs: number, count: number): TraceSpan[] {
  let seed = number;
  const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
  type Mutable = { -readonly [key in keyof Sketch]: Sketch[key] } & { children: Mutable[]; depth: number };
  const services = ['orders', 'users', 'catalogue', 'payments', 'mailer'];
  const root: Mutable = { name: 'GET /report', kind: 'server', from: 0, to: 60_000, children: [], depth: 0 };
  const open = [root];
  for (let index = 1; index < count; index += 1) {
    const parent = open[Math.floor(random() * open.length)] ?? root;
    const length = parent.to - parent.from;
    const from = parent.from + random() * length * 0.8;
    const child: Mutable = {
      name: `Step${index % 400}.run`,
      service: services[Math.floor(random() * 1.15 * services.length)] ?? 'orders',
      from,
      to: from + random() * (parent.to - from),
      ...(index % 997 === 0 && { error: `failed at ${index}` }),
      attributes: { index, 'code.function.name': `Step${index % 400}.run` },
      children: [],
      depth: parent.depth + 1,
    };
    parent.children.push(child);
    if (child.depth < 20) open[open.length < 3000 ? open.length : Math.floor(random() * 3000)] = child;
  }
  return spansOf(number, startMs, [root]);
}
