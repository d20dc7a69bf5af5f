/** What is compared: the same application in several set-ups, each in a process of its own. */

/** The one that all others are compared with. */
export const BARE = 'a';

/** Another build of this library, below the packages that are installed here. */
export const AGAINST = new URL('../../node_modules/.cache/bench-against/', import.meta.url).href;

const USERS = ['users'];
const CHAIN = ['users', 'chain'];
const CALLS = ['calls-10', 'calls-50'];

const defaults = { options: {}, caller: 'sampled', needsPeers: false, routes: USERS };

/**
 * `setUp`: a file in set-ups/ that is given `options`; `caller`: the trace context that requests bring ('sampled', 'unsampled', 'none');
 * `needsPeers`: whether packages beyond this repository's are needed; `routes`: on which routes it is measured.
 */
export const variants = [
  { id: 'a', title: 'bare application', setUp: 'bare', routes: [...CHAIN, ...CALLS] },
  { id: 'a2', title: 'bare application, once more (noise)', setUp: 'bare', routes: CHAIN },
  { id: 'b', title: 'nestjs-tracing', setUp: 'ours', routes: [...CHAIN, ...CALLS] },
  { id: 'b0', title: 'nestjs-tracing, the build of `--against`', setUp: 'ours', options: { build: AGAINST }, routes: CHAIN },
  { id: 'bs', title: 'nestjs-tracing and a `@Span()` on the service', setUp: 'ours', options: { hasSpan: true } },
  { id: 'b2', title: 'nestjs-tracing, `sampler: 0`, no context comes in', setUp: 'ours', options: { sampler: 0 }, caller: 'none' },
  { id: 'b3', title: 'nestjs-tracing, the caller is not sampled', setUp: 'ours', caller: 'unsampled' },
  { id: 'b4', title: 'nestjs-tracing, the route is ignored', setUp: 'ours', options: { inbound: { ignore: '/users/*' } } },
  { id: 'b5', title: 'nestjs-tracing, `enabled: false`', setUp: 'ours', options: { enabled: false } },
  { id: 'bk', title: 'nestjs-tracing, `keep: true`', setUp: 'ours', options: { keep: true } },
  {
    id: 'bks',
    title: 'nestjs-tracing, `keep: true`, `fold: true` and a `@Span()`',
    setUp: 'ours',
    options: { hasSpan: true, keep: true, fold: true },
  },
  { id: 'bo', title: 'nestjs-tracing, sent by OTLP', setUp: 'ours', options: { exporter: 'sent' } },
  { id: 'bn', title: 'nestjs-tracing, `budget: false`', setUp: 'ours', options: { budget: false } },
  { id: 'c', title: 'bare minimum', setUp: 'minimum', routes: CHAIN },
  { id: 'c2', title: 'bare minimum, never sampled', setUp: 'minimum', options: { isSampled: false } },
  { id: 'co', title: 'bare minimum, sent by OTLP', setUp: 'minimum', options: { isSent: true } },
  { id: 'd', title: 'official instrumentations', setUp: 'official', needsPeers: true, routes: CHAIN },
  {
    id: 'd12',
    title: 'official instrumentations, nestjs-core made to accept Nest 12',
    setUp: 'official',
    options: { is12Admitted: true },
    needsPeers: true,
  },
  { id: 'e', title: 'nestjs-otel', setUp: 'nestjs-otel', needsPeers: true, routes: CHAIN },
  { id: 'm', title: 'nestjs-tracing, `methods: true`', setUp: 'ours', options: { methods: true }, routes: CALLS },
  {
    id: 'ms',
    title: 'nestjs-tracing, `methods: true`, sent by OTLP',
    setUp: 'ours',
    options: { methods: true, exporter: 'sent' },
    routes: CALLS,
  },
  {
    id: 'mf',
    title: 'nestjs-tracing, `methods: true`, `fold: { over: 4 }`',
    setUp: 'ours',
    options: { methods: true, fold: { over: 4 } },
    routes: CALLS,
  },
  {
    id: 'm3',
    title: 'nestjs-tracing, `methods: true`, the caller is not sampled',
    setUp: 'ours',
    options: { methods: true },
    caller: 'unsampled',
    routes: CALLS,
  },
  { id: 'o', title: '@nestjs/observe', setUp: 'observe', needsPeers: true, routes: CALLS },
  {
    id: 'o0',
    title: '@nestjs/observe, `tracesSampleRate: 0`',
    setUp: 'observe',
    options: { tracesSampleRate: 0 },
    needsPeers: true,
    routes: CALLS,
  },
].map(variant => ({ ...defaults, ...variant }));

/** What is started and stopped to see what starting costs; the first is the one all others are compared with. */
export const starts = [
  { id: 'a', title: 'bare application', setUp: 'bare' },
  { id: 'b-none', title: 'nestjs-tracing, `exporter: none`', setUp: 'ours', options: { exporter: 'none' } },
  { id: 'b-otlp', title: 'nestjs-tracing, OTLP', setUp: 'ours', options: { exporter: 'configured' } },
  { id: 'd', title: 'official instrumentations (four), OTLP', setUp: 'official', options: { exporter: 'configured' }, needsPeers: true },
  { id: 'd-auto', title: 'official, everything (`auto-instrumentations-node/register`), OTLP', setUp: 'official-auto', needsPeers: true },
  { id: 'e', title: 'nestjs-otel', setUp: 'nestjs-otel', needsPeers: true },
].map(start => ({ ...defaults, ...start }));

/** What the project promises: `of` costs at most `factor` times what `over` costs (`over: BARE`: within noise of bare). */
export const targets = [
  { of: 'b', over: 'c', factor: 1.25, route: 'users' },
  { of: 'b', over: 'd', factor: 0.25, route: 'users' },
  { of: 'b2', over: 'b', factor: 0.6, route: 'users' },
  { of: 'b3', over: 'b', factor: 0.6, route: 'users' },
  { of: 'b', over: 'c', factor: 1.3, route: 'chain' },
  { of: 'b', over: 'd', factor: 0.25, route: 'chain' },
  ...CALLS.map(route => ({ of: 'm', over: 'o', factor: 0.33, route })),
  ...CALLS.map(route => ({ of: 'ms', over: 'o', factor: 0.33, route })),
];
